// Exactly once, and until when: sessions, their answers, the keys attached to them, their clock.
#include <algorithm>

#include "storage/sessions.h"
#include "tests/unit/storage_command_test.h"

namespace quorate::storage {
namespace {

constexpr std::uint64_t kSecond = 1'000'000;
constexpr std::uint64_t kTtl = 10 * kSecond;

class SessionsTest : public CommandTest {
 protected:
  // At cluster time `stamp_us`; 0: not stamped.
  std::uint64_t OpenSession(std::uint64_t stamp_us = 0, std::uint64_t ttl_us = kTtl) {
    const Applied opened = Apply(At(stamp_us, OpenCommand(ttl_us)));
    EXPECT_EQ(opened.outcome, Outcome::kDone);
    EXPECT_EQ(ResultOf(opened).ttl_us(), ttl_us);
    return opened.index;
  }
  static wire::Command At(std::uint64_t stamp_us, wire::Command command) {
    command.set_stamp_us(stamp_us);
    return command;
  }
  static wire::Command Of(std::uint64_t session, std::uint64_t seq, wire::Command command,
                          std::uint64_t acked_below = 0) {
    command.mutable_session()->set_id(session);
    command.mutable_session()->set_seq(seq);
    command.mutable_session()->set_acked_below(acked_below);
    return command;
  }
  static wire::Command Ordered(wire::Command command) {
    command.mutable_session()->set_ordered(true);
    return command;
  }
  static wire::Command Attached(std::uint64_t session, std::uint64_t seq, const std::string& key) {
    wire::Command command = Of(session, seq, PutCommand(key, "attached"));
    command.mutable_put()->set_attach(true);
    return command;
  }
  static wire::Command Close(std::uint64_t id) {
    wire::Command command;
    command.mutable_close_session()->set_id(id);
    return command;
  }
  static wire::Command KeepAlive(std::uint64_t id) {
    wire::Command command;
    command.mutable_keep_session()->set_id(id);
    return command;
  }
  static wire::Command End(const std::vector<std::uint64_t>& ids, std::uint64_t stamp_us) {
    wire::Command command;
    command.mutable_end_sessions()->mutable_id()->Assign(ids.begin(), ids.end());
    return At(stamp_us, command);
  }
  std::vector<std::uint64_t> Due(std::uint64_t clock_us) { return db_->DueSessions(clock_us, 100); }
};

void ExpectSameAnswer(const Applied& first, const Applied& again) {
  EXPECT_FALSE(first.repeated);
  EXPECT_TRUE(again.repeated);
  EXPECT_EQ(first.executed, again.executed);
  EXPECT_EQ(first.outcome, again.outcome);
  EXPECT_EQ(first.found, again.found);
  EXPECT_EQ(first.have, again.have);
  EXPECT_EQ(first.result, again.result);
}

TEST_F(SessionsTest, ARetryIsAnsweredAndNotExecuted) {
  const std::uint64_t id = OpenSession();
  const wire::Command one = Of(id, 1, IncrementCommand("n", 1));
  const wire::Command two = Of(id, 2, IncrementCommand("n", 1));
  const Applied first = Apply(one);
  const Applied second = Apply(two);
  ExpectSameAnswer(first, Apply(one));  // after 2: the highest seq alone would not do
  ExpectSameAnswer(second, Apply(two));
  EXPECT_EQ(Value("n"), "2");
  const auto together =
      ApplyAll({Of(id, 4, IncrementCommand("n", 1)), one, Of(id, 3, IncrementCommand("n", 1)),
                Of(id, 4, IncrementCommand("n", 1))});
  ExpectSameAnswer(first, together[1]);
  ExpectSameAnswer(together[0], together[3]);
  EXPECT_FALSE(together[2].repeated) << "pipelined: 3 may come after 4";
  EXPECT_EQ(Value("n"), "4");
}

TEST_F(SessionsTest, RefusalsOfCommandsAreAnswersToo) {
  const std::uint64_t id = OpenSession();
  Apply(PutCommand("text", "none"));
  const wire::Command number = Of(id, 1, IncrementCommand("text", 1));
  const Applied refused = Apply(number);
  EXPECT_EQ(refused.outcome, Outcome::kNotANumber);
  wire::Command set = Of(id, 2, wire::Command());
  set.mutable_compare_and_set()->set_key("text");
  set.mutable_compare_and_set()->set_mod_index(99);
  const Applied failed = Apply(set);
  EXPECT_EQ(failed.outcome, Outcome::kCompareFailed);
  const wire::Command gone = Of(id, 3, DeleteCommand("absent"));
  const Applied absent = Apply(gone);
  EXPECT_EQ(absent.outcome, Outcome::kNotFound);
  const Applied put = Apply(Of(id, 4, PutCommand("text", "1")));
  Apply(PutCommand("absent", "here"));
  Restart();
  ExpectSameAnswer(refused, Apply(number));
  ExpectSameAnswer(failed, Apply(set));
  ExpectSameAnswer(absent, Apply(gone));
  ExpectSameAnswer(put, Apply(Of(id, 4, PutCommand("text", "1"))));
  EXPECT_EQ(Value("absent"), "here");
}

TEST_F(SessionsTest, AnswersGoWhenTheClientHasThem) {
  const std::uint64_t id = OpenSession();
  for (std::uint64_t seq = 1; seq <= 4; ++seq) Apply(Of(id, seq, IncrementCommand("n", 1)));
  EXPECT_EQ(OutcomeOf(Of(id, 5, IncrementCommand("n", 1), 4)), Outcome::kDone);
  const Applied gone = Apply(Of(id, 3, IncrementCommand("n", 1)));
  EXPECT_EQ(gone.outcome, Outcome::kSessionSeqGone);
  EXPECT_EQ(gone.have, 4);
  EXPECT_TRUE(Apply(Of(id, 4, IncrementCommand("n", 1))).repeated) << "it is not below 4";
  Restart();
  EXPECT_EQ(OutcomeOf(Of(id, 3, IncrementCommand("n", 1), 1)), Outcome::kSessionSeqGone);
  EXPECT_EQ(Value("n"), "5");
}

TEST_F(SessionsTest, ContradictionsAreRejected) {
  const std::uint64_t id = OpenSession();
  EXPECT_EQ(OutcomeOf(Of(id, 0, PutCommand("k", "v"))), Outcome::kRejected);
  EXPECT_EQ(OutcomeOf(Of(id, 1, PutCommand("k", "v"), 2)), Outcome::kRejected);
  EXPECT_EQ(OutcomeOf(Of(id, 1, KeepAlive(id))), Outcome::kRejected);
  wire::Command attach = PutCommand("k", "v");
  attach.mutable_put()->set_attach(true);
  EXPECT_EQ(OutcomeOf(attach), Outcome::kRejected) << "to no session";
  EXPECT_EQ(OutcomeOf(OpenCommand(wire::kMinSessionTtlUs - 1)), Outcome::kRejected);
  EXPECT_EQ(OutcomeOf(OpenCommand(wire::kMaxSessionTtlUs + 1)), Outcome::kRejected);
  EXPECT_EQ(Value("k"), "(none)");
  EXPECT_EQ(db_->sessions().open, 1);
}

TEST_F(SessionsTest, OrderedCommandsFollowEachOther) {
  const std::uint64_t id = OpenSession();
  const Applied early = Apply(Ordered(Of(id, 2, AppendCommand("a", "2"))));
  EXPECT_EQ(early.outcome, Outcome::kOutOfOrder);
  EXPECT_EQ(early.have, 0);
  const Applied first = Apply(Ordered(Of(id, 1, AppendCommand("a", "1"))));
  EXPECT_EQ(first.outcome, Outcome::kDone);
  EXPECT_EQ(OutcomeOf(Ordered(Of(id, 2, AppendCommand("a", "2")))), Outcome::kDone)
      << "what was refused was not executed";
  ExpectSameAnswer(first, Apply(Ordered(Of(id, 1, AppendCommand("a", "1")))));
  Restart();
  EXPECT_EQ(Apply(Ordered(Of(id, 4, AppendCommand("a", "4")))).have, 2);
  EXPECT_EQ(OutcomeOf(Ordered(Of(id, 3, AppendCommand("a", "3"), 3))), Outcome::kDone);
  EXPECT_EQ(Value("a"), "123");
}

TEST_F(SessionsTest, UnacknowledgedAnswersHaveLimits) {
  const std::uint64_t id = OpenSession();
  std::vector<wire::Command> commands;
  for (std::uint64_t seq = 1; seq <= wire::kMaxSessionPending; ++seq) {
    commands.push_back(Of(id, seq, IncrementCommand("n", 1)));
  }
  ApplyAll(commands);
  const wire::Command next = Of(id, wire::kMaxSessionPending + 1, IncrementCommand("n", 1));
  const Applied refused = Apply(next);
  EXPECT_EQ(refused.outcome, Outcome::kTooManyPending);
  EXPECT_EQ(refused.have, wire::kMaxSessionPending);
  EXPECT_TRUE(Apply(commands.front()).repeated) << "what is kept is answered";
  EXPECT_EQ(OutcomeOf(Of(id, wire::kMaxSessionPending + 1, IncrementCommand("n", 1), 2)),
            Outcome::kDone)
      << "one was acknowledged";
  EXPECT_EQ(Value("n"), std::to_string(wire::kMaxSessionPending + 1));
}

TEST_F(SessionsTest, LongAnswersCountInBytesAndSurvive) {
  const std::uint64_t id = OpenSession();
  Apply(PutCommand("big", std::string(900'000, 'x')));
  wire::Command get;
  get.mutable_transaction()->add_then()->set_get("big");
  Applied first;
  std::uint64_t seq = 1;
  for (; seq < 100; ++seq) {
    const Applied applied = Apply(Of(id, seq, get));
    if (applied.outcome == Outcome::kTooManyPending) break;
    if (seq == 1) first = applied;
  }
  EXPECT_EQ(seq, kMaxSessionAnswerBytes / 900'000 + 2) << "the last may go over it";
  Restart();
  ExpectSameAnswer(first, Apply(Of(id, 1, get)));
  EXPECT_EQ(OutcomeOf(Of(id, seq, get)), Outcome::kTooManyPending) << "counted again at the start";
  EXPECT_EQ(OutcomeOf(Of(id, seq, get, seq)), Outcome::kDone);
  Restart();
  EXPECT_TRUE(Apply(Of(id, seq, get)).repeated);
  EXPECT_EQ(OutcomeOf(Of(id, 1, get)), Outcome::kSessionSeqGone);
}

// --- Time ---

TEST_F(SessionsTest, TheClockNeverGoesBack) {
  OpenSession(5 * kSecond);
  EXPECT_EQ(db_->sessions().clock_us, 5 * kSecond);
  Apply(At(3 * kSecond, PutCommand("k", "v")));
  EXPECT_EQ(db_->sessions().clock_us, 5 * kSecond);
  Apply(PutCommand("k", "v"));
  Restart();
  EXPECT_EQ(db_->sessions().clock_us, 5 * kSecond);
}

TEST_F(SessionsTest, ASessionEndsWhenItsTimeIsUpAndNotBefore) {
  const std::uint64_t id = OpenSession(100 * kSecond);
  EXPECT_TRUE(Due(110 * kSecond - 1).empty());
  EXPECT_EQ(Due(110 * kSecond), std::vector{id});
  Apply(End({id}, 110 * kSecond - 1));
  EXPECT_EQ(db_->sessions().open, 1) << "its time was not up";
  Restart();
  EXPECT_EQ(Due(110 * kSecond), std::vector{id});
  Apply(End({id, id, 12345}, 110 * kSecond));
  EXPECT_EQ(db_->sessions().open, 0);
  EXPECT_TRUE(Due(1000 * kSecond).empty());
  EXPECT_EQ(OutcomeOf(Of(id, 1, PutCommand("k", "v"))), Outcome::kSessionExpired);
  EXPECT_EQ(OutcomeOf(KeepAlive(id)), Outcome::kSessionExpired);
  EXPECT_EQ(OutcomeOf(Close(id)), Outcome::kSessionExpired);
  EXPECT_EQ(Value("k"), "(none)");
}

TEST_F(SessionsTest, WhatIsHeardOfItKeepsIt) {
  const std::uint64_t id = OpenSession(100 * kSecond);
  EXPECT_EQ(ResultOf(Apply(At(105 * kSecond, KeepAlive(id)))).ttl_us(), kTtl);
  EXPECT_TRUE(Due(115 * kSecond - 1).empty());
  Apply(At(110 * kSecond, Of(id, 1, PutCommand("k", "v"))));
  EXPECT_TRUE(Due(120 * kSecond - 1).empty());
  Apply(At(112 * kSecond, Of(id, 1, PutCommand("k", "v"))));  // a retry
  EXPECT_TRUE(Due(122 * kSecond - 1).empty());
  // Without a stamp the state's own clock counts: later than the stamp would have been, not sooner.
  Apply(At(120 * kSecond, PutCommand("k", "v")));
  Apply(KeepAlive(id));
  EXPECT_EQ(Due(130 * kSecond), std::vector{id});
  EXPECT_TRUE(Due(130 * kSecond - 1).empty());
  // Named as due, and kept before that was applied.
  const auto applied = ApplyAll({At(129 * kSecond, KeepAlive(id)), End({id}, 131 * kSecond),
                                 Of(id, 2, PutCommand("k", "alive"))});
  EXPECT_EQ(applied[2].outcome, Outcome::kDone);
}

TEST_F(SessionsTest, OnlySoManyCanBeOpen) {
  std::vector<wire::Command> commands(wire::kMaxSessions, OpenCommand(kTtl));
  const auto applied = ApplyAll(commands);
  EXPECT_EQ(db_->sessions().open, wire::kMaxSessions);
  const Applied refused = Apply(OpenCommand(kTtl));
  EXPECT_EQ(refused.outcome, Outcome::kTooManySessions);
  EXPECT_EQ(refused.have, wire::kMaxSessions);
  EXPECT_EQ(OutcomeOf(Close(applied[5].index)), Outcome::kDone);
  EXPECT_EQ(OutcomeOf(OpenCommand(kTtl)), Outcome::kDone);
  const auto due = db_->DueSessions(kTtl, 10);
  ASSERT_EQ(due.size(), 10);
  EXPECT_TRUE(std::is_sorted(due.begin(), due.end()));
  EXPECT_EQ(due.front(), applied.front().index) << "the oldest first";
}

// --- Attached keys ---

TEST_F(SessionsTest, AttachedKeysGoWithTheirSessionAndOnlyThey) {
  const std::uint64_t id = OpenSession();
  const std::uint64_t other = OpenSession();
  Apply(PutCommand("stays", "v"));
  ApplyAll({Attached(id, 1, "goes"), Attached(id, 2, "rewritten"), Attached(id, 3, "taken over"),
            Attached(id, 4, "deleted"), Attached(id, 5, "counted"),
            Of(id, 6, PutCommand("not attached", "v"))});
  Apply(PutCommand("rewritten", "by others"));
  Apply(Attached(other, 1, "taken over"));
  Apply(DeleteCommand("deleted"));
  Apply(PutCommand("deleted", "again"));
  wire::Command set = Of(id, 7, wire::Command());
  set.mutable_compare_and_set()->set_key("set");
  set.mutable_compare_and_set()->set_value("v");
  set.mutable_compare_and_set()->set_mod_index(0);
  set.mutable_compare_and_set()->set_attach(true);
  EXPECT_EQ(OutcomeOf(set), Outcome::kDone);
  wire::Command transaction = Of(id, 8, wire::Command());
  *transaction.mutable_transaction()->add_then()->mutable_put() = Attached(id, 8, "in one").put();
  EXPECT_EQ(OutcomeOf(transaction), Outcome::kDone);
  EXPECT_EQ((*db_->Get("goes", StateMachine::Cost::kMayReadDisk))->record->owner, id);
  Restart();
  EXPECT_EQ(OutcomeOf(Close(id)), Outcome::kDone);
  for (const char* gone : {"goes", "set", "in one"}) EXPECT_EQ(Value(gone), "(none)") << gone;
  EXPECT_EQ(Value("stays"), "v");
  EXPECT_EQ(Value("not attached"), "v");
  EXPECT_EQ(Value("rewritten"), "by others");
  EXPECT_EQ(Value("taken over"), "attached");
  EXPECT_EQ(Value("deleted"), "again");
  EXPECT_EQ(Value("counted"), "(none)");
  EXPECT_EQ(OutcomeOf(Close(other)), Outcome::kDone);
  EXPECT_EQ(Value("taken over"), "(none)");
}

TEST_F(SessionsTest, AKeyThatIsReadAndWrittenIsNotAttachedAnyMore) {
  const std::uint64_t id = OpenSession();
  ApplyAll({Attached(id, 1, "appended"), Attached(id, 2, "swapped")});
  Apply(AppendCommand("appended", "+"));
  wire::Command swap = PutCommand("swapped", "v");
  swap.mutable_put()->set_return_previous(true);
  Apply(swap);
  ApplyAll({Attached(id, 3, "again"), Of(id, 4, PutCommand("again", "plain"))});
  Apply(Close(id));
  EXPECT_EQ(Value("appended"), "attached+");
  EXPECT_EQ(Value("swapped"), "v");
  EXPECT_EQ(Value("again"), "plain");
}

TEST_F(SessionsTest, ManyAttachedKeysGoInSteps) {
  const std::uint64_t id = OpenSession();
  const std::uint64_t small = OpenSession();
  std::vector<wire::Command> commands;
  for (std::uint64_t seq = 1; seq <= 2 * kMaxEndedKeys; ++seq) {
    commands.push_back(Attached(id, seq, "key " + std::to_string(seq)));
    commands.back().mutable_session()->set_acked_below(seq);
  }
  ApplyAll(commands);
  Apply(Attached(small, 1, "small"));
  EXPECT_EQ(OutcomeOf(Close(id)), Outcome::kDone);
  EXPECT_EQ(db_->sessions().open, 1);
  EXPECT_EQ(db_->sessions().ending, 1);
  EXPECT_EQ(db_->View()->Scan("", "", 10'000, 1 << 20, true)->count, kMaxEndedKeys + 1);
  EXPECT_EQ(OutcomeOf(Of(id, 5000, PutCommand("k", "v"))), Outcome::kSessionExpired);
  Restart();
  EXPECT_EQ(db_->sessions().ending, 1);
  EXPECT_EQ(Due(0), std::vector{id}) << "whatever the time is";
  Apply(End({id, small}, kTtl));
  EXPECT_EQ(db_->View()->Scan("", "", 10'000, 1 << 20, true)->count, 1);
  Apply(End(Due(kTtl), kTtl));
  EXPECT_EQ(db_->sessions().open + db_->sessions().ending, 0);
  EXPECT_EQ(Value("small"), "(none)");
}

// --- What carries the state ---

// Batches differ between nodes; the rows must not.
TEST_F(SessionsTest, HowCommandsAreBatchedChangesNothing) {
  std::vector<wire::Command> commands = {OpenCommand(kTtl), OpenCommand(2 * kTtl)};
  for (std::uint64_t i = 1; i <= 60; ++i) {
    const std::uint64_t id = i % 3 == 0 ? 2 : 1;
    const std::uint64_t seq = i - i % 5;
    commands.push_back(At(i * kSecond / 2, Of(id, seq + 1, IncrementCommand("n", 1), seq / 2)));
    if (i % 7 == 0) commands.push_back(Attached(id, 100 + i, "a" + std::to_string(i % 3)));
    if (i % 20 == 0) commands.push_back(End({1, 2}, i * kSecond));
  }
  const auto one_by_one = [&] {
    std::vector<Applied> all;
    for (const wire::Command& command : commands) all.push_back(Apply(command));
    return all;
  };
  const std::vector<Applied> single = one_by_one();
  const std::string count = Value("n");
  const SessionStats stats = db_->sessions();
  Open("another");
  const std::vector<Applied> together = ApplyAll(commands);
  ASSERT_EQ(single.size(), together.size());
  for (std::size_t i = 0; i < single.size(); ++i) {
    EXPECT_EQ(single[i].outcome, together[i].outcome) << i;
    EXPECT_EQ(single[i].repeated, together[i].repeated) << i;
    EXPECT_EQ(single[i].executed, together[i].executed) << i;
    EXPECT_EQ(single[i].result, together[i].result) << i;
  }
  EXPECT_EQ(Value("n"), count);
  EXPECT_EQ(db_->sessions().open, stats.open);
  EXPECT_EQ(db_->sessions().ending, stats.ending);
  EXPECT_EQ(db_->sessions().clock_us, stats.clock_us);
}

TEST_F(SessionsTest, ACheckpointCarriesSessions) {
  const std::uint64_t id = OpenSession(kSecond);
  const wire::Command one = Of(id, 1, IncrementCommand("n", 1));
  const Applied first = Apply(one);
  Apply(Attached(id, 2, "attached"));
  ASSERT_TRUE(db_->Checkpoint(root_ / "copy"));
  Apply(Close(id));
  Open("copy");
  EXPECT_EQ(db_->sessions().open, 1);
  EXPECT_EQ(db_->sessions().clock_us, kSecond);
  ExpectSameAnswer(first, Apply(one));
  EXPECT_EQ(Value("attached"), "attached");
  Apply(Close(id));
  EXPECT_EQ(Value("attached"), "(none)");
}

TEST_F(SessionsTest, AnotherClustersSessionsAreGone) {
  const std::uint64_t id = OpenSession(kSecond);
  Apply(Attached(id, 1, "attached"));
  Apply(Attached(id, 2, "rewritten"));
  Apply(PutCommand("rewritten", "v"));
  ASSERT_TRUE(db_->Flush());
  const raft::Position at = db_->applied();
  db_.reset();
  const auto configuration = raft::Configuration::Bootstrap({{1, {}, "a:1"}});
  ASSERT_TRUE(AdoptDatabase(root_ / "db", {}, {at, configuration}));
  Open();
  EXPECT_EQ(db_->sessions().open, 0);
  EXPECT_EQ(db_->sessions().clock_us, 0);
  EXPECT_EQ(Value("attached"), "(none)");
  EXPECT_EQ(Value("rewritten"), "v");
  EXPECT_EQ(OutcomeOf(Of(id, 1, PutCommand("k", "v"))), Outcome::kSessionExpired);
}

TEST_F(SessionsTest, RowsThatNoVersionWritesAreNotedAsDamage) {
  Sessions sessions;
  EXPECT_FALSE(sessions.LoadRow("session/unknown", ""));
  EXPECT_FALSE(sessions.LoadRow("session/clock", "short"));
  EXPECT_FALSE(sessions.LoadRow("session/head/short", ""));
  EXPECT_FALSE(sessions.LoadRow(std::string("session/head/") + std::string(8, '\1'), "\xff"));
  EXPECT_FALSE(sessions.LoadRow(std::string("session/result/") + std::string(16, '\1'), "x"))
      << "of no session";
}

}  // namespace
}  // namespace quorate::storage
