// The client-anchored bound: how old a state can be by this client's own clock alone.
#include <gtest/gtest.h>

#include <thread>

#include "client/anchors.h"
#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using internal::Anchors;
using internal::BootTime;
using testing::Aged;
using testing::At;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::Success;

BootTime Time(int ms) {
  return BootTime(std::chrono::milliseconds(ms));
}

TEST(Anchors, TheLatestThatTheStateHoldsCounts) {
  Anchors anchors;
  EXPECT_FALSE(anchors.Age(7, 100, Time(50)));
  anchors.Add(7, 10, Time(10));
  anchors.Add(7, 20, Time(30));
  EXPECT_FALSE(anchors.Age(7, 9, Time(50)));
  EXPECT_EQ(anchors.Age(7, 10, Time(50)), 40ms);
  EXPECT_EQ(anchors.Age(7, 19, Time(50)), 40ms);
  EXPECT_EQ(anchors.Age(7, 20, Time(50)), 20ms);
  EXPECT_EQ(anchors.Age(7, 20, Time(5)), 0ms);
  EXPECT_FALSE(anchors.Age(8, 20, Time(50)));
}

TEST(Anchors, OnesThatSayLessAreDropped) {
  Anchors anchors;
  anchors.Add(7, 20, Time(30));
  anchors.Add(7, 25, Time(20));  // more may have been committed, and that longer ago
  EXPECT_EQ(anchors.Age(7, 30, Time(50)), 20ms);
  anchors.Add(7, 10, Time(40));
  EXPECT_EQ(anchors.Age(7, 10, Time(50)), 10ms);
  EXPECT_EQ(anchors.Age(7, 25, Time(50)), 10ms);
}

TEST(Anchors, AnotherIncarnationForgetsThem) {
  Anchors anchors;
  anchors.Add(7, 20, Time(30));
  anchors.Add(8, 5, Time(40));
  EXPECT_FALSE(anchors.Age(7, 20, Time(50)));
  EXPECT_EQ(anchors.Age(8, 20, Time(50)), 10ms);
}

// Against a list that forgets nothing: never younger than the truth, and exact for the recent half.
TEST(Anchors, ThinningOnlyEverAdds) {
  Anchors anchors;
  constexpr int kMany = 20'000;
  for (int i = 1; i <= kMany; ++i) anchors.Add(7, static_cast<std::uint64_t>(i), Time(i));
  for (int i = kMany - 500; i <= kMany; ++i) {
    EXPECT_EQ(anchors.Age(7, static_cast<std::uint64_t>(i), Time(kMany)), 1ms * (kMany - i));
  }
  int known = 0;
  for (int i = 1; i < kMany - 500; i += 7) {
    const auto age = anchors.Age(7, static_cast<std::uint64_t>(i), Time(kMany));
    if (!age) continue;
    ++known;
    EXPECT_GE(*age, 1ms * (kMany - i));
  }
  EXPECT_GT(known, 1000);
}

TEST(ClientAnchor, AWriteBoundsTheAgeOfWhatHoldsIt) {
  std::atomic<std::uint64_t> applied{50};
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kWrite) {
      wire::ReplyHeader header = Success(1, 50);
      header.set_mod_index(50);
      header.mutable_certificate()->set_basis(wire::COMMIT);
      return session.Reply(request, header);
    }
    wire::ReplyHeader header = Aged(1, applied, 0);
    header.mutable_certificate()->clear_age_us();
    header.mutable_certificate()->set_basis(wire::NONE);
    session.Reply(request, header);
  });
  Client client(At({node.address()}));
  const ReadOptions read{.level = kEventual, .session_guarantees = false};
  EXPECT_FALSE(client.Get("k", read)->client_age);
  ASSERT_TRUE(client.Put("k", "v"));
  std::this_thread::sleep_for(30ms);
  const auto got = client.Get("k", read);
  ASSERT_TRUE(got);
  ASSERT_TRUE(got->client_age);
  EXPECT_GE(*got->client_age, 30ms);
  applied = 49;
  EXPECT_FALSE(client.Get("k", read)->client_age);
}

TEST(ClientAnchor, OnlyConfirmedReadsOfAgeZeroAreAnchors) {
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    const bool strong = request.get().freshness().has_max_age_us();
    wire::ReplyHeader header = strong ? Success(1, 9) : Aged(1, 9, 0);
    session.Reply(request, header);
  });
  Client client(At({node.address()}));
  EXPECT_FALSE(client.Get("k", {.level = kEventual})->client_age);
  EXPECT_FALSE(client.Get("k", {.level = kEventual})->client_age);
  EXPECT_EQ(client.Get("k")->client_age, 0us);
  std::this_thread::sleep_for(5ms);
  const auto got = client.Get("k", {.level = kEventual});
  ASSERT_TRUE(got->client_age);
  EXPECT_GE(*got->client_age, 5ms);
}

}  // namespace
}  // namespace quorate
