// quorate-workload: clients that run a workload and write down what they saw (jepsen/FORMAT.md).
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>

#include "jepsen/workload/run.h"

namespace quorate::workload {
namespace {

// As in sysexits.h.
constexpr int kExitUsage = 64;
constexpr int kExitFailed = 70;

struct Arguments {
  std::string workload;
  std::string endpoints;
  std::string read = "strong,bounded:200ms,session,eventual";
  std::string history;
  std::string header = "{}";
  std::int64_t origin_us = -1;
  double time_s = 10;
  double timeout_s = 1;
  bool list = false;
  Settings settings;
};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// "strong,bounded:200ms,lag=10,session": the lag belongs to what stands before it. Nothing: the
// error is printed.
std::optional<std::vector<ReadLevel>> ParseLevels(const std::string& text) {
  std::vector<std::string> texts;
  for (const std::string& part : Split(text)) {
    if (part.starts_with("lag=") && !texts.empty()) {
      texts.back() += ',' + part;
    } else {
      texts.push_back(part == "bounded" ? "bounded:200ms" : part);
    }
  }
  std::vector<ReadLevel> levels;
  for (const std::string& one : texts) {
    if (one == "session") {
      levels.push_back({one, kEventual});
      continue;
    }
    const auto level = ParseLevel(one);
    if (!level || level->token) {
      std::cerr << "quorate-workload: --read: "
                << (level ? "a session needs no token here: session" : level.error().detail)
                << '\n';
      return std::nullopt;
    }
    levels.push_back({level->strong()    ? "strong"
                      : level->bounded() ? "bounded"
                                         : "eventual",
                      *level});
  }
  if (levels.empty()) std::cerr << "quorate-workload: --read names no level\n";
  return levels.empty() ? std::nullopt : std::optional(levels);
}

int List() {
  for (const Kind& kind : Kinds()) {
    const Operation line = {{"name", kind.name}, {"model", kind.model}, {"help", kind.help}};
    std::puts(line.dump().c_str());
  }
  return 0;
}

void AddOptions(CLI::App& app, Arguments& arguments) {
  Settings& settings = arguments.settings;
  app.add_flag("--list", arguments.list, "Print the workloads, a line of JSON each");
  app.add_option("--workload", arguments.workload, "What the clients do; see --list");
  app.add_option("--endpoints", arguments.endpoints, "HOST:PORT of nodes, separated by commas");
  app.add_option("--history", arguments.history, "File to append to");
  app.add_option("--read", arguments.read, "Levels of reads, chosen with equal chance")
      ->capture_default_str();
  app.add_option("--nodes", settings.nodes, "Pin some reads to nodes 1 to this; 0: none");
  app.add_option("--clients", settings.clients, "Each has one operation at a time")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--rate", settings.rate, "Operations a second, all together")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str();
  app.add_option("--time", arguments.time_s, "Seconds")
      ->check(CLI::Range(0.1, 1e6))
      ->capture_default_str();
  app.add_option("--timeout", arguments.timeout_s, "Seconds for an operation")
      ->check(CLI::Range(0.01, 600.0))
      ->capture_default_str();
  app.add_option("--seed", settings.seed, "Of all choices")->capture_default_str();
  app.add_option("--origin-us", arguments.origin_us,
                 "When the test began, on CLOCK_MONOTONIC, in us; default: now");
  app.add_option("--header", arguments.header, "More of the history's header, a JSON object");
}

int Work(Arguments& arguments) {
  const Kind* kind = KindNamed(arguments.workload);
  if (kind == nullptr) {
    std::cerr << "quorate-workload: there is no workload '" << arguments.workload
              << "': see --list\n";
    return kExitUsage;
  }
  Operation header = {{"format", "quorate-history-1"},
                      {"workload", kind->name},
                      {"model", kind->model},
                      {"seed", arguments.settings.seed}};
  const auto more = Operation::parse(arguments.header, nullptr, false);
  if (!more.is_object()) {
    std::cerr << "quorate-workload: --header is not a JSON object\n";
    return kExitUsage;
  }
  header.update(more);
  Settings& settings = arguments.settings;
  const auto levels = ParseLevels(arguments.read);
  if (!levels) return kExitUsage;
  settings.levels = *levels;
  settings.endpoints = Split(arguments.endpoints);
  if (settings.endpoints.empty() || arguments.history.empty()) {
    std::cerr << "quorate-workload: --endpoints and --history are needed\n";
    return kExitUsage;
  }
  const auto milliseconds = [](double seconds) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  };
  settings.time = milliseconds(arguments.time_s);
  settings.timeout = milliseconds(arguments.timeout_s);
  std::chrono::microseconds origin(arguments.origin_us);
  if (arguments.origin_us < 0) {
    origin = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
  }
  Recorder recorder(arguments.history, origin);
  const std::string error = RunWorkload(*kind, settings, recorder, std::move(header));
  if (error.empty()) return 0;
  std::cerr << "quorate-workload: " << error << '\n';
  return kExitFailed;
}

int Main(int argc, char** argv) {
  CLI::App app("Runs clients against a cluster and writes down what they saw (jepsen/FORMAT.md).");
  Arguments arguments;
  AddOptions(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return arguments.list ? List() : Work(arguments);
}

}  // namespace
}  // namespace quorate::workload

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return quorate::workload::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quorate-workload: %s\n", error.what());
    return quorate::workload::kExitFailed;
  }
}
