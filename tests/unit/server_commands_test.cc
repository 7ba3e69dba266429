// Commands over the wire: what each answers, the limits that each names, sessions and their end.
#include "tests/unit/server_test_util.h"

namespace quorate::server {
namespace {

class ServerCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    nodes_ = ClusterOptions(1, directory_.path());
    server_ = std::make_unique<TestServer>(nodes_[0]);
    ASSERT_EQ(server_->error(), "");
    ASSERT_EQ(WaitForLeader(nodes_), 1U);
    client_ = std::make_unique<RawClient>(nodes_[0].client_address.port);
    ASSERT_FALSE(client_->Hello().has_error());
  }
  wire::ReplyHeader Write(const wire::Command& command) {
    result_.Clear();
    std::string body;
    const auto reply = client_->Call(wire::FrameType::kWrite, wire::RequestHeader(),
                                     command.SerializeAsString(), &body);
    EXPECT_TRUE(result_.ParseFromString(body));
    return reply;
  }
  wire::Error Refusal(const wire::Command& command) {
    const wire::Error error = Write(command).error();
    EXPECT_EQ(error.message().empty(), error.code() == wire::OK);
    return error;
  }
  wire::Code CodeOf(const wire::Command& command) { return Refusal(command).code(); }
  std::uint64_t OpenSession(std::uint64_t ttl_us = 10'000'000) {
    wire::Command open;
    open.mutable_open_session()->set_ttl_us(ttl_us);
    const auto reply = Write(open);
    EXPECT_FALSE(reply.has_error());
    EXPECT_EQ(result_.ttl_us(), ttl_us);
    return reply.mod_index();
  }
  static wire::Command Put(const std::string& key, const std::string& value) {
    wire::Command command;
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value(value);
    return command;
  }
  static wire::Command Increment(const std::string& key, std::int64_t by) {
    wire::Command command;
    command.mutable_increment()->set_key(key);
    command.mutable_increment()->set_by(by);
    return command;
  }
  static wire::Command Append(const std::string& key, const std::string& value) {
    wire::Command command;
    command.mutable_append()->set_key(key);
    command.mutable_append()->set_value(value);
    return command;
  }
  static wire::Command Of(std::uint64_t session, std::uint64_t seq, wire::Command command) {
    command.mutable_session()->set_id(session);
    command.mutable_session()->set_seq(seq);
    return command;
  }
  bool Exists(const std::string& key) { return client_->Get(key).found(); }

  TempDir directory_;
  std::vector<ServerOptions> nodes_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<RawClient> client_;
  wire::WriteResult result_;  // of the last Write()
};

TEST_F(ServerCommands, EachAnswersWhatItDid) {
  EXPECT_TRUE(Write(Put("n", "1")).found()) << "a plain put does not look";
  EXPECT_TRUE(Write(Increment("n", 41)).found());
  EXPECT_EQ(result_.value(), "42");
  EXPECT_FALSE(Write(Append("a", "one")).found());
  wire::Command swap = Put("n", "x");
  swap.mutable_put()->set_return_previous(true);
  const auto swapped = Write(swap);
  EXPECT_EQ(result_.value(), "42");
  EXPECT_EQ(swapped.certificate().basis(), wire::COMMIT);
  EXPECT_EQ(swapped.certificate().applied_index(), swapped.mod_index());
  EXPECT_NE(swapped.certificate().incarnation(), 0U);
  wire::Command transaction;
  auto& compare = *transaction.mutable_transaction()->add_compare();
  compare.set_key("n");
  compare.set_mod_index(swapped.mod_index());
  transaction.mutable_transaction()->add_then()->set_get("n");
  Write(transaction);
  EXPECT_TRUE(result_.succeeded());
  ASSERT_EQ(result_.results_size(), 1);
  EXPECT_EQ(result_.results(0).value(), "x");
  Write(Put("o", "v"));
  wire::Command range;
  range.mutable_delete_range()->set_first("n");
  range.mutable_delete_range()->set_max_keys(1);
  Write(range);
  EXPECT_EQ(result_.deleted(), 1U);
  EXPECT_EQ(result_.resume(), "o");
}

TEST_F(ServerCommands, RefusalsHaveTheirNumbers) {
  const auto put = Write(Put("text", "none"));
  const wire::Error not_a_number = Refusal(Increment("text", 1));
  EXPECT_EQ(not_a_number.code(), wire::NOT_A_NUMBER);
  EXPECT_EQ(not_a_number.have(), put.mod_index());
  Write(Put("most", "9223372036854775807"));
  EXPECT_EQ(CodeOf(Increment("most", 1)), wire::OUT_OF_RANGE);
  Write(Put("full", std::string(wire::kMaxValueBytes, 'x')));
  const wire::Error too_large = Refusal(Append("full", "y"));
  EXPECT_EQ(too_large.code(), wire::VALUE_TOO_LARGE);
  EXPECT_EQ(too_large.have(), wire::kMaxValueBytes + 1);
  EXPECT_EQ(too_large.want(), wire::kMaxValueBytes);
  wire::Command reads;
  for (int i = 0; i < 2; ++i) reads.mutable_transaction()->add_then()->set_get("full");
  EXPECT_EQ(CodeOf(reads), wire::TOO_LARGE);
}

TEST_F(ServerCommands, LimitsAreNamed) {
  const std::string long_key(wire::kMaxKeyBytes + 1, 'k');
  const std::string long_value(wire::kMaxValueBytes + 1, 'v');
  EXPECT_EQ(CodeOf(Increment("", 1)), wire::INVALID);
  EXPECT_EQ(CodeOf(Increment(long_key, 1)), wire::TOO_LARGE);
  EXPECT_EQ(CodeOf(Append("a", long_value)), wire::TOO_LARGE);

  wire::Command transaction;
  EXPECT_EQ((transaction.mutable_transaction(), CodeOf(transaction)), wire::INVALID);
  transaction.mutable_transaction()->add_then()->set_get("k");
  *transaction.mutable_transaction()->add_then()->mutable_put() = Put(long_key, "v").put();
  const wire::Error part = Refusal(transaction);
  EXPECT_EQ(part.code(), wire::TOO_LARGE);
  EXPECT_NE(part.message().find("then[1]"), std::string::npos) << part.message();
  transaction.mutable_transaction()->clear_then();
  transaction.mutable_transaction()->add_compare()->set_key("k");
  EXPECT_EQ(CodeOf(transaction), wire::INVALID) << "compared with nothing";
  transaction.mutable_transaction()->clear_compare();
  for (std::size_t i = 0; i <= wire::kMaxTransactionParts; ++i) {
    transaction.mutable_transaction()->add_otherwise()->set_get("k");
  }
  EXPECT_EQ(Refusal(transaction).want(), wire::kMaxTransactionParts);
  transaction.mutable_transaction()->clear_otherwise();
  for (int i = 0; i < 2; ++i) {
    *transaction.mutable_transaction()->add_then()->mutable_put() =
        Put("k", std::string(wire::kMaxTransactionBytes / 2, 'v')).put();
  }
  EXPECT_EQ(Refusal(transaction).want(), wire::kMaxTransactionBytes);

  wire::Command range;
  EXPECT_EQ((range.mutable_delete_range(), CodeOf(range)), wire::INVALID) << "max_keys is 0";
  range.mutable_delete_range()->set_max_keys(wire::kMaxDeleteRangeKeys + 1);
  EXPECT_EQ(CodeOf(range), wire::INVALID);
  range.mutable_delete_range()->set_max_keys(1);
  range.mutable_delete_range()->set_first("b");
  range.mutable_delete_range()->set_last("b");
  EXPECT_EQ(CodeOf(range), wire::INVALID);
  range.mutable_delete_range()->set_last(long_key);
  EXPECT_EQ(CodeOf(range), wire::TOO_LARGE);
}

TEST_F(ServerCommands, WhatASessionMayNotSayIsNamed) {
  const std::uint64_t id = OpenSession();
  wire::Command open;
  open.mutable_open_session()->set_ttl_us(wire::kMinSessionTtlUs - 1);
  EXPECT_EQ(CodeOf(open), wire::INVALID);
  open.mutable_open_session()->set_ttl_us(wire::kMaxSessionTtlUs + 1);
  EXPECT_EQ(CodeOf(open), wire::INVALID);
  open.mutable_open_session()->set_ttl_us(wire::kMinSessionTtlUs);
  EXPECT_EQ(CodeOf(Of(id, 1, open)), wire::INVALID) << "of a session itself";
  wire::Command attach = Put("k", "v");
  attach.mutable_put()->set_attach(true);
  EXPECT_EQ(CodeOf(attach), wire::INVALID) << "to no session";
  wire::Command inside;
  *inside.mutable_transaction()->add_then()->mutable_put() = attach.put();
  EXPECT_EQ(CodeOf(inside), wire::INVALID);
  EXPECT_EQ(CodeOf(Of(id, 0, Put("k", "v"))), wire::INVALID);
  EXPECT_EQ(CodeOf(Of(0, 1, Put("k", "v"))), wire::INVALID);
  wire::Command ahead = Of(id, 1, Put("k", "v"));
  ahead.mutable_session()->set_acked_below(2);
  EXPECT_EQ(CodeOf(ahead), wire::INVALID);
  wire::Command stamped = Put("k", "v");
  stamped.set_stamp_us(1);
  EXPECT_EQ(CodeOf(stamped), wire::INVALID);
  wire::Command end;
  end.mutable_end_sessions()->add_id(id);
  EXPECT_EQ(CodeOf(end), wire::INVALID);
  wire::Command keep;
  keep.mutable_keep_session()->set_id(0);
  EXPECT_EQ(CodeOf(keep), wire::INVALID);
  keep.mutable_keep_session()->set_id(id + 1'000'000);
  EXPECT_EQ(CodeOf(keep), wire::SESSION_EXPIRED);
  EXPECT_FALSE(Exists("k"));
}

TEST_F(ServerCommands, ARetryIsAnsweredAsTheFirst) {
  const std::uint64_t id = OpenSession();
  const wire::Command one = Of(id, 1, Increment("n", 1));
  const auto first = Write(one);
  EXPECT_FALSE(first.repeated());
  const auto again = Write(one);
  EXPECT_TRUE(again.repeated());
  EXPECT_EQ(again.mod_index(), first.mod_index());
  EXPECT_EQ(again.certificate().applied_index(), first.mod_index());
  EXPECT_EQ(again.found(), first.found());
  EXPECT_EQ(result_.value(), "1");
  wire::Command ordered = Of(id, 3, Increment("n", 1));
  ordered.mutable_session()->set_ordered(true);
  const wire::Error early = Refusal(ordered);
  EXPECT_EQ(early.code(), wire::OUT_OF_ORDER);
  EXPECT_EQ(early.have(), 1U);
  EXPECT_EQ(early.want(), 3U);
  wire::Command third = Of(id, 3, Increment("n", 1));
  third.mutable_session()->set_acked_below(2);
  EXPECT_FALSE(Write(third).has_error());
  EXPECT_EQ(CodeOf(one), wire::SESSION_SEQ_GONE);
}

// A second and a quarter of patience: never before the ttl, and soon after it.
TEST_F(ServerCommands, ASessionEndsByItselfAndItsKeysGo) {
  const std::uint64_t id = OpenSession(wire::kMinSessionTtlUs);
  const auto opened = std::chrono::steady_clock::now();
  wire::Command attach = Of(id, 1, Put("attached", "v"));
  attach.mutable_put()->set_attach(true);
  EXPECT_FALSE(Write(attach).has_error());
  const auto kept = std::chrono::steady_clock::now();
  EXPECT_FALSE(Write(Of(id, 2, Put("stays", "v"))).has_error());
  while (Exists("attached") && std::chrono::steady_clock::now() - opened < seconds(20)) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - kept, seconds(1));
  EXPECT_FALSE(Exists("attached"));
  EXPECT_TRUE(Exists("stays"));
  EXPECT_EQ(CodeOf(attach), wire::SESSION_EXPIRED);
  wire::NodeStatus status;
  std::string body;
  client_->Call(wire::FrameType::kStatus, wire::RequestHeader(), "", &body);
  ASSERT_TRUE(status.ParseFromString(body));
  EXPECT_EQ(status.sessions(), 0U);
  EXPECT_GE(status.cluster_clock_us(), wire::kMinSessionTtlUs);
}

TEST_F(ServerCommands, ClosingASessionTakesItsKeysAtOnce) {
  const std::uint64_t id = OpenSession();
  wire::Command attach = Of(id, 1, Put("attached", "v"));
  attach.mutable_put()->set_attach(true);
  Write(attach);
  EXPECT_TRUE(Exists("attached"));
  wire::Command close;
  close.mutable_close_session()->set_id(id);
  EXPECT_FALSE(Write(close).has_error());
  EXPECT_FALSE(Exists("attached"));
  EXPECT_EQ(CodeOf(close), wire::SESSION_EXPIRED);
}

// What was done cannot be denied, and the memory for answers has a limit.
TEST_F(ServerCommands, WhoLetsLongAnswersPileUpIsCutOff) {
  Write(Put("big", std::string(900'000, 'x')));
  wire::Command get;
  get.mutable_transaction()->add_then()->set_get("big");
  RawClient lazy(nodes_[0].client_address.port);
  lazy.Hello();
  constexpr int kSent = 100;
  std::string frames;  // at once, so that all are taken up before one is answered
  for (std::uint64_t i = 1; i <= kSent; ++i) {
    wire::AppendFrame(frames, wire::FrameType::kWrite, 0, i, wire::RequestHeader(),
                      get.SerializeAsString());
  }
  ASSERT_TRUE(lazy.SendBytes(frames));
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_TRUE(Exists("big")) << "others are served";
  int answers = 0;
  wire::Error last;
  while (const auto answer = lazy.Receive()) {
    ++answers;
    if (answer->type == wire::FrameType::kHello) last = answer->Header<wire::HelloReply>().error();
  }
  EXPECT_LT(answers, kSent);
  EXPECT_GT(answers, 10);
  EXPECT_EQ(last.code(), wire::OVERLOADED);
}

}  // namespace
}  // namespace quorate::server
