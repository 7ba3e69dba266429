// What the simulator excuses a rotten disk for: the last sync, and nothing before it.
#include "tests/sim/durable_record.h"

#include <gtest/gtest.h>

#include <vector>

namespace quorate::sim {
namespace {

constexpr SimTime kFirst{10}, kSecond{20}, kLater{30};

raft::AppendBatch Batch(raft::HardState state, std::vector<raft::Entry> entries = {}) {
  raft::AppendBatch batch;
  batch.hard_state = state;
  batch.entries = std::move(entries);
  return batch;
}

storage::LogRecovery Found(raft::HardState state, raft::Index last) {
  storage::LogRecovery found;
  found.hard_state = state;
  found.contents.last = last;
  if (last > 0) found.contents.terms.push_back({1, 1});
  return found;
}

// One sync makes {1, 1} and entry 1 durable; the next {2, 2} and entry 2, and with them {3, 3}.
DurableRecord TwoSyncs() {
  DurableRecord record;
  record.Issue(SimTime{1}, kFirst, Batch({1, 1}, {{1, 1, raft::EntryKind::kNoop, {}}}));
  record.Issue(kFirst, kSecond, Batch({2, 2}, {{1, 2, raft::EntryKind::kNoop, {}}}));
  record.Issue(kFirst, kSecond, Batch({3, 3}));
  record.PowerCut(kLater);
  return record;
}

TEST(DurableRecord, WhatIsLeftMayEndAnywhereInTheLastSync) {
  const DurableRecord record = TwoSyncs();
  for (const auto& found : {Found({1, 1}, 1), Found({2, 2}, 1), Found({2, 2}, 2)}) {
    EXPECT_TRUE(record.Contradiction(found));
    EXPECT_TRUE(record.LacksLastSyncOnly(found)) << found.hard_state.term;
  }
  EXPECT_FALSE(record.Contradiction(Found({3, 3}, 2)));
}

TEST(DurableRecord, AnEarlierSyncIsNeverExcused) {
  const DurableRecord record = TwoSyncs();
  EXPECT_FALSE(record.LacksLastSyncOnly(Found({}, 0)));
  EXPECT_FALSE(record.LacksLastSyncOnly(Found({1, 1}, 0)));
  EXPECT_FALSE(record.LacksLastSyncOnly(Found({2, 2}, 0)));
  EXPECT_FALSE(record.LacksLastSyncOnly(Found({2, 1}, 1))) << "a vote that was never cast";
}

// It proves that what was written before it had been durable.
TEST(DurableRecord, WhatASyncThatNeverEndedHasLeftEndsTheExcuse) {
  DurableRecord record = TwoSyncs();
  record.Issue(kLater, SimTime{40}, Batch({4, 4}));
  record.PowerCut(SimTime{35});
  record.Restart(Found({4, 4}, 2), 0);
  EXPECT_TRUE(record.LacksLastSyncOnly(Found({3, 3}, 2)));
  EXPECT_FALSE(record.LacksLastSyncOnly(Found({2, 2}, 2)));
}

}  // namespace
}  // namespace quorate::sim
