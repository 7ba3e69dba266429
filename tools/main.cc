// quorate: the command line.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

constexpr const char* kVersion = "quorate 0.1.0";

void Describe(CLI::App& app) {
  app.name("quorate");
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.set_help_flag("-h,--help", "Print this and exit");
  app.set_version_flag("--version", kVersion);
  app.set_config("--config", "",
                 "Read options from this file: lines like json=true, sections like [bench]")
      ->envname("QUORATE_CONFIG");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(
      "Examples:\n  quorate put colour green\n  quorate get colour --read bounded:200ms\n  quorate "
      "scan --count\n  quorate status\n"
      "Exit codes: 0 ok, 1 other, 2 usage, 3 key not found, 4 compare failed, 5 refused (too "
      "stale, behind, no "
      "quorum),\n6 cannot connect, 7 deadline passed and certainly not applied, 8 outcome unknown, "
      "130 interrupted.");
}

int Run(CLI::App& app, const Settings& settings, const std::vector<Command>& commands,
        bool print_config) {
  if (print_config) {
    std::cout << app.config_to_str(true, true);
    return kExitOk;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    Interrupt interrupt;
    const ExitCode code = command.run(settings, interrupt);
    std::cout.flush();
    if (!std::cout) {
      PrintError("writing to stdout failed");
      return kExitOther;
    }
    return code;
  }
  std::cerr << app.help();
  return kExitUsage;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Talks to a Quorate cluster: a replicated key-value store that tells the truth about every "
      "read.");
  Settings settings;
  bool print_config = false;
  Describe(app);
  AddGlobalOptions(app, settings);
  app.add_flag("--print-config", print_config,
               "Print the options in force as a config file, and exit")
      ->configurable(false);
  const std::vector<Command> commands = {
      AddPut(app),       AddGet(app),    AddDelete(app),      AddCompareAndSet(app),
      AddIncrement(app), AddAppend(app), AddTransaction(app), AddLock(app),
      AddScan(app),      AddImport(app), AddStatus(app),      AddSnapshot(app),
      AddBackup(app),    AddBench(app),  AddCompletion(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);  // 0 for help and version
    return code == 0 ? kExitOk : kExitUsage;
  }
  return Run(app, settings, commands, print_config);
}

}  // namespace
}  // namespace quorate::tools

int main(int argc, char** argv) {
  try {
    return quorate::tools::Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "quorate: internal error: " << error.what() << '\n';
    return quorate::tools::kExitOther;
  }
}
