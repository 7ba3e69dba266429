// A node's own clock: another origin and a slightly wrong rate, but never stopped and never set
// (D6.3).
#pragma once

#include "raft/types.h"
#include "tests/sim/random.h"

namespace quorate::sim {

class Clock {
 public:
  Clock() = default;
  Clock(raft::Time origin, std::int64_t drift_ppm) : origin_(origin), drift_ppm_(drift_ppm) {}

  raft::Time Local(SimTime at) const {
    return origin_ + raft::Time{at.count() + at.count() * drift_ppm_ / 1'000'000};
  }
  // The first moment at which the clock shows `local` or more.
  SimTime FirstMoment(raft::Time local) const {
    const std::int64_t shown = (local - origin_).count();
    SimTime at{shown - shown * drift_ppm_ / 1'000'000 - 2};
    while (Local(at) < local) ++at;
    while (at.count() > 0 && Local(at - SimTime{1}) >= local) --at;
    return at;
  }

 private:
  raft::Time origin_{0};
  std::int64_t drift_ppm_ = 0;
};

}  // namespace quorate::sim
