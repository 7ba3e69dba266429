// The one source of randomness of a simulated run.
#pragma once

#include <cstdint>

#include "raft/types.h"

namespace quorate::sim {

// Virtual time since the run began, in microseconds. Nodes do not see it: they have clocks of their
// own (clock.h).
using SimTime = raft::Duration;

constexpr SimTime Millis(std::int64_t count) {
  return SimTime{count * 1000};
}
constexpr SimTime Seconds(std::int64_t count) {
  return SimTime{count * 1'000'000};
}

// Scrambles `value`; also used to chain hashes.
constexpr std::uint64_t Mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

// SplitMix64. The distributions of <random> differ between standard libraries, and a seed must mean
// the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15ULL); }
  // In [0, bound); bound > 0. The bias of the remainder is far below what a simulation could
  // notice.
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }
  // In [low, high].
  std::int64_t Between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(Below(static_cast<std::uint64_t>(high - low) + 1));
  }
  SimTime Between(SimTime low, SimTime high) { return SimTime{Between(low.count(), high.count())}; }
  bool Chance(double probability) {
    return static_cast<double>(Next() >> 11) * 0x1p-53 < probability;
  }
  // A time to the next of events that come independently of each other, `mean` apart: mostly short,
  // now and then long.
  SimTime Interval(SimTime mean);
  // An independent stream, so that one part's draws do not shift another's.
  Random Fork() { return Random(Next()); }

 private:
  std::uint64_t state_;
};

}  // namespace quorate::sim
