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

Command AddPut(CLI::App& app);  // writes.cc
Command AddDelete(CLI::App& app);
Command AddCompareAndSet(CLI::App& app);
Command AddIncrement(CLI::App& app);
Command AddAppend(CLI::App& app);
Command AddTransaction(CLI::App& app);  // txn.cc
Command AddLock(CLI::App& app);         // lock.cc
Command AddGet(CLI::App& app);          // get.cc
Command AddScan(CLI::App& app);         // scan.cc
Command AddImport(CLI::App& app);       // import.cc
Command AddStatus(CLI::App& app);       // status.cc
Command AddSnapshot(CLI::App& app);     // backup.cc
Command AddBackup(CLI::App& app);
Command AddBench(CLI::App& app);       // bench.cc
Command AddCompletion(CLI::App& app);  // completion.cc

}  // namespace quorate::tools
