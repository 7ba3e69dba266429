// import: many records from a file or a pipe.
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "tools/bulk_writer.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/record_reader.h"

namespace quorate::tools {
namespace {

const std::map<std::string, ImportFormat> kFormats = {{"debian", ImportFormat::kDebian},
                                                      {"lines", ImportFormat::kLines},
                                                      {"jsonl", ImportFormat::kJsonLines}};

struct ImportArguments {
  std::string file;
  std::string format = "debian";
  std::string prefix;
};

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

std::uint64_t SizeOf(std::FILE* file) {
  struct stat info = {};
  const bool regular = ::fstat(::fileno(file), &info) == 0 && S_ISREG(info.st_mode);
  return regular ? static_cast<std::uint64_t>(info.st_size) : 0;
}

ExitCode CodeOf(const BulkResult& result, const RecordReader& reader, bool interrupted) {
  if (interrupted) return kExitInterrupted;
  if (result.unknown > 0) return kExitUnknown;
  if (result.first_error) return ToExitCode(*result.first_error);
  return reader.skipped() > 0 ? kExitOther : kExitOk;
}

void PrintSummary(const Settings& settings, const BulkResult& result, const RecordReader& reader,
                  double seconds, bool interrupted) {
  if (settings.json) {
    Json json;
    json["written"] = result.written;
    json["bytes"] = result.bytes;
    json["resent"] = result.resent;
    json["refused"] = result.refused;
    json["unknown"] = result.unknown;
    json["skipped"] = reader.skipped();
    json["seconds"] = seconds;
    json["interrupted"] = interrupted;
    json["error"] = result.first_error ? ToJson(*result.first_error) : Json();
    PrintJson(json);
    return;
  }
  const auto rate =
      static_cast<std::uint64_t>(static_cast<double>(result.written) / std::max(seconds, 1e-3));
  std::cerr << (interrupted ? "interrupted: " : "") << Grouped(result.written) << " records ("
            << (result.bytes >> 20) << " MiB) written in " << static_cast<int>(seconds * 10) / 10.0
            << " s, " << Grouped(rate) << "/s";
  if (result.resent > 0) std::cerr << "; " << Grouped(result.resent) << " sent again";
  std::cerr << '\n';
  if (result.refused > 0) PrintError(Grouped(result.refused) + " records were not written");
  if (result.unknown > 0) {
    PrintError(Grouped(result.unknown) +
               " records may or may not have been written; the import can be run again");
  }
  if (result.first_error) {
    PrintError(std::string(ToString(result.first_error->code)) + ": " + result.first_error->detail);
  }
  if (reader.skipped() > 0) {
    PrintError(Grouped(reader.skipped()) +
               " records were skipped; the first: " + reader.first_problem());
  }
}

ExitCode Import(const Settings& settings, Interrupt& interrupt, const ImportArguments& arguments) {
  const File file(arguments.file == "-" ? stdin : std::fopen(arguments.file.c_str(), "rb"));
  if (file == nullptr) {
    PrintError("cannot read " + arguments.file + ": " + std::strerror(errno));
    return kExitUsage;
  }
  RecordReader reader(file.get(), kFormats.at(arguments.format));
  Client client(settings.client_options());
  BulkWriter writer(client);
  // A read of stdin may never return: the second Ctrl-C ends that.
  interrupt.SetHandler([&writer] { writer.Stop(); });
  Progress progress("importing", SizeOf(file.get()), settings.verbose);
  Record record;
  std::uint64_t added = 0;
  while (reader.Next(record)) {
    record.key.insert(0, arguments.prefix);
    if (!writer.Add(std::move(record))) break;
    if (++added % 64 == 0) progress.Update(writer.result().written, reader.bytes_read());
  }
  writer.Finish();
  progress.Clear();
  interrupt.SetHandler(nullptr);
  const BulkResult result = writer.result();
  if (std::ferror(file.get()) != 0) PrintError("reading " + arguments.file + " failed");
  PrintSummary(settings, result, reader, progress.seconds(), interrupt.raised());
  if (std::ferror(file.get()) != 0) return kExitOther;
  return CodeOf(result, reader, interrupt.raised());
}

}  // namespace

Command AddImport(CLI::App& app) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* import = app.add_subcommand("import", "Put many records from a file or a pipe");
  import->add_option("file", arguments->file, "- reads stdin")->required()->configurable(false);
  import
      ->add_option("--format", arguments->format,
                   "debian: stanzas, keyed by their field Package; the last of several wins\n"
                   "lines: key, tab, value, escaped as scan prints them\n"
                   "jsonl: an object per line, with key and value (or key_base64, value_base64)")
      ->check(CLI::IsMember({"debian", "lines", "jsonl"}))
      ->capture_default_str();
  import->add_option("--prefix", arguments->prefix, "Put this before every key")
      ->configurable(false);
  import->footer(
      "Puts are sent again until they are known to be committed: a put is the same twice as once, "
      "so an "
      "import can also be run again.\nExamples:\n  apt-cache dumpavail | quorate import -\n"
      "  quorate scan user/ | quorate --endpoints OTHER import --format lines -\n"
      "Exit: 0 all written, 1 some records made no sense, 8 some outcomes are unknown.");
  return {.app = import, .run = [arguments](const Settings& settings, Interrupt& interrupt) {
            return Import(settings, interrupt, *arguments);
          }};
}

}  // namespace quorate::tools
