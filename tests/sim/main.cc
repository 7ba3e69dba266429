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
#include <vector>

#include "tests/sim/controls.h"
#include "tests/sim/crash_points.h"
#include "tests/sim/runner.h"
#include "tests/sim/shrink.h"
#include "tests/sim/world.h"

namespace quorate::sim {
namespace {

struct Arguments {
  std::string seeds;
  std::optional<std::uint64_t> seed;
  std::string control;
  std::string profile;
  std::string settings;
  bool crash_points = false;
  std::optional<std::size_t> crash_at;
  bool controls = false;
  bool list_controls = false;
  bool trace = false;
  bool verify_determinism = false;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
};

constexpr int kFailed = 1;
constexpr int kUsage = 2;
// Runs spent on making one failure simpler, and failures of a range that are worth it.
constexpr std::uint64_t kShrinkRuns = 200;
constexpr std::uint64_t kShrunkFailures = 3;

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
  report.certificates = outcome.certificates;
  report.refusals = outcome.refusals;
  report.crash_counts = outcome.crash_counts;
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
  std::string settings;                   // on top of the plan
  bool crash_points = false;              // each seed lets nodes die at the next point
  std::optional<std::size_t> crash_at{};  // or at the one of this number
};

Plan PlanFor(std::uint64_t seed, const Choice& choice) {
  Plan plan = choice.control != nullptr ? MakePlan(seed, *choice.control)
                                        : MakePlan(seed, choice.profile.value_or(ProfileOf(seed)));
  if (choice.crash_points) LetDieAt(choice.crash_at.value_or(seed), plan);
  ApplySettings(plan, choice.settings);
  return plan;
}

SeedReport RunPlan(const Plan& plan) {
  return Report(plan.seed, World(plan, nullptr).Run());
}

SeedReport RunSeed(std::uint64_t seed, const Choice& choice, bool twice) {
  const Plan plan = PlanFor(seed, choice);
  const SeedReport report = RunPlan(plan);
  if (!twice) return report;
  SeedReport again = RunPlan(plan);
  if (again.trace_hash != report.trace_hash && !again.failed) {
    again.failed = true;
    std::snprintf(again.invariant, sizeof(again.invariant), "deterministic");
    std::snprintf(again.detail, sizeof(again.detail),
                  "two runs differ: trace %016" PRIx64 " and %016" PRIx64, report.trace_hash,
                  again.trace_hash);
  }
  return again;
}

std::string Flags(const Choice& choice) {
  std::string flags;
  if (choice.control != nullptr) flags = " --control " + std::string(choice.control->name);
  if (choice.profile) flags = std::string(" --profile ") + ToString(*choice.profile);
  if (choice.crash_points) flags += " --crash-points";
  if (choice.crash_at) flags += " --crash-at " + std::to_string(*choice.crash_at);
  if (!choice.settings.empty()) flags += " --set " + choice.settings;
  return flags;
}

void PrintFailure(const SeedReport& report, const Choice& choice) {
  std::printf("seed %" PRIu64 " FAILED: %s: %s\n  replay: quorate-sim --seed %" PRIu64
              "%s --trace\n",
              report.seed, report.invariant, report.detail, report.seed, Flags(choice).c_str());
}

// In a process of its own, which may die.
bool FailsLike(const SeedReport& failure, const Plan& plan) {
  bool same = false;
  RunSeeds(
      {plan.seed, plan.seed}, 1, [&plan](std::uint64_t) { return RunPlan(plan); },
      [&](const SeedReport& report) {
        same = report.failed && std::string_view(report.invariant) == failure.invariant;
        return true;
      });
  return same;
}

void PrintShrunk(const SeedReport& failure, Choice choice) {
  const Shrunk shrunk = Shrink(
      PlanFor(failure.seed, choice),
      [&failure](const Plan& plan) { return FailsLike(failure, plan); }, kShrinkRuns);
  if (shrunk.settings.empty()) return;
  if (!choice.settings.empty()) choice.settings += ",";
  choice.settings += Join(shrunk.settings);
  std::printf("  smaller, after %" PRIu64 " runs: quorate-sim --seed %" PRIu64
              "%s --trace\n  which is: %s\n",
              shrunk.runs, failure.seed, Flags(choice).c_str(),
              Describe(PlanFor(failure.seed, choice)).c_str());
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
  std::printf(
      "seed %" PRIu64 ": %" PRIu64 " events, %" PRIu64 " operations (%" PRIu64 " writes, %" PRIu64
      " strong reads; %" PRIu64 " certificates and %" PRIu64 " refusals of reads checked), %" PRIu64
      " committed, term %" PRIu64 ", trace %016" PRIx64 "\n",
      seed, report.events, report.operations, report.writes, report.strong_reads,
      report.certificates, report.refusals, outcome.committed, outcome.terms, report.trace_hash);
  if (!report.failed) return 0;
  PrintFailure(report, choice);
  if (!arguments.trace) PrintShrunk(report, choice);
  return kFailed;
}

// The table of --crash-points. False if a point was never the place of a death.
bool PrintCrashPoints(const CrashCounts& counts) {
  bool all = true;
  std::printf("%-36s %12s %8s\n", "point", "passed", "died");
  const auto points = AllCrashPoints();
  for (std::size_t i = 0; i < points.size(); ++i) {
    std::printf("%-36s %12" PRIu64 " %8" PRIu32 "%s\n", points[i].c_str(), counts[i].passed,
                counts[i].crashed, counts[i].crashed == 0 ? "  NEVER" : "");
    all = all && counts[i].crashed > 0;
  }
  return all;
}

// Some steps are taken once in a hundred runs: those at which nobody has died get runs of their
// own, until somebody does. Returns how many of those runs failed.
std::uint64_t TryMissingPoints(const Choice& choice, std::uint64_t first_seed,
                               CrashCounts& counts) {
  constexpr std::uint64_t kMostRuns = 600;
  std::uint64_t failed = 0;
  for (std::size_t i = 0; i < AllCrashPoints().size(); ++i) {
    Choice at = choice;
    at.crash_at = i;
    for (std::uint64_t run = 0; counts[i].crashed == 0 && run < kMostRuns; ++run) {
      const SeedReport report = RunSeed(first_seed + run, at, /*twice=*/false);
      for (std::size_t point = 0; point < counts.size(); ++point) {
        counts[point].passed += report.crash_counts[point].passed;
        counts[point].crashed += report.crash_counts[point].crashed;
      }
      if (!report.failed) continue;
      ++failed;
      PrintFailure(report, at);
    }
  }
  return failed;
}

int RunRange(const Arguments& arguments, const Choice& choice, SeedRange seeds) {
  const auto started = std::chrono::steady_clock::now();
  const std::uint64_t total = seeds.last - seeds.first + 1;
  std::uint64_t done = 0, failed = 0, events = 0, operations = 0, writes = 0, reads = 0, hash = 0;
  std::uint64_t certificates = 0, refusals = 0;
  CrashCounts crash_counts{};
  std::vector<SeedReport> failures;
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
        certificates += report.certificates;
        refusals += report.refusals;
        hash += Mix(report.trace_hash ^ report.seed);  // whatever the order of arrival
        for (std::size_t i = 0; i < crash_counts.size(); ++i) {
          crash_counts[i].passed += report.crash_counts[i].passed;
          crash_counts[i].crashed += report.crash_counts[i].crashed;
        }
        if (report.failed) PrintFailure(report, choice);
        if (report.failed && failures.size() < kShrunkFailures) failures.push_back(report);
        if (progress)
          std::fprintf(stderr, "\r%" PRIu64 "/%" PRIu64 " seeds, %" PRIu64 " failed ", done, total,
                       failed);
        return true;
      });
  if (progress) std::fprintf(stderr, "\r");
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  std::printf(
      "%" PRIu64 " seeds: %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64 " operations (%" PRIu64
      " writes, %" PRIu64 " strong reads; %" PRIu64 " certificates and %" PRIu64
      " refusals of reads checked); traces %016" PRIx64 "; %.1f s\n",
      done, failed, events, operations, writes, reads, certificates, refusals, hash, seconds);
  if (arguments.verify_determinism) std::printf("each seed ran twice\n");
  if (choice.crash_points && !choice.crash_at) {
    failed += TryMissingPoints(choice, seeds.last + 1, crash_counts);
  }
  const bool all_points = !choice.crash_points || choice.crash_at || PrintCrashPoints(crash_counts);
  for (const SeedReport& failure : failures) {
    std::printf("seed %" PRIu64 " (%s):\n", failure.seed, failure.invariant);
    PrintShrunk(failure, choice);
  }
  return failed == 0 && all_points ? 0 : kFailed;
}

// True if the bug was found within its budget.
bool RunControl(const Arguments& arguments, const ControlCase& control) {
  std::optional<SeedReport> caught;
  RunSeeds(
      {1, control.budget}, arguments.jobs,
      [&control](std::uint64_t seed) {
        return RunSeed(seed, {&control, std::nullopt, {}, false}, false);
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
  choice.crash_points = arguments.crash_points;
  choice.crash_at = arguments.crash_at;
  choice.settings = arguments.settings;
  Plan scratch = MakePlan(1, Profile::kGeneral);
  if (const auto wrong = ApplySettings(scratch, choice.settings)) {
    return UsageError("--set does not know '" + *wrong + "'; it takes " + SettingNames());
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
      "Favour some faults in every seed: general, leader-changes, slow-tails, crashes, reordering, "
      "snapshots");
  app.add_option("--set", arguments.settings,
                 "Leave something out of every seed's plan: " + quorate::sim::SettingNames());
  app.add_option("--crash-at", arguments.crash_at,
                 "With --crash-points: let nodes die at the point of this number, from 0");
  app.add_flag("--crash-points", arguments.crash_points,
               "Let nodes die at each named point in turn, one point per seed; every point must be "
               "hit");
  app.add_flag("--controls", arguments.controls, "Every control in turn; each must be caught");
  app.add_flag("--list-controls", arguments.list_controls, "Name the controls");
  app.add_flag("--verify-determinism", arguments.verify_determinism,
               "Run each seed twice and compare the traces");
  app.add_option("--jobs", arguments.jobs, "Processes to run at once")->capture_default_str();
  app.footer(
      "Examples:\n"
      "  quorate-sim --seeds 1..500\n"
      "  quorate-sim --seed 42 --trace | less\n"
      "  quorate-sim --seed 42 --set no-pause,nodes=3,duration=2000\n"
      "  quorate-sim --crash-points --seeds 1..1000\n"
      "  quorate-sim --control token-by-position\n"
      "  quorate-sim --seed 3 --control stale-read --trace\n"
      "Exit codes: 0 all is well, 1 a seed failed, a control was not caught or a crash point not "
      "hit, "
      "2 wrong usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : quorate::sim::kUsage;
  }
  return quorate::sim::Dispatch(arguments);
}
