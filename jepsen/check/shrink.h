// From a history that cannot be linearized to a small part of it that shows why.
#pragma once

#include <vector>

#include "jepsen/check/linearizability.h"

namespace quorate::check {

// Drops what can be dropped such that what is left still cannot be linearized, and each step is
// sound: if the whole could be linearized, what is left could be. So whoever sees that what is left
// is impossible knows that the whole is. The steps:
// - all that began after a moment goes, and what had not returned by then loses its answer;
// - observations (reads, comparisons that were unequal) go: they change nothing;
// - of registers, writes go whose value nobody that is left has seen or compared with.
// `stuck_at` is what Linearize said of the operations. Stops early when the budget ends.
std::vector<Operation> Shrink(Stepper& stepper, const ValueTable& values,
                              std::vector<Operation> operations, std::size_t stuck_at,
                              const Budget& budget);

}  // namespace quorate::check
