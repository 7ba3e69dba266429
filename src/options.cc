#include "src/options.h"

#include <charconv>
#include <cmath>
#include <utility>

namespace quorate::server {
namespace {

constexpr std::uint64_t kFnvOffset = 14695981039346656037ULL;
constexpr std::uint64_t kFnvPrime = 1099511628211ULL;

std::uint64_t Fnv1a(std::string_view data) {
  std::uint64_t hash = kFnvOffset;
  for (const unsigned char byte : data) {
    hash ^= byte;
    hash *= kFnvPrime;
  }
  return hash;
}

struct Unit {
  std::string_view name;
  double factor;
};

// A number and one of the units; nothing if it is anything else, negative, or beyond `max`.
template <std::size_t n>
std::optional<double> ParseWithUnit(std::string_view text, const Unit (&units)[n], double max) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  const std::string_view name(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Unit& unit : units) {
    if (unit.name == name && number * unit.factor <= max) return number * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t ClusterId(const std::string& cluster_name,
                        const std::map<raft::NodeId, HostPort>& members) {
  std::string text = "quorate 1\n" + cluster_name + "\n";
  for (const auto& [id, address] : members) {
    text += std::to_string(id) + "=" + address.ToString() + "\n";
  }
  const std::uint64_t hash = Fnv1a(text);
  return hash == 0 ? 1 : hash;
}

storage::Result<raft::Duration> ParseDuration(std::string_view text) {
  constexpr Unit kUnits[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6}};
  const auto micros = ParseWithUnit(text, kUnits, 1e15);
  if (!micros) {
    return storage::Fail(storage::ErrorCode::kInvalid,
                         "'" + std::string(text) + "' is not a duration such as 30ms, 1.5s or 2m");
  }
  return raft::Duration(static_cast<std::int64_t>(*micros));
}

storage::Result<std::uint64_t> ParseBytes(std::string_view text) {
  constexpr Unit kUnits[] = {
      {"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
  const auto bytes = ParseWithUnit(text, kUnits, 1e15);
  if (!bytes || *bytes != std::floor(*bytes)) {
    return storage::Fail(storage::ErrorCode::kInvalid,
                         "'" + std::string(text) + "' is not a size such as 64MiB, 512KiB or 4096");
  }
  return static_cast<std::uint64_t>(*bytes);
}

}  // namespace quorate::server
