#include "tests/sim/random.h"

namespace quorate::sim {

SimTime Random::Interval(SimTime mean) {
  // Geometric in steps of mean / 8: exponential enough, and exact on every platform, unlike
  // std::log.
  const std::int64_t step = mean.count() / 8 + 1;
  std::int64_t steps = 0;
  while (steps < 64 && !Chance(0.118)) ++steps;
  return SimTime{steps * step + Between(0, step)};
}

}  // namespace quorate::sim
