// The vocabulary of the consensus core: identifiers, positions in the log, time.
#pragma once

#include <chrono>
#include <cstdint>

namespace quorate::raft {

using NodeId = std::uint64_t;  // 1 and up; 0 means "none"
using Term = std::uint64_t;    // 0 means "before any election"
using Index = std::uint64_t;   // 1 and up; 0 means "before the first entry"

inline constexpr NodeId kNoNode = 0;

// Time as the node itself measures it: microseconds of CLOCK_BOOTTIME, whose origin means nothing
// to other nodes. The core never reads a clock; every input carries the time at which it was taken
// up.
using Duration = std::chrono::microseconds;
using Time = std::chrono::microseconds;

// Names one data directory for ever: drawn at random when the directory is first made. A node that
// comes back under its old id with an empty directory has another uuid, and so cannot vote away
// entries it has forgotten (D4).
struct Uuid {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  bool empty() const { return high == 0 && low == 0; }
  friend bool operator==(const Uuid&, const Uuid&) = default;
};

// A position in the log.
struct Position {
  Index index = 0;
  Term term = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

// What must survive a crash besides the entries (Raft, figure 2). The commit index need not.
struct HardState {
  Term term = 0;
  NodeId vote = kNoNode;
  friend bool operator==(const HardState&, const HardState&) = default;
};

}  // namespace quorate::raft
