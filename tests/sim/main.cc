// quorate-sim: the deterministic simulator's command line.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

#include "tests/sim/controls.h"
#include "tests/sim/runner.h"
#include "tests/sim/world.h"

namespace quorate::sim {
namespace {

struct Arguments {
  std::string seeds;
  std::optional<std::uint64_t> seed;
  std::string control;
  std::string profile;
  bool controls = false;
  bool list_controls = false;
  bool trace = false;
  bool verify_determinism = false;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

constexpr int kFailed = 1;
constexpr int kUsage = 2;

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "7" or "1..500".
std::optional<SeedRange> ParseRange(std::string_view text) {
  const auto dots = text.find("..");
  const auto first = ParseNumber(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? first : ParseNumber(text.substr(dots + 2));
  if (!first || !last || *first > *last || *last == ~std::uint64_t{0}) return std::nullopt;
  return SeedRange{*first, *last};
}

std::optional<Profile> ParseProfile(const std::string& name) {
  for (const Profile profile : kProfiles) {
    if (name == ToString(profile)) return profile;
  }
  return std::nullopt;
}

SeedReport Report(std::uint64_t seed, const Outcome& outcome) {
  SeedReport report;
  report.seed = seed;
  report.failed = outcome.violation.has_value();
  report.trace_hash = outcome.trace_hash;
  report.events = outcome.events;
  report.operations = outcome.operations;
  report.writes = outcome.writes;
  report.strong_reads = outcome.strong_reads;
  if (outcome.violation) {
    std::snprintf(report.invariant, sizeof(report.invariant), "%s",
                  outcome.violation->invariant.c_str());
    std::snprintf(report.detail, sizeof(report.detail), "%s", outcome.violation->detail.c_str());
  }
  return report;
}

// Which faults a run favours: those of the control, those that were asked for, or the seed's own
// choice.
struct Choice {
  const ControlCase* control = nullptr;
  std::optional<Profile> profile;
};

Plan PlanFor(std::uint64_t seed, const Choice& choice) {
  if (choice.control != nullptr) return MakePlan(seed, *choice.control);
  return MakePlan(seed, choice.profile.value_or(ProfileOf(seed)));
}

SeedReport RunSeed(std::uint64_t seed, const Choice& choice, bool twice) {
  const Plan plan = PlanFor(seed, choice);
  const SeedReport report = Report(seed, World(plan, nullptr).Run());
  if (!twice) return report;
  SeedReport again = Report(seed, World(plan, nullptr).Run());
  if (again.trace_hash != report.trace_hash && !again.failed) {
    again.failed = true;
    std::snprintf(again.invariant, sizeof(again.invariant), "deterministic");
    std::snprintf(again.detail, sizeof(again.detail),
                  "two runs differ: trace %016" PRIx64 " and %016" PRIx64, report.trace_hash,
                  again.trace_hash);
  }
  return again;
}

void PrintFailure(const SeedReport& report, const Choice& choice) {
  std::string flags;
  if (choice.control != nullptr) flags = " --control " + std::string(choice.control->name);
  if (choice.profile) flags = std::string(" --profile ") + ToString(*choice.profile);
  std::printf("seed %" PRIu64 " FAILED: %s: %s\n  replay: quorate-sim --seed %" PRIu64
              "%s --trace\n",
              report.seed, report.invariant, report.detail, report.seed, flags.c_str());
}

int RunOne(const Arguments& arguments, const Choice& choice) {
  const std::uint64_t seed = *arguments.seed;
  const Plan plan = PlanFor(seed, choice);
  std::printf("seed %" PRIu64 ": %s\n", seed, Describe(plan).c_str());
  std::fflush(stdout);
  std::ios::sync_with_stdio(false);
  const Outcome outcome = World(plan, arguments.trace ? &std::cout : nullptr).Run();
  std::cout.flush();
  const SeedReport report = Report(seed, outcome);
  std::printf("seed %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " operations (%" PRIu64
              " writes, %" PRIu64 " strong reads), %" PRIu64 " committed, term %" PRIu64
              ", trace %016" PRIx64 "\n",
              seed, report.events, report.operations, report.writes, report.strong_reads,
              outcome.committed, outcome.terms, report.trace_hash);
  if (!report.failed) return 0;
  PrintFailure(report, choice);
  return kFailed;
}

int RunRange(const Arguments& arguments, const Choice& choice, SeedRange seeds) {
  const auto started = std::chrono::steady_clock::now();
  const std::uint64_t total = seeds.last - seeds.first + 1;
  std::uint64_t done = 0, failed = 0, events = 0, operations = 0, writes = 0, reads = 0, hash = 0;
  const bool progress = isatty(STDERR_FILENO) != 0;
  RunSeeds(
      seeds, arguments.jobs,
      [&](std::uint64_t seed) { return RunSeed(seed, choice, arguments.verify_determinism); },
      [&](const SeedReport& report) {
        ++done;
        failed += report.failed ? 1 : 0;
        events += report.events;
        operations += report.operations;
        writes += report.writes;
        reads += report.strong_reads;
        hash += Mix(report.trace_hash ^ report.seed);  // whatever the order of arrival
        if (report.failed) PrintFailure(report, choice);
        if (progress)
          std::fprintf(stderr, "\r%" PRIu64 "/%" PRIu64 " seeds, %" PRIu64 " failed ", done, total,
                       failed);
        return true;
      });
  if (progress) std::fprintf(stderr, "\r");
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf("%" PRIu64 " seeds: %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64
              " operations (%" PRIu64 " writes, %" PRIu64 " strong reads); traces %016" PRIx64
              "; %.1f s\n",
              done, failed, events, operations, writes, reads, hash, seconds);
  if (arguments.verify_determinism) std::printf("each seed ran twice\n");
  return failed == 0 ? 0 : kFailed;
}

// True if the bug was found within its budget.
bool RunControl(const Arguments& arguments, const ControlCase& control) {
  std::optional<SeedReport> caught;
  RunSeeds(
      {1, control.budget}, arguments.jobs,
      [&control](std::uint64_t seed) {
        return RunSeed(seed, {&control, std::nullopt}, false);
      },
      [&caught](const SeedReport& report) {
        if (report.failed) caught = report;
        return !report.failed;
      });
  const std::string name(control.name);
  if (!caught) {
    std::printf("%-20s NOT CAUGHT within %" PRIu64 " seeds: the checks are blind to it\n",
                name.c_str(), control.budget);
    return false;
  }
  std::printf("%-20s caught by seed %" PRIu64 " (budget %" PRIu64 ") by %s: %s\n", name.c_str(),
              caught->seed, control.budget, caught->invariant, caught->detail);
  std::fflush(stdout);
  return true;
}

int RunAllControls(const Arguments& arguments) {
  bool all = true;
  for (const ControlCase& control : AllControls()) all = RunControl(arguments, control) && all;
  return all ? 0 : kFailed;
}

int ListControls() {
  for (const ControlCase& control : AllControls()) {
    std::printf("%-20s %s\n", std::string(control.name).c_str(),
                std::string(control.about).c_str());
  }
  return 0;
}

int UsageError(const std::string& message) {
  std::fprintf(stderr, "quorate-sim: %s; see --help\n", message.c_str());
  return kUsage;
}

int Dispatch(const Arguments& arguments) {
  if (arguments.jobs == 0) return UsageError("--jobs must be at least 1");
  if (arguments.list_controls) return ListControls();
  if (arguments.controls) return RunAllControls(arguments);
  Choice choice;
  if (!arguments.control.empty()) {
    choice.control = FindControl(arguments.control);
    if (choice.control == nullptr) {
      return UsageError("no control '" + arguments.control + "'; --list-controls names them");
    }
  }
  if (!arguments.profile.empty()) {
    choice.profile = ParseProfile(arguments.profile);
    if (!choice.profile) return UsageError("no profile '" + arguments.profile + "'");
  }
  if (arguments.seed) return RunOne(arguments, choice);
  if (arguments.trace) return UsageError("--trace needs --seed");
  if (choice.control != nullptr) return RunControl(arguments, *choice.control) ? 0 : kFailed;
  const auto seeds = ParseRange(arguments.seeds.empty() ? "1..500" : arguments.seeds);
  if (!seeds)
    return UsageError("'" + arguments.seeds + "' is not a seed or a range such as 1..500");
  return RunRange(arguments, choice, *seeds);
}

}  // namespace
}  // namespace quorate::sim

int main(int argc, char** argv) {
  // A failure is of use as soon as it is found, also in a file or a pipe.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  quorate::sim::Arguments arguments;
  CLI::App app(
      "Runs the real consensus core, log and replica driver on a virtual clock, network and disk.");
  app.add_option("--seeds", arguments.seeds, "Seeds to run, e.g. 1..500 (the default) or 7");
  app.add_option("--seed", arguments.seed, "Run one seed here, in this process");
  app.add_flag("--trace", arguments.trace, "With --seed: print every event");
  app.add_option("--control", arguments.control,
                 "Bring a known bug back and run seeds until it is caught");
  app.add_option(
      "--profile", arguments.profile,
      "Favour some faults in every seed: general, leader-changes, slow-tails, crashes, reordering");
  app.add_flag("--controls", arguments.controls, "Every control in turn; each must be caught");
  app.add_flag("--list-controls", arguments.list_controls, "Name the controls");
  app.add_flag("--verify-determinism", arguments.verify_determinism,
               "Run each seed twice and compare the traces");
  app.add_option("--jobs", arguments.jobs, "Processes to run at once")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  quorate-sim --seeds 1..500\n"
      "  quorate-sim --seed 42 --trace | less\n"
      "  quorate-sim --control token-by-position\n"
      "  quorate-sim --seed 3 --control stale-read --trace\n"
      "Exit codes: 0 all is well, 1 a seed failed or a control was not caught, 2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : quorate::sim::kUsage;
  }
  return quorate::sim::Dispatch(arguments);
}
