// Is there an order of the operations that explains all answers and respects real time?
//
// The search of Wing & Gong with Lowe's cache of (what was linearized, state). The general problem
// is NP-complete, so it has a budget and three answers. Beyond the textbook:
// - Operations without an answer need not be linearized. They are kept aside, those that do the
//   same are interchangeable (the earliest first), and a configuration is dropped if one was seen
//   with the same state that had used fewer of them: it could do all that this one can.
// - A set of linearized operations is remembered by a 128-bit fingerprint, not bit by bit: the
//   chance that any two of a billion sets are confused is below 1e-20.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "jepsen/check/history.h"
#include "jepsen/check/stepper.h"

namespace quorate::check {

enum class Verdict : std::uint8_t { kValid, kInvalid, kUnknown };

struct Budget {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::size_t bytes = std::size_t{2} << 30;

  static Budget For(std::chrono::milliseconds time, std::size_t bytes = std::size_t{2} << 30) {
    return {std::chrono::steady_clock::now() + time, bytes};
  }
};

struct Linearization {
  Verdict verdict = Verdict::kUnknown;
  // Invalid: the operation (an index into the given ones) that no order reaches past, whatever
  // comes after it.
  std::size_t stuck_at = 0;
  // Invalid: states in which it was tried with all that returned before it in place, a few of them.
  std::vector<State> states;
  std::size_t configurations = 0;
};

// Whether the operation takes part: a `fail` does not, unless it says that it compared unequal.
bool TakesPart(const Operation& operation);

// The operations of one object, in any order; all take part.
Linearization Linearize(Stepper& stepper, const ValueTable& values,
                        std::span<const Operation> operations, const Budget& budget);

}  // namespace quorate::check
