// Consistency SLAs: which rung is met, and when one is passed over.
#include <gtest/gtest.h>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::Aged;
using testing::Answer;
using testing::At;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::Stopwatch;
using testing::Success;

// Strong reads are treated by one script, the others by another.
testing::Script ByLevel(testing::Script strong, testing::Script other) {
  return [strong = std::move(strong), other = std::move(other)](FakeSession& session,
                                                                const FakeRequest& request) {
    const wire::Freshness freshness = request.get().freshness();
    (freshness.has_max_age_us() && freshness.max_age_us() == 0 ? strong : other)(session, request);
  };
}

TEST(ClientSla, TheFirstRungIsMetWhereItCanBe) {
  FakeNode node({}, Answer(Success(1, 5)));
  Client client(At({node.address()}));
  const auto got = client.Get("k", {.sla = *ParseSla("strong@1s > eventual")});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->rung, 0u);
  EXPECT_TRUE(got->misses.empty());
}

TEST(ClientSla, FallsAsSoonAsEveryNodeHasRefused) {
  FakeNode a({.id = 1}, ByLevel(testing::Refuse(wire::NO_QUORUM), Answer(Aged(1, 5, 90'000))));
  FakeNode b({.id = 2}, ByLevel(testing::Refuse(wire::NO_QUORUM), Answer(Aged(2, 5, 90'000))));
  Client client(At({a.address(), b.address()}));
  const Stopwatch watch;
  const auto got = client.Get(
      "k", {.sla = *ParseSla("strong@9s > bounded:200ms@9s > eventual"), .timeout = 20s});
  ASSERT_TRUE(got) << got.error().detail;
  EXPECT_LT(watch.elapsed(), 5s);
  EXPECT_EQ(got->rung, 1u);
  ASSERT_EQ(got->misses.size(), 1u);
  EXPECT_EQ(got->misses[0].rung, 0u);
  EXPECT_EQ(got->misses[0].error.code, ErrorCode::kNoQuorum);
  EXPECT_EQ(a.requests() + b.requests(), 3);
}

TEST(ClientSla, FallsWhenTheTimeOfARungIsUp) {
  FakeNode node({}, ByLevel(testing::Silence, Answer(Aged(1, 5, 90'000))));
  Client client(At({node.address()}));
  ASSERT_TRUE(client.Get("k", {.level = kEventual}));  // dialled
  const Stopwatch watch;
  const auto got = client.Get("k", {.sla = *ParseSla("strong@50ms > eventual"), .timeout = 20s});
  ASSERT_TRUE(got) << got.error().detail;
  EXPECT_GE(watch.elapsed(), 50ms);
  EXPECT_LT(watch.elapsed(), 10s);
  EXPECT_EQ(got->rung, 1u);
  ASSERT_EQ(got->misses.size(), 1u);
  EXPECT_EQ(got->misses[0].error.code, ErrorCode::kDeadline);
}

TEST(ClientSla, TheNodeIsGivenTheTimeOfTheRung) {
  std::atomic<std::uint32_t> deadline{0};
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    deadline = request.get().header().deadline_ms();
    session.Reply(request, Success(1, 5));
  });
  Client client(At({node.address()}));
  ASSERT_TRUE(client.Get("k", {.sla = *ParseSla("strong@300ms > eventual"), .timeout = 20s}));
  EXPECT_LE(deadline, 300u);
}

TEST(ClientSla, TheLastRungsErrorIsTheCalls) {
  FakeNode node({}, ByLevel(testing::Refuse(wire::NO_LEADER), testing::Stale(700'000)));
  Client client(At({node.address()}));
  Sla sla{{.level = kStrong, .within = 1s}, {.level = StaleBy(200ms).Else(OnUnmet::kRefuse)}};
  const auto got = client.Get("k", {.sla = sla, .timeout = 10s});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kStale);
  EXPECT_EQ(got.error().best_age, 700ms);
}

TEST(ClientSla, WhatNoRungCouldHelpEndsTheCall) {
  for (const wire::Code code : {wire::FUTURE_TOKEN, wire::DIVERGED}) {
    FakeNode node({}, testing::Refuse(code));
    Client client(At({node.address()}));
    const auto got = client.Get("k", {.sla = *ParseSla("strong@1s > eventual")});
    ASSERT_FALSE(got);
    EXPECT_EQ(static_cast<int>(got.error().code), code);
    EXPECT_EQ(node.requests(), 1);
  }
}

TEST(ClientSla, RefusesLaddersThatMakeNoSense) {
  FakeNode node({}, Answer(Success(1, 5)));
  Client client(At({node.address()}));
  const Rung eventual{.level = kEventual, .within = 1s};
  const Rung anyway{.level = kStrong.Else(OnUnmet::kServeAnyway), .within = 1s};
  for (const Sla& sla : {Sla{eventual, {.level = kStrong}}, Sla{anyway, eventual},
                         Sla{{.level = kStrong}, eventual}, Sla(9, eventual)}) {
    EXPECT_EQ(client.Get("k", {.sla = sla}).error().code, ErrorCode::kInvalid) << ToString(sla);
  }
  EXPECT_EQ(node.requests(), 0);
}

}  // namespace
}  // namespace quorate
