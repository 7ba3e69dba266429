// Levels: combined, as text, on the wire; refusals that another node may do better.
#include <gtest/gtest.h>

#include <string>

#include "client/level.h"
#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::Aged;
using testing::Answer;
using testing::At;
using testing::FakeNode;

constexpr Token kToken{.cluster_id = 1, .incarnation = 7, .term = 2, .index = 9};

TEST(Level, CombinesToWhatSatisfiesBoth) {
  const Level both = StaleBy(200ms, 10) & StaleBy(1s, 3);
  EXPECT_EQ(both.max_age, 200ms);
  EXPECT_EQ(both.max_lag, 3u);
  EXPECT_EQ((kEventual & StaleBy(1s, 3)).max_lag, 3u);
  EXPECT_EQ((StaleBy(1s, 3) & kStrong).max_lag, 0u);
  EXPECT_TRUE((StaleBy(1s) & kStrong).strong());
  EXPECT_EQ((AtLeast(kToken) & AtLeast({.index = 11})).token->index, 11u);
  EXPECT_EQ((kStrong & kStrong.Else(OnUnmet::kRefuse)).on_unmet, OnUnmet::kRefuse);
  EXPECT_EQ((kStrong.Else(OnUnmet::kServeAnyway) & kStrong).on_unmet, OnUnmet::kWait);
}

TEST(Level, NothingSatisfiesTokensOfTwoHistories) {
  Token other = kToken;
  other.incarnation = 8;
  const Level never = AtLeast(kToken) & AtLeast(other);
  EXPECT_TRUE(internal::Wrong(never));
  FakeNode node({}, testing::KeyValueScript(1));
  Client client(At({node.address()}));
  EXPECT_EQ(client.Get("k", {.level = never}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(client.Get("k", {.level = StaleBy(25h)}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(client.Get("k", {.level = StaleBy(-1ms)}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(node.requests(), 0);
}

TEST(Level, ComesBackFromItsText) {
  for (const std::string& text :
       {std::string("strong"), std::string("eventual"), std::string("bounded:200ms"),
        std::string("bounded:1500us,lag=10"), "session:" + ToString(kToken),
        "bounded:2m,lag=1,session:" + ToString(kToken)}) {
    const Result<Level> level = ParseLevel(text);
    ASSERT_TRUE(level) << text << ": " << level.error().detail;
    EXPECT_EQ(ToString(*level), text);
  }
  EXPECT_EQ(ToString(*ParseLevel(" bounded(1.5s) ")), "bounded:1500ms");
  EXPECT_EQ(ToString(*ParseLevel("bounded(200ms,lag=3)")), "bounded:200ms,lag=3");
}

TEST(Level, SaysWhichPartOfATextIsWrong) {
  const auto detail = [](const std::string& text) {
    const Result<Level> level = ParseLevel(text);
    return level ? "accepted " + ToString(*level) : level.error().detail;
  };
  EXPECT_NE(detail("").find("is not a level"), std::string::npos);
  EXPECT_NE(detail("sometimes").find("'sometimes'"), std::string::npos);
  EXPECT_NE(detail("bounded:5").find("no unit"), std::string::npos);
  EXPECT_NE(detail("bounded:5y").find("unknown unit"), std::string::npos);
  EXPECT_NE(detail("bounded:").find("not a time"), std::string::npos);
  EXPECT_NE(detail("bounded:-1ms").find("negative"), std::string::npos);
  EXPECT_NE(detail("bounded:nanms").find("not a time"), std::string::npos);
  EXPECT_NE(detail("bounded:0ms").find("strong"), std::string::npos);
  EXPECT_NE(detail("bounded:99999h").find("day"), std::string::npos);
  EXPECT_NE(detail("bounded:1s,lag=x").find("lag"), std::string::npos);
  EXPECT_NE(detail("strong,lag=3").find("lag"), std::string::npos);
  EXPECT_NE(detail("bounded(1s").find(")"), std::string::npos);
  EXPECT_NE(detail("bounded:1s,session:q1-x").find("session: not a session token"),
            std::string::npos);
}

TEST(Sla, ComesBackFromItsTextOrSaysWhichStepIsWrong) {
  const auto sla = ParseSla("strong@20ms > bounded(200ms)@10ms > eventual");
  ASSERT_TRUE(sla) << sla.error().detail;
  EXPECT_EQ(ToString(*sla), "strong@20ms > bounded:200ms@10ms > eventual");
  for (const auto& [text, part] :
       {std::pair("", "step 1"), std::pair("strong@20ms >", "step 2"),
        std::pair("strong@20 > eventual", "step 1: '20' has no unit"),
        std::pair("strong > eventual", "step 1 (strong): no time"),
        std::pair("eventual@1s > strong", "could never be met"),
        std::pair("bounded:1s@1s > bounded:200ms", "could never be met")}) {
    const auto wrong = ParseSla(text);
    ASSERT_FALSE(wrong) << text;
    EXPECT_NE(wrong.error().detail.find(part), std::string::npos) << wrong.error().detail;
  }
}

TEST(ClientLevel, ARefusalIsTriedOnEachOtherNodeOnce) {
  FakeNode a({.id = 1}, testing::Stale(900'000));
  FakeNode b({.id = 2}, testing::Stale(300'000));
  FakeNode c({.id = 3}, testing::Stale(700'000));
  Client client(At({a.address(), b.address(), c.address()}));
  const testing::Stopwatch watch;
  const auto got =
      client.Get("k", {.level = StaleBy(200ms).Else(OnUnmet::kRefuse), .timeout = 10s});
  ASSERT_FALSE(got);
  EXPECT_LT(watch.elapsed(), 5s);
  EXPECT_EQ(got.error().code, ErrorCode::kStale);
  EXPECT_EQ(got.error().age, 300ms);
  EXPECT_EQ(got.error().best_age, 300ms);
  EXPECT_EQ(got.error().because, ErrorCode::kNoLeader);
  EXPECT_FALSE(got.error().maybe_applied());
  EXPECT_EQ(a.requests() + b.requests() + c.requests(), 3);
}

TEST(ClientLevel, OneNodeThatCanServeIsEnough) {
  FakeNode a({.id = 1}, testing::Stale(900'000));
  FakeNode b({.id = 2}, testing::Stale(300'000));
  FakeNode c({.id = 3}, Answer(Aged(3, 5, 100'000)));
  Client client(At({a.address(), b.address(), c.address()}));
  const auto got = client.Get("k", {.level = StaleBy(200ms).Else(OnUnmet::kRefuse)});
  ASSERT_TRUE(got) << got.error().detail;
  EXPECT_EQ(got->certificate.node, 3u);
  EXPECT_EQ(got->certificate.age, 100ms);
}

TEST(ClientLevel, APinnedRefusalIsFinal) {
  FakeNode a({.id = 1}, testing::Stale(900'000));
  FakeNode b({.id = 2}, Answer(Aged(2, 5, 0)));
  Client client(At({a.address(), b.address()}));
  const auto got =
      client.Get("k", {.level = StaleBy(200ms).Else(OnUnmet::kRefuse), .timeout = 10s, .node = 1});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().age, 900ms);
  EXPECT_EQ(a.requests(), 1);
}

TEST(ClientLevel, ExplainsEveryAttemptOfRefusalsToo) {
  FakeNode node({.id = 1}, [](testing::FakeSession& session, const testing::FakeRequest& request) {
    EXPECT_TRUE(request.get().freshness().explain());
    wire::ReplyHeader header;
    header.mutable_error()->set_code(wire::STALE);
    header.mutable_explanation()->set_node_id(1);
    header.mutable_explanation()->set_reason("anchors are old");
    header.mutable_explanation()->set_anchor_age_us(7);
    session.Reply(request, header);
  });
  Client client(At({node.address()}));
  const auto got = client.Get("k", {.level = StaleBy(1ms).Else(OnUnmet::kRefuse), .explain = true});
  ASSERT_FALSE(got);
  ASSERT_NE(got.error().explanation, nullptr);
  ASSERT_EQ(got.error().explanation->attempts.size(), 1u);
  const Attempt& attempt = got.error().explanation->attempts[0];
  EXPECT_EQ(attempt.address, node.address());
  EXPECT_EQ(attempt.refused, ErrorCode::kStale);
  ASSERT_TRUE(attempt.view);
  EXPECT_EQ(attempt.view->reason, "anchors are old");
  EXPECT_EQ(attempt.view->anchor_age, 7us);
}

}  // namespace
}  // namespace quorate
