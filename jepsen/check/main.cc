// quorate-check FILE..: is each history what was promised?
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <new>

#include "jepsen/check/check.h"
#include "jepsen/check/corpus.h"
#include "jepsen/check/sentence.h"

namespace quorate::check {
namespace {

// As in sysexits.h from 64 on.
enum ExitCode : int {
  kExitValid = 0,
  kExitInvalid = 1,
  kExitUnknown = 2,
  kExitUsage = 64,
  kExitMalformed = 65,
  kExitNoInput = 66,
  kExitBug = 70,
  kExitNoMemory = 71,
  kExitCannotWrite = 73,
};

struct Arguments {
  std::vector<std::string> files;
  std::string corpus;
  std::string model;
  std::string initial;
  std::string results;
  bool json = false;
  double time_limit_s = 60;
  std::uint64_t memory_limit_mib = 2048;
  double availability_s = 5;
  CheckOptions check;
};

int ToExitCode(Verdict verdict) {
  if (verdict == Verdict::kUnknown) return kExitUnknown;
  return verdict == Verdict::kValid ? kExitValid : kExitInvalid;
}

int ToExitCode(const ReadError& error) {
  return error.kind == ReadError::Kind::kCannotOpen ? kExitNoInput : kExitMalformed;
}

// What cannot be read outweighs what is wrong, and that what is not known.
int Worse(int a, int b) {
  if (a >= kExitUsage || b >= kExitUsage) return std::max(a, b);
  if (a == kExitInvalid || b == kExitInvalid) return kExitInvalid;
  return std::max(a, b);
}

int CheckFiles(const Arguments& arguments) {
  int exit_code = kExitValid;
  std::string results;
  for (const std::string& file : arguments.files) {
    const auto result = CheckFile(file, arguments.check);
    if (const auto* error = std::get_if<ReadError>(&result)) {
      std::cerr << "quorate-check: " << error->Show() << '\n';
      exit_code = Worse(exit_code, ToExitCode(*error));
      continue;
    }
    const Report& report = std::get<Report>(result);
    results += ToJson(report) + '\n';
    if (!arguments.json) std::cout << Summary(report) << std::flush;
    exit_code = Worse(exit_code, ToExitCode(report.verdict()));
  }
  if (arguments.json) std::cout << results << std::flush;
  if (!arguments.results.empty()) {
    std::ofstream file(arguments.results, std::ios::trunc);
    file << results;
    if (!file.flush()) {
      std::cerr << "quorate-check: cannot write " << arguments.results << '\n';
      return kExitCannotWrite;
    }
  }
  return exit_code;
}

std::string Show(const CorpusOutcome& outcome) {
  if (outcome.skipped) return "skipped (no verdict to compare with)";
  if (!outcome.error.empty()) return outcome.error;
  return std::string(Name(outcome.verdict));
}

int CheckCorpus(const Arguments& arguments) {
  std::string error;
  const std::vector<CorpusEntry> entries = ReadCorpus(arguments.corpus, error);
  if (!error.empty()) {
    std::cerr << "quorate-check: " << error << '\n';
    return kExitNoInput;
  }
  const auto begun = std::chrono::steady_clock::now();
  std::size_t agreed = 0;
  std::size_t skipped = 0;
  int exit_code = kExitValid;
  for (const CorpusEntry& entry : entries) {
    const CorpusOutcome outcome = CheckEntry(arguments.corpus, entry, arguments.check);
    const bool agrees = outcome.agrees();
    skipped += outcome.skipped ? 1 : 0;
    agreed += agrees && !outcome.skipped ? 1 : 0;
    if (!agrees) {
      const bool unknown = outcome.error.empty() && outcome.verdict == Verdict::kUnknown;
      exit_code = Worse(exit_code, unknown ? kExitUnknown : kExitInvalid);
    }
    std::printf("%-5s %8.2f ms  %s: %s\n", agrees ? "" : "WRONG", outcome.took_ms,
                entry.file.c_str(), Show(outcome).c_str());
  }
  std::printf("%zu histories: %zu as expected, %zu not, %zu skipped; %.0f ms\n", entries.size(),
              agreed, entries.size() - agreed - skipped, skipped, MillisecondsSince(begun));
  return exit_code;
}

void AddOptions(CLI::App& app, Arguments& arguments) {
  app.add_option("FILE", arguments.files, "Histories: JSON lines, EDN or Jepsen logs");
  app.add_option("--corpus", arguments.corpus,
                 "Check all histories of a directory against its verdicts.txt");
  app.add_option("--model", arguments.model, "What the operations mean: " + ModelNames());
  app.add_option("--init", arguments.initial,
                 "What an object is at first: nil, a number or text (EDN registers: 0)");
  app.add_flag("--json", arguments.json, "Print results.json, one line for each file");
  app.add_option("--results", arguments.results, "Write results.json to this file too");
  app.add_option("--time-limit", arguments.time_limit_s, "Seconds for the black-box search")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  app.add_option("--memory-limit", arguments.memory_limit_mib, "MiB for the black-box search")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--max-operations", arguments.check.read.max_operations, "Refuse larger histories")
      ->capture_default_str();
  app.add_flag("--black-box", arguments.check.always_black_box,
               "Search for an order of histories with indices too");
  app.add_option("--availability-limit", arguments.availability_s,
                 "Seconds from a fault until strong reads are served again")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--healthy-errors", arguments.check.healthy_error_rate,
                 "Share of operations that may fail while no fault is active")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Checks histories of a store against what each operation was promised.\n"
      "Exit: 0 valid, 1 invalid, 2 unknown, 64 usage, 65 malformed, 66 cannot open, 71 out of "
      "memory, 73 cannot write.");
  Arguments arguments;
  AddOptions(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitValid : kExitUsage;
  }
  if (arguments.files.empty() == arguments.corpus.empty()) {
    std::cerr << "quorate-check: name either histories or --corpus DIR (see --help)\n";
    return kExitUsage;
  }
  CheckOptions& options = arguments.check;
  options.read.model = ModelNamed(arguments.model);
  if (!arguments.model.empty() && options.read.model == Model::kUnknown) {
    std::cerr << "quorate-check: unknown model " << arguments.model << ": use one of "
              << ModelNames() << '\n';
    return kExitUsage;
  }
  if (app.count("--init") > 0) options.read.initial = arguments.initial;
  options.time_limit =
      std::chrono::milliseconds(static_cast<std::int64_t>(arguments.time_limit_s * 1000));
  options.memory_limit = arguments.memory_limit_mib << 20;
  options.availability_limit_us = static_cast<Time>(arguments.availability_s * 1e6);
  return arguments.corpus.empty() ? CheckFiles(arguments) : CheckCorpus(arguments);
}

}  // namespace
}  // namespace quorate::check

int main(int argc, char** argv) {
  // Memory that was freed is used again rather than given back: page faults were a quarter of the
  // time.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  try {
    return quorate::check::Run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("quorate-check: out of memory: the history is too large for this machine\n", stderr);
    return quorate::check::kExitNoMemory;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quorate-check: a bug: %s\n", error.what());
    return quorate::check::kExitBug;
  }
}
