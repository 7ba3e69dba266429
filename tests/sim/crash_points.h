// Named moments at which a node can die: each step that puts something on its disk, sends something
// or applies something.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tests/sim/random.h"

namespace quorate::sim {

inline constexpr std::size_t kMaxCrashPoints = 192;

// The names of all of them, in a fixed order. Passing any other is a violation (`crash-point-is-
// listed`), so that the list stays true.
std::span<const std::string> AllCrashPoints();

// Thrown at a crash point, through the code under test: nothing more happens on that thread.
struct Crash {
  std::string_view point;
};

struct CrashPlan {
  // Where nodes die; empty: nowhere. Two, since some steps are only taken after a death at another.
  std::array<std::string_view, 2> points;
  double chance = 0;        // each time one passes it
  std::uint32_t limit = 0;  // deaths in one run
};

struct CrashCount {
  std::uint64_t passed = 0;
  std::uint32_t crashed = 0;
};
using CrashCounts = std::array<CrashCount, kMaxCrashPoints>;  // in the order of AllCrashPoints()

class CrashPoints {
 public:
  CrashPoints(const CrashPlan& plan, Random random) : plan_(plan), random_(random) {}

  // May throw Crash.
  void Pass(std::string_view point);
  // From now on nobody dies.
  void Stop() { stopped_ = true; }
  const CrashCounts& counts() const { return counts_; }

 private:
  const CrashPlan plan_;
  Random random_;
  bool stopped_ = false;
  std::uint32_t crashed_ = 0;
  CrashCounts counts_{};
};

}  // namespace quorate::sim
