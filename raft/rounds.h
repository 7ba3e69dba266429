// Numbered rounds: how a leader learns that it still leads, for linearizable reads (thesis 6.4) and
// anchors (D6.3).
//
// A round starts at a moment S with the commit index c. It is confirmed once a quorum of voters has
// acknowledged a message sent in that round or a later one. Then no newer leader existed at S, so
// everything committed anywhere by S is <= c.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "raft/message.h"
#include "raft/types.h"

namespace quorate::raft {

// A read that waits for a round which starts after the read was taken up.
struct WaitingRead {
  NodeId from = kNoNode;  // kNoNode: this node's own
  std::uint64_t id = 0;
  Index index = 0;  // the answer: the commit index when its round started
};

struct Round {
  std::uint64_t number = 0;
  Time started{0};
  Index commit = 0;
  bool own_term = false;                  // the entry at `commit` is of the leader's own term
  std::map<NodeId, ClockReading> clocks;  // the latest from each peer when the round started
  std::vector<WaitingRead> reads;
};

struct Rounds {
  // Begins the next round with the waiting reads, if `take_reads`.
  Round& Start(Time now, Index commit, bool own_term, bool take_reads);
  // Takes out every round up to `number`, oldest first: they are confirmed.
  std::vector<Round> Confirm(std::uint64_t number);
  // Reads start no round while this many wait for answers: over a link slower than kMaxInFlight
  // rounds, each would be merged away before its own answer came.
  bool Full() const { return in_flight.size() >= kMaxInFlight; }

  std::uint64_t last_number = 0;
  std::deque<Round> in_flight;         // ascending; bounded by kMaxInFlight
  std::vector<WaitingRead> waiting;    // for the next round
  std::optional<Time> last_confirmed;  // when the last confirmed round started

  // Ticks start a round whatever became of the last one; an unreachable quorum must not grow this
  // list.
  static constexpr std::size_t kMaxInFlight = 64;
};

}  // namespace quorate::raft
