// The leader's clock, and when it proposes the end of sessions.
#include "src/session_keeper.h"

#include <gtest/gtest.h>

#include "client/proto/wire.pb.h"

namespace quorate::server {
namespace {

constexpr raft::Time At(std::int64_t micros) {
  return raft::Time{micros};
}

wire::Command Parse(const Bytes& command) {
  wire::Command parsed;
  EXPECT_TRUE(parsed.ParseFromString(std::string(command.view())));
  return parsed;
}

TEST(SessionKeeper, StampsOnlyWhileItLeadsAndNeverFast) {
  SessionKeeper keeper;
  EXPECT_EQ(keeper.Stamp(0, At(5)), 0U);
  EXPECT_EQ(keeper.Stamp(3, At(5)), 0U) << "no entry of its term is applied yet";
  keeper.Lead(3, 1'000, At(1'000'000));
  EXPECT_EQ(keeper.Stamp(3, At(1'000'000)), 1'000U);
  EXPECT_EQ(keeper.Stamp(3, At(3'000'000)), 1'000U + 1'998'000U) << "less what it may be fast by";
  EXPECT_EQ(keeper.Stamp(3, At(1'000'001)), 1'000U) << "rounded down";
  EXPECT_EQ(keeper.Stamp(3, At(999'999)), 1'000U);
  keeper.Lead(3, 5'000'000, At(3'000'000));
  EXPECT_EQ(keeper.Stamp(3, At(3'000'000)), 1'999'000U) << "only the first entry counts";
  EXPECT_EQ(keeper.Stamp(0, At(3'000'000)), 0U);
  EXPECT_EQ(keeper.Stamp(4, At(3'000'000)), 0U);
  keeper.Lead(5, 2'000'000, At(9'000'000));
  EXPECT_EQ(keeper.Stamp(5, At(9'000'000)), 2'000'000U) << "no time between leaders counts";
}

TEST(SessionKeeper, AStampIsAFieldOfTheCommand) {
  wire::Command command;
  command.mutable_put()->set_key("k");
  command.mutable_session()->set_id(7);
  EXPECT_EQ(EncodeStamp(0), "");
  const Bytes stamped = Bytes::Copy(command.SerializeAsString(), EncodeStamp(0x0102030405060708));
  command.set_stamp_us(0x0102030405060708);
  EXPECT_EQ(Parse(stamped).SerializeAsString(), command.SerializeAsString());
}

TEST(SessionKeeper, LooksWhileThereAreSessionsAndProposesOneAtATime) {
  SessionKeeper keeper;
  EXPECT_EQ(keeper.NextLook(), raft::Time::max());
  keeper.Lead(2, 0, At(0));
  EXPECT_EQ(keeper.NextLook(), At(0));
  EXPECT_FALSE(keeper.Look(2, {}, At(0))) << "no sessions";
  EXPECT_EQ(keeper.NextLook(), At(0) + SessionKeeper::kLookEvery);
  const storage::SessionStats open{.open = 1, .ending = 0, .clock_us = 0};
  ASSERT_TRUE(keeper.Look(2, open, At(300'000)));
  EXPECT_FALSE(keeper.Look(2, open, At(600'000))) << "it has asked";
  EXPECT_FALSE(keeper.Propose(2, {}, open, At(600'000))) << "nobody is due, the clock is recent";
  ASSERT_TRUE(keeper.Look(2, open, At(1'500'000)));
  const auto silent = keeper.Propose(2, {}, open, At(1'500'000));
  ASSERT_TRUE(silent);
  EXPECT_EQ(Parse(*silent).stamp_us(), 1'498'500U);
  EXPECT_EQ(Parse(*silent).end_sessions().id_size(), 0);
  EXPECT_FALSE(keeper.Look(2, open, At(2'000'000))) << "one is in flight";
  keeper.Proposed(/*executed=*/true, open, At(2'000'000));
  ASSERT_TRUE(keeper.Look(2, open, At(2'100'000)));
  const auto due =
      keeper.Propose(2, {7, 9}, {.open = 2, .ending = 0, .clock_us = 2'000'000}, At(2'100'000));
  ASSERT_TRUE(due);
  EXPECT_EQ(Parse(*due).end_sessions().id_size(), 2);
  const storage::SessionStats ending{.open = 0, .ending = 1, .clock_us = 2'000'000};
  keeper.Proposed(/*executed=*/true, ending, At(2'150'000));
  EXPECT_EQ(keeper.NextLook(), At(2'150'000)) << "keys are left: it goes on at once";
  ASSERT_TRUE(keeper.Look(2, ending, At(2'150'000)));
  keeper.Propose(2, {9}, ending, At(2'150'000));
  keeper.Proposed(/*executed=*/false, ending, At(2'160'000));
  EXPECT_EQ(keeper.NextLook(), At(2'150'000) + SessionKeeper::kLookEvery) << "refused: not at once";
  EXPECT_FALSE(keeper.Look(0, open, At(3'000'000)));
  EXPECT_EQ(keeper.NextLook(), raft::Time::max()) << "until it leads again";
}

TEST(SessionKeeper, WhatAnEarlierTermAskedForIsForgotten) {
  SessionKeeper keeper;
  const storage::SessionStats open{.open = 1, .ending = 0, .clock_us = 0};
  keeper.Lead(2, 0, At(0));
  ASSERT_TRUE(keeper.Look(2, open, At(0)));
  keeper.Lead(4, 0, At(1));
  EXPECT_FALSE(keeper.Propose(0, {1}, open, At(2)));
  EXPECT_TRUE(keeper.Look(4, open, At(3)));
}

}  // namespace
}  // namespace quorate::server
