// quorate-inspect: what is on a node's disk, read without a server and without changing anything.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "storage/file_system.h"
#include "tools/inspect/directory_report.h"
#include "tools/inspect/log_report.h"
#include "tools/inspect/report.h"
#include "tools/inspect/snapshot_report.h"

namespace quorate::inspect {
namespace {

using storage::ErrorCode;
using storage::FileSystem;
using storage::Status;

constexpr int kExitOk = 0;
constexpr int kExitDamaged = 1;  // or not readable
constexpr int kExitUsage = 2;

struct Settings {
  std::string path;
  bool json = false;
  bool verify = false;
  std::string entries;
  bool list_entries = false;
  std::uint64_t limit = 100;
};

tl::unexpected<storage::Error> NotThere(const std::string& path, const std::string& what) {
  return storage::Fail(ErrorCode::kNotFound, path + " is not " + what);
}

Status InspectLog(FileSystem& files, const Settings& settings, Report& report) {
  std::optional<EntryRange> entries;
  if (settings.list_entries) {
    entries = ParseEntryRange(settings.entries);
    if (!entries) {
      return storage::Fail(
          ErrorCode::kInvalid,
          "--entries takes FIRST..LAST, such as 5..10, not '" + settings.entries + "'");
    }
    entries->limit = settings.limit;
  }
  if (!IsDataDirectory(files, settings.path)) {
    report.body()["directory"] = settings.path;
    return ReportLog(files, settings.path, entries, report);
  }
  ReportDirectory(files, settings.path, report);
  return ReportLog(files, settings.path + "/log", entries, report);
}

Status InspectSnapshot(FileSystem& files, const Settings& settings, Report& report) {
  if (IsDataDirectory(files, settings.path)) {
    ReportDirectory(files, settings.path, report);
    ReportSnapshots(files, settings.path, settings.verify, report);
    return {};
  }
  if (!IsDatabase(files, settings.path)) {
    return NotThere(settings.path, "a data directory, a database or a snapshot");
  }
  ReportDatabase(files, settings.path, settings.verify, report);
  return {};
}

Status InspectBackup(FileSystem& files, const Settings& settings, Report& report) {
  return ReportBackup(files, settings.path, settings.verify, report);
}

Status InspectIdentity(FileSystem& files, const Settings& settings, Report& report) {
  if (!IsDataDirectory(files, settings.path)) return NotThere(settings.path, "a data directory");
  ReportDirectory(files, settings.path, report);
  return {};
}

using Inspection = Status (*)(FileSystem&, const Settings&, Report&);

void AddCommand(CLI::App& app, Settings& settings, Inspection& chosen, Inspection inspection,
                const char* name, const char* what, const char* argument, const char* examples) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option(argument, settings.path, "What to look at")->required();
  command->footer(examples);
  command->callback([&chosen, inspection] { chosen = inspection; });
}

void AddCommands(CLI::App& app, Settings& settings, Inspection& chosen) {
  AddCommand(app, settings, chosen, InspectLog, "log",
             "Segments, entries, term and vote; where the log ends, or is damaged and why", "DIR",
             "DIR is a data directory, or its log/. Examples:\n"
             "  quorate-inspect log .quorate/node1\n"
             "  quorate-inspect log .quorate/node1 --entries 1090..1099\n"
             "  quorate-inspect --json log .quorate/node1 --entries 1000.. --limit 10");
  CLI::App* log = app.get_subcommand("log");
  log->add_option("--entries", settings.entries, "List entries: FIRST..LAST, or all")
      ->type_name("[FIRST..LAST]")
      ->expected(0, 1);
  log->add_option("--limit", settings.limit, "List no more entries than this")
      ->capture_default_str();
  AddCommand(app, settings, chosen, InspectSnapshot, "snapshot",
             "The database, the snapshots kept for other nodes, the one that is being fetched",
             "DIR",
             "DIR is a data directory, a database or a snapshot. Examples:\n"
             "  quorate-inspect snapshot .quorate/node1\n"
             "  quorate-inspect snapshot .quorate/node1 --verify");
  AddCommand(app, settings, chosen, InspectBackup, "backup",
             "What a backup is of, and what is in it", "FILE",
             "Example:\n  quorate-inspect backup monday.backup --verify");
  for (const char* name : {"snapshot", "backup"}) {
    app.get_subcommand(name)->add_flag("--verify", settings.verify,
                                       "Read all of it and check every checksum");
  }
  AddCommand(app, settings, chosen, InspectIdentity, "identity",
             "Whose data directory it is, and which database counts", "DIR",
             "Example:\n  quorate-inspect identity .quorate/node1");
}

int Finish(const Settings& settings, const Status& status, const Report& report) {
  if (!status) {
    std::cerr << "quorate-inspect: " << status.error().message << '\n';
    const bool wrong_argument = status.error().code == ErrorCode::kNotFound ||
                                status.error().code == ErrorCode::kInvalid ||
                                status.error().code == ErrorCode::kMismatch;
    return wrong_argument ? kExitUsage : kExitDamaged;
  }
  const Json json = report.ToJson();
  std::cout << (settings.json ? json.dump(2) + "\n" : ToText(json)) << std::flush;
  if (!std::cout) {
    std::cerr << "quorate-inspect: writing to stdout failed\n";
    return kExitDamaged;
  }
  return report.damaged() ? kExitDamaged : kExitOk;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Shows what is on a node's disk. Needs no server, changes nothing, and reads a damaged "
      "directory as far as it can.");
  app.name("quorate-inspect");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_help_flag("-h,--help", "Print this and exit");
  app.footer("Exit codes: 0 ok, 1 damaged or not readable, 2 usage.");
  Settings settings;
  Inspection inspection = nullptr;
  app.add_flag("--json", settings.json, "One JSON object");
  AddCommands(app, settings, inspection);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  const std::unique_ptr<FileSystem> files = storage::MakePosixFileSystem();
  Report report;
  settings.list_entries = app.get_subcommand("log")->count("--entries") > 0;
  const Status status = inspection(*files, settings, report);
  return Finish(settings, status, report);
}

}  // namespace
}  // namespace quorate::inspect

int main(int argc, char** argv) {
  try {
    return quorate::inspect::Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "quorate-inspect: internal error: " << error.what() << '\n';
    return quorate::inspect::kExitDamaged;
  }
}
