// A follower's window, and the rounds of a leader.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "raft/progress.h"
#include "raft/rounds.h"

namespace quorate::raft {
namespace {

TEST(Progress, AcksFreeTheWindowInOrder) {
  Progress peer;
  peer.BecomeReplicate(1);
  peer.Sent(3, 100);
  peer.Sent(5, 200);
  peer.Sent(9, 300);
  EXPECT_EQ(peer.inflight_bytes, 600U);
  peer.Acknowledged(4, 4);  // within the second append, which stays in flight
  EXPECT_EQ(peer.inflight_bytes, 500U);
  peer.Acknowledged(2, 2);  // late
  EXPECT_EQ(peer.inflight_bytes, 500U);
  EXPECT_EQ(peer.match, 4U);
  peer.Acknowledged(9, 9);
  EXPECT_EQ(peer.inflight_bytes, 0U);
  EXPECT_TRUE(peer.inflight.empty());
}

// What a follower has received and not synced fills its memory: only its disk frees the window.
TEST(Progress, WhatIsReceivedAndNotDurableKeepsTheWindowFull) {
  Progress peer;
  peer.BecomeReplicate(1);
  peer.next = 6;
  peer.Sent(3, 100);
  peer.Sent(5, 200);
  peer.Acknowledged(/*verified=*/5, /*durable=*/0);
  EXPECT_EQ(peer.match, 0U);
  EXPECT_EQ(peer.inflight_bytes, 300U);
  peer.Acknowledged(5, 3);
  EXPECT_EQ(peer.match, 3U);
  EXPECT_EQ(peer.inflight_bytes, 200U);
  EXPECT_EQ(peer.next, 6U);
  peer.Acknowledged(5, 5);
  EXPECT_EQ(peer.inflight_bytes, 0U);
}

// The late answer to a larger append of before the probe: it is not sent again, and is not durable.
TEST(Progress, WhatIsVerifiedIsNotSentAgainButDoesNotCount) {
  Progress peer;
  peer.BecomeReplicate(1);
  peer.Acknowledged(/*verified=*/7, /*durable=*/2);
  EXPECT_EQ(peer.next, 8U);
  EXPECT_EQ(peer.match, 2U);
}

TEST(Progress, ProbingForgetsTheWindowAndNeverGoesBelowMatch) {
  Progress peer;
  peer.match = 7;
  peer.BecomeReplicate(8);
  peer.Sent(9, 100);
  peer.fetching = true;
  peer.probe_sent = true;
  peer.BecomeProbe(3);
  EXPECT_EQ(peer.next, 8U);
  EXPECT_EQ(peer.state, ProgressState::kProbe);
  EXPECT_EQ(peer.inflight_bytes, 0U);
  EXPECT_FALSE(peer.fetching);
  EXPECT_FALSE(peer.probe_sent);
  peer.BecomeReplicate(12);
  EXPECT_EQ(peer.next, 12U);
  EXPECT_EQ(peer.state, ProgressState::kReplicate);
}

WaitingRead Read(std::uint64_t id) {
  return {kNoNode, id, 0};
}

std::vector<std::uint64_t> Ids(const std::vector<Round>& rounds) {
  std::vector<std::uint64_t> ids;
  for (const Round& round : rounds) {
    for (const WaitingRead& read : round.reads) ids.push_back(read.id);
  }
  return ids;
}

TEST(Rounds, WaitingReadsShareTheNextRound) {
  Rounds rounds;
  rounds.waiting = {Read(1), Read(2)};
  rounds.Start(Time{10}, /*commit=*/5, /*own_term=*/true, /*take_reads=*/true);
  EXPECT_TRUE(rounds.waiting.empty());
  rounds.waiting = {Read(3)};
  EXPECT_EQ(Ids(rounds.Confirm(1)), (std::vector<std::uint64_t>{1, 2}));
  EXPECT_EQ(rounds.last_confirmed, Time{10});
  rounds.Start(Time{20}, 6, true, true);
  const std::vector<Round> confirmed = rounds.Confirm(2);
  EXPECT_EQ(Ids(confirmed), (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(confirmed.front().reads.front().index, 6U);
}

TEST(Rounds, ReadsThatMayNotBeTakenWait) {
  Rounds rounds;
  rounds.waiting = {Read(1)};
  rounds.Start(Time{10}, 5, false, /*take_reads=*/false);
  EXPECT_TRUE(Ids(rounds.Confirm(1)).empty());
  EXPECT_EQ(rounds.waiting.size(), 1U);
}

TEST(Rounds, ConfirmTakesAllUpToTheNumber) {
  Rounds rounds;
  for (int i = 0; i < 5; ++i) rounds.Start(Time{i}, 1, true, true);
  EXPECT_TRUE(rounds.Confirm(0).empty());
  EXPECT_EQ(rounds.Confirm(3).size(), 3U);
  EXPECT_TRUE(rounds.Confirm(2).empty());
  EXPECT_EQ(rounds.Confirm(100).size(), 2U);
  EXPECT_EQ(rounds.last_number, 5U);
}

// Nothing is lost when rounds overflow: reads move to a later round, which confirms them too, and
// no read is ever moved to a round that started before it was asked.
TEST(Rounds, OverflowMergesReadsIntoALaterRound) {
  Rounds rounds;
  const std::uint64_t total = 3 * Rounds::kMaxInFlight;
  for (std::uint64_t id = 1; id <= total; ++id) {
    rounds.waiting = {Read(id)};
    rounds.Start(Time{id}, /*commit=*/id, true, true);
    ASSERT_LE(rounds.in_flight.size(), Rounds::kMaxInFlight);
  }
  EXPECT_TRUE(rounds.Full());
  std::vector<bool> seen(total + 1, false);
  for (const Round& round : rounds.Confirm(total)) {
    for (const WaitingRead& read : round.reads) {
      EXPECT_FALSE(seen[read.id]);
      seen[read.id] = true;
      EXPECT_GE(round.number, read.id);
      EXPECT_EQ(read.index, read.id);  // the commit index when its own round started
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), static_cast<std::ptrdiff_t>(total));
  EXPECT_FALSE(rounds.Full());
}

// The oldest rounds are the ones whose answers come next.
TEST(Rounds, OverflowKeepsTheOldest) {
  Rounds rounds;
  for (std::size_t i = 0; i <= Rounds::kMaxInFlight; ++i) rounds.Start(Time{0}, 1, true, true);
  EXPECT_EQ(rounds.in_flight.front().number, 1U);
  EXPECT_EQ(rounds.Confirm(1).size(), 1U);
}

}  // namespace
}  // namespace quorate::raft
