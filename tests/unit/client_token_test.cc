// Tokens as text, what a client has seen, and reads that include it.
#include <gtest/gtest.h>

#include <limits>
#include <mutex>
#include <string>
#include <vector>

#include "client/seen.h"
#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::Answer;
using testing::At;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::MakeHint;
using testing::Success;

constexpr Token kToken{.cluster_id = 0xabc, .incarnation = 7, .term = 12, .index = 1093};

TEST(Token, ComesBackFromItsText) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const Token& token :
       {kToken, Token{},
        Token{
            .cluster_id = kMost, .incarnation = kMost, .term = kMost, .index = kMost}}) {
    const std::string text = ToString(token);
    EXPECT_LE(text.size(), 87u);
    const Result<Token> back = ParseToken(text);
    ASSERT_TRUE(back) << text << ": " << back.error().detail;
    EXPECT_EQ(*back, token);
  }
}

TEST(Token, SaysWhatIsWrongWithAText) {
  const std::string good = ToString(kToken);
  const auto detail = [](const std::string& text) {
    const Result<Token> token = ParseToken(text);
    return token ? std::string("accepted") : token.error().detail;
  };
  EXPECT_NE(detail("").find("starts with"), std::string::npos);
  EXPECT_NE(detail("x" + good).find("starts with"), std::string::npos);
  EXPECT_NE(detail("q1-abc-7").find("cut off"), std::string::npos);
  EXPECT_NE(detail(good + std::string(80, '0')).find("characters"), std::string::npos);
  EXPECT_NE(detail("q1-abc-7-x-1093-00000000").find("term"), std::string::npos);
  EXPECT_NE(detail("q1-abc-7-12-1093-00000000").find("checksum"), std::string::npos);
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_NE(detail(good.substr(0, i)), "accepted") << i;
    std::string changed = good;
    changed[i] = changed[i] == '1' ? '2' : '1';
    EXPECT_NE(detail(changed), "accepted") << changed;
  }
}

TEST(Seen, KeepsTheLargestOfOneHistory) {
  internal::Seen seen;
  EXPECT_FALSE(seen.Get());
  EXPECT_EQ(seen.Raise(kToken), kToken);
  Token smaller = kToken;
  smaller.index = 5;
  EXPECT_EQ(seen.Raise(smaller), kToken);
  Token other = kToken;
  other.incarnation = 8;
  other.index = 99'999;
  EXPECT_EQ(seen.Raise(other), kToken);
  seen.Include(other);
  EXPECT_EQ(seen.Get(), other);
  seen.Include({});
  EXPECT_EQ(seen.Get(), other);
}

TEST(Seen, WhatIsNotKnownIsFilledIn) {
  const Token later = internal::Later({.index = 9}, {.cluster_id = 3, .term = 2, .index = 8});
  EXPECT_EQ(later, (Token{.cluster_id = 3, .index = 9}));
}

// Answers writes at index 50, and notes the tokens of reads.
struct Recorder {
  std::mutex mutex;
  std::vector<wire::Freshness> seen;

  testing::Script Script(std::uint64_t applied) {
    return [this, applied](FakeSession& session, const FakeRequest& request) {
      wire::ReplyHeader header = Success(1, request.type == wire::FrameType::kWrite ? 50 : applied);
      header.mutable_certificate()->set_incarnation(7);
      header.set_mod_index(50);
      if (request.type == wire::FrameType::kGet) {
        const std::lock_guard lock(mutex);
        seen.push_back(request.get().freshness());
      }
      session.Reply(request, header);
    };
  }
};

TEST(ClientToken, ReadsOfEveryLevelIncludeWhatWasWritten) {
  Recorder recorder;
  const FakeNode node({}, recorder.Script(60));
  Client client(At({node.address()}));
  ASSERT_TRUE(client.Get("k", {.level = kEventual}));
  const auto put = client.Put("k", "v");
  ASSERT_TRUE(put);
  EXPECT_EQ(put->token, (Token{.cluster_id = 42, .incarnation = 7, .term = 3, .index = 50}));
  EXPECT_EQ(client.Seen().index, 60u);  // the read before has shown more
  for (const Level& level : {kStrong, kEventual, StaleBy(1s), AtLeast({.index = 55})}) {
    const auto got = client.Get("k", {.level = level});
    ASSERT_TRUE(got) << got.error().detail;
    EXPECT_EQ(got->token.index, 60u);
  }
  ASSERT_TRUE(client.Get("k", {.level = kEventual, .session_guarantees = false}));
  ASSERT_EQ(recorder.seen.size(), 6u);
  EXPECT_FALSE(recorder.seen[0].has_token());
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_EQ(recorder.seen[i].token().index(), 60u) << i;
    EXPECT_EQ(recorder.seen[i].token().incarnation(), 7u);
    EXPECT_EQ(recorder.seen[i].token().cluster_id(), 42u);
  }
  EXPECT_FALSE(recorder.seen[5].has_token());
}

TEST(ClientToken, TheLargerOfTwoTokensIsAskedFor) {
  Recorder recorder;
  const FakeNode node({}, recorder.Script(100));
  Client client(At({node.address()}));
  client.Include({.incarnation = 7, .index = 70});
  ASSERT_TRUE(client.Get("k", {.level = AtLeast({.incarnation = 7, .index = 90})}));
  EXPECT_EQ(recorder.seen.back().token().index(), 90u);
  // Of another history: asked for as it is, so that the node says that it cannot be had.
  const auto other = client.Get("k", {.level = AtLeast({.incarnation = 8, .index = 5})});
  EXPECT_EQ(recorder.seen.back().token().incarnation(), 8u);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kDiverged);
}

TEST(ClientToken, AReplyBehindTheTokenIsNoneAndAnotherNodeIsAsked) {
  FakeNode behind({.id = 1}, Answer(Success(1, 10)));
  FakeNode ahead({.id = 2}, Answer(Success(2, 30)));
  for (int i = 0; i < 8; ++i) {  // whichever is asked first
    Client client(At({behind.address(), ahead.address()}));
    const auto got = client.Get("k", {.level = AtLeast({.index = 20})});
    ASSERT_TRUE(got) << got.error().detail;
    EXPECT_EQ(got->certificate.node, 2u);
  }
  Client client(At({behind.address()}));
  const auto refused = client.Get("k", {.level = AtLeast({.index = 20}).Else(OnUnmet::kRefuse)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kNotCaughtUp);
  EXPECT_EQ(refused.error().have, 10u);
  EXPECT_EQ(refused.error().want, 20u);
  const auto anyway =
      client.Get("k", {.level = AtLeast({.index = 20}).Else(OnUnmet::kServeAnyway)});
  ASSERT_TRUE(anyway);
  EXPECT_EQ(anyway->certificate.applied_index, 10u);
}

TEST(ClientToken, AFutureTokenEndsTheReadAtOnce) {
  FakeNode node({}, testing::Refuse(wire::FUTURE_TOKEN));
  Client client(At({node.address()}));
  const testing::Stopwatch watch;
  const auto got = client.Get("k", {.level = AtLeast({.index = 20}), .timeout = 5s});
  EXPECT_EQ(got.error().code, ErrorCode::kFutureToken);
  EXPECT_LT(watch.elapsed(), 3s);
  EXPECT_EQ(node.requests(), 1);
}

}  // namespace
}  // namespace quorate
