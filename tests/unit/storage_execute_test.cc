// What each command does, and what it does not do when it is refused.
#include <limits>
#include <span>

#include "storage/stored_record.h"
#include "tests/unit/storage_command_test.h"

namespace quorate::storage {
namespace {

using ExecuteTest = CommandTest;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

TEST_F(ExecuteTest, PreviousValuesAreToldWhereTheyAreAskedFor) {
  wire::Command put = PutCommand("k", "one");
  EXPECT_EQ(Apply(put).result, "") << "nothing was asked";
  put.mutable_put()->set_value("two");
  put.mutable_put()->set_return_previous(true);
  const Applied second = Apply(put);
  EXPECT_TRUE(second.found);
  EXPECT_EQ(ResultOf(second).value(), "one");
  EXPECT_EQ(ResultOf(second).value_mod_index(), 1);
  EXPECT_EQ(second.executed, (raft::Position{2, 3}));
  wire::Command remove = DeleteCommand("k");
  remove.mutable_delete_()->set_return_previous(true);
  const Applied removed = Apply(remove);
  EXPECT_TRUE(removed.found);
  EXPECT_EQ(ResultOf(removed).value(), "two");
  EXPECT_EQ(ResultOf(removed).value_mod_index(), 2);
  const Applied again = Apply(remove);
  EXPECT_EQ(again.outcome, Outcome::kNotFound);
  EXPECT_FALSE(again.found);
  EXPECT_EQ(again.result, "");
  const Applied fresh = Apply(put);
  EXPECT_FALSE(fresh.found);
  EXPECT_EQ(ResultOf(fresh).value_mod_index(), 0);
}

TEST_F(ExecuteTest, CompareAndSetTellsWhatThereWas) {
  wire::Command set;
  set.mutable_compare_and_set()->set_key("k");
  set.mutable_compare_and_set()->set_value("v");
  EXPECT_EQ(OutcomeOf(set), Outcome::kRejected) << "nothing is expected";
  set.mutable_compare_and_set()->set_mod_index(0);
  EXPECT_FALSE(Apply(set).found);
  const Applied failed = Apply(set);
  EXPECT_EQ(failed.outcome, Outcome::kCompareFailed);
  EXPECT_EQ(failed.have, 2);
  EXPECT_TRUE(failed.found);
  set.mutable_compare_and_set()->set_mod_index(2);
  EXPECT_TRUE(Apply(set).found);
}

TEST_F(ExecuteTest, IncrementCountsFromNothing) {
  const Applied first = Apply(IncrementCommand("n", -5));
  EXPECT_FALSE(first.found);
  EXPECT_EQ(ResultOf(first).value(), "-5");
  const Applied second = Apply(IncrementCommand("n", 7));
  EXPECT_TRUE(second.found);
  EXPECT_EQ(ResultOf(second).value(), "2");
  EXPECT_EQ(Value("n"), "2");
  EXPECT_EQ(ResultOf(Apply(IncrementCommand("n", 0))).value(), "2");
}

TEST_F(ExecuteTest, IncrementStaysWithin64Bits) {
  Apply(PutCommand("most", std::to_string(kMost)));
  Apply(PutCommand("least", std::to_string(kLeast)));
  EXPECT_EQ(OutcomeOf(IncrementCommand("most", 1)), Outcome::kOutOfRange);
  EXPECT_EQ(OutcomeOf(IncrementCommand("least", -1)), Outcome::kOutOfRange);
  EXPECT_EQ(Apply(IncrementCommand("least", -1)).have, 2);
  EXPECT_EQ(Value("most"), std::to_string(kMost));
  EXPECT_EQ(Value("least"), std::to_string(kLeast));
  EXPECT_EQ(ResultOf(Apply(IncrementCommand("most", kLeast))).value(), "-1");
  EXPECT_EQ(ResultOf(Apply(IncrementCommand("fresh", kLeast))).value(), std::to_string(kLeast));
}

TEST_F(ExecuteTest, WhatIsNoNumberStaysAsItIs) {
  for (const std::string text :
       {"", " 1", "1 ", "+1", "0x1", "1.0", "9223372036854775808", "-", "one", "12a"}) {
    const Applied put = Apply(PutCommand("n", text));
    const Applied refused = Apply(IncrementCommand("n", 1));
    EXPECT_EQ(refused.outcome, Outcome::kNotANumber) << text;
    EXPECT_EQ(refused.have, put.index) << text;
    EXPECT_EQ(refused.result, "") << text;
    EXPECT_EQ(Value("n"), text);
  }
}

TEST_F(ExecuteTest, AppendGoesUpToTheLimit) {
  EXPECT_FALSE(Apply(AppendCommand("a", "one")).found);
  EXPECT_TRUE(Apply(AppendCommand("a", ",two")).found);
  EXPECT_EQ(Value("a"), "one,two");
  EXPECT_EQ(OutcomeOf(AppendCommand("a", std::string(wire::kMaxValueBytes - 7, 'x'))),
            Outcome::kDone);
  const Applied refused = Apply(AppendCommand("a", "y"));
  EXPECT_EQ(refused.outcome, Outcome::kValueTooLarge);
  EXPECT_EQ(refused.have, wire::kMaxValueBytes + 1);
  EXPECT_EQ(Value("a").size(), wire::kMaxValueBytes);
  EXPECT_EQ(OutcomeOf(AppendCommand("a", "")), Outcome::kDone) << "nothing more always fits";
}

wire::Command Range(const std::string& first, const std::string& last, std::uint32_t max) {
  wire::Command command;
  command.mutable_delete_range()->set_first(first);
  command.mutable_delete_range()->set_last(last);
  command.mutable_delete_range()->set_max_keys(max);
  return command;
}

TEST_F(ExecuteTest, RangesGoInStepsThatSayWhereToGoOn) {
  for (const std::string key : {"a", "b", "c", "d", "e"}) Apply(PutCommand(key, "v"));
  const wire::WriteResult first = ResultOf(Apply(Range("b", "e", 2)));
  EXPECT_EQ(first.deleted(), 2);
  EXPECT_EQ(first.resume(), "d");
  const wire::WriteResult second = ResultOf(Apply(Range(first.resume(), "e", 2)));
  EXPECT_EQ(second.deleted(), 1);
  EXPECT_EQ(second.resume(), "");
  EXPECT_EQ(db_->View()->Scan("", "", 10, 1000, true)->count, 2) << "a and e";
  EXPECT_EQ(ResultOf(Apply(Range("", "", 2))).deleted(), 2) << "all there is, exactly";
  EXPECT_EQ(ResultOf(Apply(Range("", "", 1))).deleted(), 0);
  EXPECT_EQ(OutcomeOf(Range("z", "a", 1)), Outcome::kDone) << "an empty range has no keys";
  EXPECT_EQ(OutcomeOf(Range("", "", 0)), Outcome::kRejected);
  EXPECT_EQ(OutcomeOf(Range("", "", wire::kMaxDeleteRangeKeys + 1)), Outcome::kRejected);
}

TEST_F(ExecuteTest, RangesSeeTheBatchTheyAreIn) {
  ApplyAll({PutCommand("a", "1"), PutCommand("c", "1"), PutCommand("e", "1")});
  const auto applied = ApplyAll({PutCommand("b", "2"), DeleteCommand("c"), PutCommand("d", "2"),
                                 PutCommand("e", "2"), Range("b", "", 2), PutCommand("b", "3")});
  const wire::WriteResult result = ResultOf(applied[4]);
  EXPECT_EQ(result.deleted(), 2);
  EXPECT_EQ(result.resume(), "e");
  EXPECT_EQ(Value("a"), "1");
  EXPECT_EQ(Value("b"), "3");
  EXPECT_EQ(Value("d"), "(none)");
  EXPECT_EQ(Value("e"), "2");
}

TEST_F(ExecuteTest, EverythingSeesTheBatchItIsIn) {
  wire::Command swap = PutCommand("k", "new");
  swap.mutable_put()->set_return_previous(true);
  const auto applied =
      ApplyAll({PutCommand("k", "40"), IncrementCommand("k", 2), AppendCommand("k", "!"), swap,
                DeleteCommand("k"), IncrementCommand("k", 1)});
  EXPECT_EQ(ResultOf(applied[1]).value(), "42");
  EXPECT_EQ(ResultOf(applied[3]).value(), "42!");
  EXPECT_EQ(ResultOf(applied[3]).value_mod_index(), 3);
  EXPECT_TRUE(applied[4].found);
  EXPECT_EQ(ResultOf(applied[5]).value(), "1");
  EXPECT_EQ(Value("k"), "1");
}

// What stands there now was the time at which a key expires, and always 0.
TEST(StoredRecord, RecordsOfEarlierVersionsBelongToNoSession) {
  const auto record = DecodeRecord(std::string("\x85\x01\0value", 8));
  ASSERT_TRUE(record);
  EXPECT_EQ(record->mod_index, 133);
  EXPECT_EQ(record->owner, 0);
  EXPECT_EQ(record->value, "value");
}

// --- Transactions ---

wire::Compare& Expect(wire::Command& command, const std::string& key,
                      wire::Compare::Relation relation) {
  wire::Compare& compare = *command.mutable_transaction()->add_compare();
  compare.set_key(key);
  compare.set_relation(relation);
  return compare;
}

TEST_F(ExecuteTest, ATransactionTakesOneBranchAndSeesItself) {
  Apply(PutCommand("n", "1"));
  wire::Command command;
  Expect(command, "n", wire::Compare::EQUAL).set_value("1");
  Expect(command, "none", wire::Compare::EQUAL).set_mod_index(0);
  wire::Transaction& transaction = *command.mutable_transaction();
  *transaction.add_then()->mutable_increment() = IncrementCommand("n", 41).increment();
  *transaction.add_then()->mutable_append() = AppendCommand("n", "x").append();
  transaction.add_then()->set_get("n");
  *transaction.add_then()->mutable_delete_() = DeleteCommand("n").delete_();
  transaction.add_then()->set_get("n");
  *transaction.add_then()->mutable_delete_() = DeleteCommand("none").delete_();
  *transaction.add_then()->mutable_put() = PutCommand("m", "put").put();
  *transaction.add_otherwise()->mutable_put() = PutCommand("other", "branch").put();
  const Applied applied = Apply(command);
  ASSERT_EQ(applied.outcome, Outcome::kDone);
  const wire::WriteResult result = ResultOf(applied);
  EXPECT_TRUE(result.succeeded());
  ASSERT_EQ(result.results_size(), 7);
  EXPECT_EQ(result.results(0).value(), "42");
  EXPECT_TRUE(result.results(0).found());
  EXPECT_EQ(result.results(2).value(), "42x");
  EXPECT_EQ(result.results(2).mod_index(), 2);
  EXPECT_TRUE(result.results(3).found());
  EXPECT_FALSE(result.results(4).found());
  EXPECT_FALSE(result.results(5).found()) << "nothing to delete is no failure";
  EXPECT_EQ(Value("n"), "(none)");
  EXPECT_EQ(Value("m"), "put");
  EXPECT_EQ(Value("other"), "(none)");
  const wire::WriteResult otherwise = ResultOf(Apply(command));
  EXPECT_FALSE(otherwise.succeeded());
  EXPECT_EQ(otherwise.results_size(), 1);
  EXPECT_EQ(Value("other"), "branch");
}

TEST_F(ExecuteTest, Comparisons) {
  Apply(PutCommand("k", "m"));  // at index 1
  using C = wire::Compare;
  const auto holds = [this](const std::string& key, C::Relation relation, const auto& set) {
    wire::Command command;
    set(Expect(command, key, relation));
    return ResultOf(Apply(command)).succeeded();
  };
  const auto value = [](const char* text) { return [text](C& c) { c.set_value(text); }; };
  const auto index = [](raft::Index i) { return [i](C& c) { c.set_mod_index(i); }; };
  EXPECT_TRUE(holds("k", C::EQUAL, value("m")));
  EXPECT_FALSE(holds("k", C::NOT_EQUAL, value("m")));
  EXPECT_TRUE(holds("k", C::LESS, value("n")));
  EXPECT_FALSE(holds("k", C::LESS, value("m")));
  EXPECT_TRUE(holds("k", C::GREATER, value("l")));
  EXPECT_TRUE(holds("k", C::EQUAL, index(1)));
  EXPECT_TRUE(holds("k", C::LESS, index(2)));
  EXPECT_TRUE(holds("k", C::GREATER, index(0)));
  EXPECT_TRUE(holds("none", C::EQUAL, index(0)));
  EXPECT_TRUE(holds("none", C::LESS, index(1)));
  EXPECT_FALSE(holds("none", C::EQUAL, value("")));
  EXPECT_TRUE(holds("none", C::NOT_EQUAL, value("")));
  EXPECT_FALSE(holds("none", C::LESS, value("x")));
  EXPECT_FALSE(holds("none", C::GREATER, value("")));
}

TEST_F(ExecuteTest, ATransactionChangesAllOrNothing) {
  Apply(PutCommand("text", "no number"));
  wire::Command command;
  wire::Transaction& transaction = *command.mutable_transaction();
  *transaction.add_then()->mutable_put() = PutCommand("a", "1").put();
  *transaction.add_then()->mutable_delete_() = DeleteCommand("text").delete_();
  *transaction.add_then()->mutable_put() = PutCommand("text", "still none").put();
  *transaction.add_then()->mutable_increment() = IncrementCommand("text", 1).increment();
  const Applied failed = Apply(command);
  EXPECT_EQ(failed.outcome, Outcome::kNotANumber);
  EXPECT_EQ(failed.result, "");
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_EQ(Value("text"), "no number");
  wire::Command empty;
  empty.mutable_transaction()->add_then();
  EXPECT_EQ(OutcomeOf(empty), Outcome::kRejected);
  wire::Command no_target;
  no_target.mutable_transaction()->add_compare()->set_key("a");
  EXPECT_EQ(OutcomeOf(no_target), Outcome::kRejected);
}

TEST_F(ExecuteTest, ATransactionAnswersNoMoreThanItsLimit) {
  Apply(PutCommand("big", std::string(kMaxTransactionResultBytes / 2, 'x')));
  wire::Command command;
  *command.mutable_transaction()->add_then()->mutable_put() = PutCommand("a", "1").put();
  for (int i = 0; i < 2; ++i) command.mutable_transaction()->add_then()->set_get("big");
  EXPECT_EQ(OutcomeOf(command), Outcome::kDone);
  Apply(DeleteCommand("a"));
  *command.mutable_transaction()->add_then()->mutable_increment() =
      IncrementCommand("n", 1).increment();
  const Applied refused = Apply(command);
  EXPECT_EQ(refused.outcome, Outcome::kResultTooLarge);
  EXPECT_EQ(refused.have, kMaxTransactionResultBytes + 1);
  EXPECT_EQ(refused.result, "");
  EXPECT_EQ(Value("a"), "(none)");
  EXPECT_EQ(Value("n"), "(none)");
}

// Short commands with long effects: they are applied in pieces.
TEST_F(ExecuteTest, ABatchIsNoLargerThanFits) {
  Apply(PutCommand("big", std::string(900'000, 'x')));
  wire::Command get;
  get.mutable_transaction()->add_then()->set_get("big");
  for (const wire::Command& command : {get, AppendCommand("big", "y")}) {
    std::vector<raft::Entry> entries;
    for (raft::Index i = 1; i <= 20; ++i) {
      entries.push_back({3, db_->applied().index + i, raft::EntryKind::kCommand,
                         Bytes::Copy(command.SerializeAsString())});
    }
    std::span<const raft::Entry> rest(entries);
    int pieces = 0;
    for (; !rest.empty(); ++pieces) {
      const auto applied = db_->Apply(rest);
      ASSERT_TRUE(applied) << applied.error().message;
      ASSERT_GE(applied->size(), 1U);
      EXPECT_LE(applied->size(), 5U);
      rest = rest.subspan(applied->size());
      EXPECT_EQ(db_->applied().index + rest.size(), entries.back().index);
    }
    EXPECT_GE(pieces, 4);
  }
  EXPECT_EQ(Value("big").size(), 900'020U);
}

}  // namespace
}  // namespace quorate::storage
