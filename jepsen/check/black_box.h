// Linearizability of what clients saw, without help from indices: of all writes and strong reads.
#pragma once

#include "jepsen/check/check.h"

namespace quorate::check {

// Adds the checker "linearizable". Keys are searched in turn until the first that cannot be
// linearized.
void CheckBlackBox(History& history, const CheckOptions& options, Report& report);

}  // namespace quorate::check
