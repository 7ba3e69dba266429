// How a client finds and follows the leader.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::At;
using testing::DeadAddress;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;
using testing::MakeHint;
using testing::Stopwatch;

TEST(ClientLeader, FollowsTheHintOfHello) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower({.id = 1, .leader = MakeHint(2, leader.address())}, KeyValueScript(1));
  Client client(At({follower.address()}));
  const auto put = client.Put("k", "v");
  ASSERT_TRUE(put) << put.error().detail;
  EXPECT_EQ(put->certificate.node, 2u);
  EXPECT_EQ(follower.requests(), 0);
}

TEST(ClientLeader, FollowsTheHintOfARefusal) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower({.id = 1}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(2, leader.address()));
  });
  Client client(At({follower.address()}));
  for (int i = 0; i < 3; ++i) {
    const auto put = client.Put("k", "v");
    ASSERT_TRUE(put) << put.error().detail;
    EXPECT_EQ(put->certificate.node, 2u);
  }
  EXPECT_EQ(follower.requests(), 1);
}

TEST(ClientLeader, AsksTheOthersWhenOneIsDead) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  for (int i = 0; i < 8; ++i) {
    Client client(At({DeadAddress(), DeadAddress(), leader.address()}));
    const auto put = client.Put("k", "v");
    ASSERT_TRUE(put) << put.error().detail;
    ASSERT_TRUE(client.Get("k", {.level = kEventual}));
  }
}

TEST(ClientLeader, GoesOnWhenTheHintedLeaderIsDead) {
  const std::string dead = DeadAddress();
  std::atomic<bool> elected{false};
  FakeNode second({.id = 2}, nullptr);
  second.SetScript(
      [&, store = KeyValueScript(2)](FakeSession& session, const FakeRequest& request) {
        if (elected) return store(session, request);
        session.Refuse(request, wire::NOT_LEADER, MakeHint(1, dead));
      });
  FakeNode third({.id = 3, .leader = MakeHint(1, dead)},
                 [&](FakeSession& session, const FakeRequest& request) {
                   if (elected) {
                     session.Refuse(request, wire::NOT_LEADER, MakeHint(2, second.address()));
                   } else {
                     session.Refuse(request, wire::NO_LEADER);
                   }
                 });
  Client client(At({dead, second.address(), third.address()}));
  auto put = client.AsyncPut("k", "v", {.timeout = 5s}, boost::asio::use_future);
  std::this_thread::sleep_for(300ms);
  elected = true;
  const auto result = put.get();
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->certificate.node, 2u);
  // It backed off: without pauses, thousands would have been sent in 300 ms.
  EXPECT_LT(second.requests() + third.requests(), 60);
}

TEST(ClientLeader, NodesThatPointAtEachOtherEndAtTheDeadline) {
  std::string first_address;
  FakeNode second({.id = 2}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(1, first_address));
  });
  FakeNode first({.id = 1}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(2, second.address()));
  });
  first_address = first.address();
  Client client(At({first.address(), second.address()}));
  const Stopwatch watch;
  const auto put = client.Put("k", "v", {.timeout = 400ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_FALSE(put.error().maybe_applied());
  EXPECT_GE(watch.elapsed(), 395ms);
  EXPECT_LT(watch.elapsed(), 800ms);
  EXPECT_GT(put.error().attempts, 2);
  EXPECT_LT(first.requests() + second.requests(), 60);
}

TEST(ClientLeader, SaysWhichNodesAreDeadAndWhichKnowNoLeader) {
  FakeNode second({.id = 2}, [](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NO_LEADER);
  });
  const std::string dead = DeadAddress();
  Client client(At({dead, second.address()}));
  const auto put = client.Put("k", "v", {.timeout = 300ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_NE(put.error().detail.find("no leader"), std::string::npos) << put.error().detail;
  EXPECT_NE(put.error().detail.find(dead + " unreachable (Connection refused)"), std::string::npos)
      << put.error().detail;
  EXPECT_NE(put.error().detail.find("node 2 knows no leader"), std::string::npos)
      << put.error().detail;
  const auto got = client.Get("k", {.timeout = 300ms});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kNoLeader);
}

TEST(ClientLeader, APinnedCallNeverFallsBack) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower(
      {.id = 1, .members = {MakeHint(2, leader.address()), MakeHint(3, DeadAddress())}},
      [&](FakeSession& session, const FakeRequest& request) {
        session.Refuse(request, wire::NOT_LEADER, MakeHint(2, leader.address()));
      });
  Client client(At({follower.address()}));
  const auto put = client.Put("k", "v", {.node = 1});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kNotLeader);
  EXPECT_EQ(put.error().leader.node, 2u);
  EXPECT_EQ(put.error().leader.address, leader.address());
  EXPECT_TRUE(client.Put("k", "v", {.node = 2}));
  const auto dead = client.Get("k", {.level = kEventual, .node = 3});
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, ErrorCode::kCannotConnect) << dead.error().detail;
  const auto unknown = client.Get("k", {.level = kEventual, .node = 9});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnknownNode) << unknown.error().detail;
}

}  // namespace
}  // namespace quorate
