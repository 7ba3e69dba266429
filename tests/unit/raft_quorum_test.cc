// Majorities against brute force: every voter set of up to five nodes, single and joint, with every
// answer and every assignment of small values.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "raft/quorum.h"

namespace quorate::raft {
namespace {

constexpr NodeId kNodes = 5;

std::vector<NodeId> Subset(unsigned mask) {
  std::vector<NodeId> ids;
  for (NodeId id = 1; id <= kNodes; ++id) {
    if ((mask >> (id - 1) & 1) != 0) ids.push_back(id);
  }
  return ids;
}

// The definition: more than half of the list is in the set.
bool IsMajority(const std::vector<NodeId>& voters, unsigned set) {
  const auto in = std::count_if(voters.begin(), voters.end(),
                                [set](NodeId id) { return (set >> (id - 1) & 1) != 0; });
  return 2 * static_cast<std::size_t>(in) > voters.size();
}

bool IsQuorum(const VoterSet& voters, unsigned set) {
  return IsMajority(voters.incoming, set) &&
         (voters.outgoing.empty() || IsMajority(voters.outgoing, set));
}

std::vector<VoterSet> AllVoterSets() {
  std::vector<VoterSet> all;
  for (unsigned incoming = 1; incoming < 1U << kNodes; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 1U << kNodes; ++outgoing) {
      all.push_back({Subset(incoming), Subset(outgoing)});
    }
  }
  return all;
}

TEST(Quorum, TallyMatchesBruteForce) {
  const unsigned sets = 1U << kNodes;
  std::size_t won = 0;
  std::size_t lost = 0;
  for (const VoterSet& voters : AllVoterSets()) {
    for (unsigned yes = 0; yes < sets; ++yes) {
      for (unsigned no = 0; no < sets; ++no) {
        if ((yes & no) != 0) continue;
        const VoteResult result = TallyVotes(voters, [&](NodeId id) {
          if ((yes >> (id - 1) & 1) != 0) return 1;
          return (no >> (id - 1) & 1) != 0 ? -1 : 0;
        });
        // Lost: not even with a yes from all that have not answered.
        VoteResult expected = VoteResult::kPending;
        if (IsQuorum(voters, yes)) expected = VoteResult::kWon;
        if (!IsQuorum(voters, ~no & (sets - 1))) expected = VoteResult::kLost;
        ASSERT_EQ(result, expected) << "yes=" << yes << " no=" << no;
        won += result == VoteResult::kWon;
        lost += result == VoteResult::kLost;
      }
    }
  }
  EXPECT_GT(won, 0U);
  EXPECT_GT(lost, 0U);
}

TEST(Quorum, ValueMatchesBruteForce) {
  constexpr std::uint64_t kValues = 3;
  std::uint64_t assignments = 1;
  for (NodeId id = 1; id <= kNodes; ++id) assignments *= kValues;
  for (const VoterSet& voters : AllVoterSets()) {
    for (std::uint64_t assignment = 0; assignment < assignments; ++assignment) {
      std::map<NodeId, std::uint64_t> values;
      std::uint64_t rest = assignment;
      for (NodeId id = 1; id <= kNodes; ++id, rest /= kValues) values[id] = 10 + rest % kValues;
      // The definition: the largest v that a quorum reaches.
      std::uint64_t expected = 0;
      for (std::uint64_t v = 10; v < 10 + kValues; ++v) {
        unsigned reached = 0;
        for (const auto& [id, value] : values) reached |= value >= v ? 1U << (id - 1) : 0;
        if (IsQuorum(voters, reached)) expected = v;
      }
      ASSERT_EQ(QuorumValue(voters, [&](NodeId id) { return values.at(id); }), expected);
    }
  }
}

TEST(Quorum, NobodyDecidesNothing) {
  const VoterSet nobody;
  EXPECT_EQ(QuorumValue(nobody, [](NodeId) { return 7; }), 0U);
  EXPECT_EQ(TallyVotes(nobody, [](NodeId) { return 1; }), VoteResult::kLost);
}

TEST(Quorum, AnyTwoQuorumsOfOneSetMeet) {
  for (const VoterSet& voters : AllVoterSets()) {
    for (unsigned a = 0; a < 1U << kNodes; ++a) {
      if (!IsQuorum(voters, a)) continue;
      ASSERT_FALSE(IsQuorum(voters, ~a & ((1U << kNodes) - 1)));
    }
  }
}

TEST(Quorum, SoleVoterAndMembership) {
  EXPECT_TRUE((VoterSet{{2}, {}}).IsSole(2));
  EXPECT_TRUE((VoterSet{{2}, {2}}).IsSole(2));
  EXPECT_FALSE((VoterSet{{2}, {3}}).IsSole(2));
  EXPECT_FALSE((VoterSet{{2}, {}}).IsSole(1));
  EXPECT_FALSE((VoterSet{}).IsSole(1));
  const VoterSet joint{{3, 1}, {2, 3}};
  EXPECT_EQ(joint.All(), (std::vector<NodeId>{1, 2, 3}));
  EXPECT_TRUE(joint.Contains(2));
  EXPECT_FALSE(joint.Contains(4));
}

}  // namespace
}  // namespace quorate::raft
