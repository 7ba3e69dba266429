// What every command of `quorate` takes: flags, environment and config file, read by CLI11.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quorate/client.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace quorate::tools {

struct Settings {
  std::vector<std::string> endpoints{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"};
  std::uint64_t cluster_id = 0;  // 0: any
  std::string deadline_text = "2s";
  std::uint64_t node = 0;  // 0: not pinned
  bool json = false;
  bool verbose = false;

  std::chrono::milliseconds deadline() const;
  Options client_options() const;
};

// "250ms", "2s", "1m", "1.5s"; a bare number is refused, since nobody can tell its unit.
std::optional<std::chrono::microseconds> ParseDuration(std::string_view text);

// All of `text`, or nothing. Not CLI11's own: there what does not fit becomes the nearest number
// that does.
template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc() || end != last) return std::nullopt;
  return number;
}

// What --prefix, --from and --to leave together; empty: not given.
Range RangeOf(const std::string& prefix, const std::string& from, const std::string& to);

// Makes `option` accept durations from `least` to an hour only.
void CheckDuration(CLI::Option* option, std::chrono::microseconds least);

void AddGlobalOptions(CLI::App& app, Settings& settings);

}  // namespace quorate::tools
