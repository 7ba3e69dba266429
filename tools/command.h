// The commands of `quorate`: each adds itself to the command line, and runs if it was the one asked
// for.
#pragma once

#include <functional>

#include "tools/exit_code.h"
#include "tools/interrupt.h"
#include "tools/settings.h"

namespace CLI {
class App;
}

namespace quorate::tools {

struct Command {
  CLI::App* app = nullptr;
  std::function<ExitCode(const Settings&, Interrupt&)> run;
};

Command AddPut(CLI::App& app);  // point_commands.cc
Command AddGet(CLI::App& app);
Command AddDelete(CLI::App& app);
Command AddCompareAndSet(CLI::App& app);
Command AddScan(CLI::App& app);      // scan.cc
Command AddImport(CLI::App& app);    // import.cc
Command AddStatus(CLI::App& app);    // status.cc
Command AddSnapshot(CLI::App& app);  // backup.cc
Command AddBackup(CLI::App& app);
Command AddBench(CLI::App& app);       // bench.cc
Command AddCompletion(CLI::App& app);  // completion.cc

}  // namespace quorate::tools
