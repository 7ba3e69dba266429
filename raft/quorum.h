// Majorities, single and joint. Pure arithmetic, tested against brute force.
#pragma once

#include <functional>
#include <vector>

#include "raft/types.h"

namespace quorate::raft {

// The voters of a configuration. While `outgoing` is not empty, both lists must agree (thesis 4.3).
struct VoterSet {
  std::vector<NodeId> incoming;
  std::vector<NodeId> outgoing;

  bool Contains(NodeId id) const;
  bool IsSole(NodeId id) const;  // `id` alone is a quorum
  // Every voter once, ordered by id.
  std::vector<NodeId> All() const;

  friend bool operator==(const VoterSet&, const VoterSet&) = default;
};

enum class VoteResult { kPending, kWon, kLost };

// kWon once a quorum said yes, kLost once none can any more. `answer` returns 1 for yes, -1 for no,
// 0 for not yet.
VoteResult TallyVotes(const VoterSet& voters, const std::function<int(NodeId)>& answer);

// The largest value v such that a quorum of voters has value(id) >= v. Zero for an empty set:
// nobody decides nothing. Used for the commit index (values are match indexes), rounds, and
// CheckQuorum (values are times).
std::uint64_t QuorumValue(const VoterSet& voters,
                          const std::function<std::uint64_t(NodeId)>& value);

}  // namespace quorate::raft
