#include "tools/settings.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>

namespace quorate::tools {

using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

constexpr microseconds kLongest = std::chrono::hours(1);

std::optional<double> UnitInMicroseconds(std::string_view unit) {
  if (unit == "us") return 1;
  if (unit == "ms") return 1e3;
  if (unit == "s") return 1e6;
  if (unit == "m") return 60e6;
  if (unit == "h") return 3600e6;
  return std::nullopt;
}

}  // namespace

std::optional<microseconds> ParseDuration(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  const auto unit = UnitInMicroseconds(text.substr(static_cast<std::size_t>(end - text.data())));
  if (!unit) return std::nullopt;
  const double us = number * *unit;
  if (us > static_cast<double>(kLongest.count())) return std::nullopt;
  return microseconds(std::llround(us));
}

Range RangeOf(const std::string& prefix, const std::string& from, const std::string& to) {
  Range range = Range::Prefix(prefix);
  if (from > range.first) range.first = from;
  if (!to.empty() && (range.last.empty() || to < range.last)) range.last = to;
  return range;
}

void CheckDuration(CLI::Option* option, microseconds least) {
  option->check(
      [least](const std::string& text) -> std::string {
        const auto parsed = ParseDuration(text);
        if (parsed && *parsed >= least) return {};
        return "'" + text + "' is not a duration between " + std::to_string(least.count()) +
               "us and 1h, such as 250ms or 2s";
      },
      "DURATION");
}

milliseconds Settings::deadline() const {
  return std::chrono::ceil<milliseconds>(ParseDuration(deadline_text).value_or(microseconds(0)));
}

Options Settings::client_options() const {
  Options options;
  options.endpoints = endpoints;
  options.cluster_id = cluster_id;
  options.name = "quorate-cli";
  options.timeout = deadline();
  return options;
}

void AddGlobalOptions(CLI::App& app, Settings& settings) {
  app.add_option("--endpoints", settings.endpoints,
                 "host:port of some nodes, separated by commas; the others are found from these")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->envname("QUORATE_ENDPOINTS")
      ->default_str("127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003");
  app.add_option("--cluster-id", settings.cluster_id,
                 "Talk to this cluster only (0: whichever answers)")
      ->envname("QUORATE_CLUSTER_ID")
      ->capture_default_str();
  CheckDuration(app.add_option("--deadline", settings.deadline_text,
                               "Of one request: dialling, retries and all, such as 500ms")
                    ->envname("QUORATE_DEADLINE")
                    ->capture_default_str(),
                milliseconds(1));
  app.add_option("--node", settings.node,
                 "Ask only the node of this id, whatever it answers (0: any)")
      ->envname("QUORATE_NODE")
      ->capture_default_str();
  app.add_flag("--json", settings.json, "One JSON object per reply, on stdout")
      ->envname("QUORATE_JSON");
  app.add_flag("-v,--verbose", settings.verbose,
               "Say on stderr where an answer came from, and how things progress")
      ->envname("QUORATE_VERBOSE");
}

}  // namespace quorate::tools
