// Are the answers those of one copy of the data, read and written in an order that respects real
// time?
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/sim/history.h"

namespace quorate::sim {

// The order by log index is the witness, so this takes O(n log n) instead of a search. Writes stand
// at their index, a strong read right after the index it was served at. Checked:
//   - a write is in the log where its answer says, once; one that was certainly not executed is not
//   in the log;
//   - each answer is that of a model which executes the log in order;
//   - if one operation returned before another was invoked, it stands before it (eventual reads are
//   exempt from that,
//     but the state they show must be one of the past, not of the future).
// `log` is ascending in index. Returns what is wrong, or nothing.
std::optional<std::string> FindViolation(const std::vector<Operation>& operations,
                                         const std::vector<LoggedWrite>& log);

}  // namespace quorate::sim
