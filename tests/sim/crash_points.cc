#include "tests/sim/crash_points.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "tests/sim/invariants.h"

namespace quorate::sim {
namespace {

// The steps of a running node, and those of one that starts (its recovery writes too). A death
// before a step finds nothing of it done, one after it all of it, as far as that thread knows.
constexpr std::string_view kSteps[] = {
    // The log.
    "log write",
    "log sync",
    "log rename",
    "log remove",
    "log directory sync",
    "spare segment rename",
    "spare segment create",
    "spare segment write",
    "spare segment sync",
    "spare segment remove",
    // The state machine.
    "apply",
    "flush create",
    "flush write",
    "flush sync",
    "flush rename",
    "flush remove",
    // Snapshots: taking one, fetching one, making it the current database.
    "snapshots directory create",
    "checkpoint create",
    "checkpoint write",
    "checkpoint sync",
    "checkpoint rename",
    "checkpoint remove",
    "kept snapshot remove",
    "incoming manifest create",
    "incoming manifest write",
    "incoming manifest sync",
    "incoming manifest rename",
    "incoming manifest remove",
    "fetched database create",
    "fetched database write",
    "fetched database sync",
    "fetched database remove",
    "current create",
    "current write",
    "current sync",
    "current rename",
    "current remove",
    "directory sync",
    // Messages.
    "send vote request",
    "send vote reply",
    "send append",
    "send append reply",
    "send heartbeat",
    "send heartbeat reply",
    "send snapshot offer",
    "send snapshot request",
    "send snapshot reply",
    "send read index request",
    "send read index reply",
    "send timeout now",
};
constexpr std::string_view kBootSteps[] = {
    "directory create",
    "directory sync",
    "identity create",
    "identity write",
    "identity sync",
    "identity rename",
    "identity remove",
    "current create",
    "current write",
    "current sync",
    "current rename",
    "current remove",
    "flush create",
    "flush write",
    "flush sync",
    "flush rename",
    "flush remove",
    "fetched database remove",
    "incoming manifest remove",
    "kept snapshot remove",
    "log directory create",
    "log directory sync",
    "log write",
    "log sync",
    "log rename",
    "log remove",
    "spare segment rename",
    "spare segment create",
    "spare segment write",
    "spare segment sync",
    "spare segment remove",
};
static_assert(2 * (std::size(kSteps) + std::size(kBootSteps)) <= kMaxCrashPoints);

void AddNames(std::span<const std::string_view> steps, const std::string& prefix,
              std::vector<std::string>& names) {
  for (const std::string_view step : steps) {
    names.push_back(prefix + "before " + std::string(step));
    names.push_back(prefix + "after " + std::string(step));
  }
}

std::vector<std::string> MakeNames() {
  std::vector<std::string> names;
  AddNames(kSteps, "", names);
  AddNames(kBootSteps, "boot: ", names);
  return names;
}

std::size_t NumberOf(std::string_view point) {
  static const std::map<std::string_view, std::size_t> kNumbers = [] {
    std::map<std::string_view, std::size_t> numbers;
    for (const std::string& name : AllCrashPoints()) numbers.emplace(name, numbers.size());
    return numbers;
  }();
  const auto it = kNumbers.find(point);
  if (it == kNumbers.end()) {
    Violate("crash-point-is-listed", "'" + std::string(point) + "' is not in crash_points.cc");
  }
  return it->second;
}

}  // namespace

std::span<const std::string> AllCrashPoints() {
  static const std::vector<std::string> kNames = MakeNames();
  return kNames;
}

void CrashPoints::Pass(std::string_view point) {
  const std::size_t number = NumberOf(point);
  ++counts_[number].passed;
  const auto chosen = std::find(plan_.points.begin(), plan_.points.end(), point);
  if (stopped_ || crashed_ >= plan_.limit || chosen == plan_.points.end()) return;
  if (!random_.Chance(plan_.chance)) return;
  ++crashed_;
  ++counts_[number].crashed;
  throw Crash{*chosen};
}

}  // namespace quorate::sim
