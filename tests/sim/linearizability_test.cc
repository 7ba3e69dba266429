#include "tests/sim/linearizability.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace quorate::sim {
namespace {

struct History {
  std::vector<Operation> operations;
  std::vector<LoggedWrite> log;

  std::optional<std::string> Violation() const { return FindViolation(operations, log); }
};

Operation Make(std::uint64_t id, OperationKind kind, std::int64_t invoked, std::int64_t returned,
               raft::Index index, Result result = Result::kDone) {
  Operation operation;
  operation.id = id;
  operation.kind = kind;
  operation.key = "k";
  if (kind == OperationKind::kPut || kind == OperationKind::kCompareAndSet) {
    operation.value = "v" + std::to_string(id);
  }
  operation.invoked = SimTime{invoked};
  operation.returned = SimTime{returned};
  operation.index = index;
  operation.result = result;
  return operation;
}

Operation Read(std::uint64_t id, std::int64_t invoked, std::int64_t returned, raft::Index index,
               Observed observed, OperationKind kind = OperationKind::kStrongRead) {
  Operation operation = Make(id, kind, invoked, returned, index);
  operation.observed = std::move(observed);
  return operation;
}

// put #1 at 5, put #2 at 7, read #3 of #2, delete #4 at 9, read #5 of nothing.
History Sequential() {
  return {{Make(1, OperationKind::kPut, 10, 20, 5), Make(2, OperationKind::kPut, 30, 40, 7),
           Read(3, 50, 60, 8, {7, "v2"}), Make(4, OperationKind::kDelete, 70, 80, 9),
           Read(5, 90, 100, 9, {})},
          {{5, 1}, {7, 2}, {9, 4}}};
}

TEST(Linearizability, AcceptsASequentialHistory) {
  EXPECT_EQ(Sequential().Violation(), std::nullopt);
}

TEST(Linearizability, AcceptsAnEmptyHistory) {
  EXPECT_EQ(History().Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAReadOfAnotherValue) {
  History history = Sequential();
  history.operations[2].observed = {5, "v1"};
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAReadWithAnotherModIndex) {
  History history = Sequential();
  history.operations[2].observed.mod_index = 6;
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAStaleStrongReadAndAcceptsAStaleEventualOne) {
  History history = Sequential();
  history.operations[2] = Read(3, 50, 60, 5, {5, "v1"});
  EXPECT_NE(history.Violation(), std::nullopt);
  history.operations[2].kind = OperationKind::kWeakRead;
  EXPECT_EQ(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAReadThatGoesBackBehindAnEarlierRead) {
  History history{{Make(1, OperationKind::kPut, 10, 0, 0, Result::kUnknown),
                   Read(2, 20, 30, 5, {5, "v1"}), Read(3, 40, 50, 4, {})},
                  {{5, 1}}};
  EXPECT_NE(history.Violation(), std::nullopt);
  history.operations[2].invoked = SimTime{25};  // now they overlap
  EXPECT_EQ(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsALostWrite) {
  History history = Sequential();
  history.log.erase(history.log.begin());
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAWriteExecutedTwice) {
  History history = Sequential();
  history.log.push_back({11, 1});
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAWriteThatNobodyAskedFor) {
  History history = Sequential();
  history.log.push_back({11, 99});
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAnAcknowledgementOfAnotherIndex) {
  History history = Sequential();
  history.operations[0].index = 6;
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAWriteThatWasRefusedAndHappened) {
  History history = Sequential();
  history.operations[3].result = Result::kNotExecuted;
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, AcceptsAnUnknownWriteThatHappenedOrDidNot) {
  History history = Sequential();
  history.operations.push_back(Make(6, OperationKind::kPut, 95, 0, 0, Result::kUnknown));
  EXPECT_EQ(history.Violation(), std::nullopt);
  history.log.push_back({10, 6});
  EXPECT_EQ(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAnUnknownWriteThatHappenedBeforeItWasAskedFor) {
  History history = Sequential();
  history.operations.push_back(Make(6, OperationKind::kPut, 95, 0, 0, Result::kUnknown));
  history.log.insert(history.log.begin(), {4, 6});
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsWritesAgainstRealTime) {
  History history{
      {Make(1, OperationKind::kPut, 10, 20, 7), Make(2, OperationKind::kPut, 30, 40, 5)},
      {{5, 2}, {7, 1}}};
  EXPECT_NE(history.Violation(), std::nullopt);
  history.operations[1].invoked = SimTime{15};  // now they overlap
  EXPECT_EQ(history.Violation(), std::nullopt);
}

TEST(Linearizability, ChecksTheOutcomeOfCompareAndSet) {
  History history{
      {Make(1, OperationKind::kPut, 10, 20, 5), Make(2, OperationKind::kCompareAndSet, 30, 40, 6)},
      {{5, 1}, {6, 2}}};
  history.operations[1].expect_index = 5;
  EXPECT_EQ(history.Violation(), std::nullopt);
  history.operations[1].result = Result::kCompareFailed;
  EXPECT_NE(history.Violation(), std::nullopt);
  history.operations[1].expect_index = 4;
  EXPECT_EQ(history.Violation(), std::nullopt);
  history.operations[1].expect_index.reset();
  history.operations[1].expect_value = "v1";
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, ChecksTheOutcomeOfDelete) {
  History history = Sequential();
  history.operations[3].result = Result::kNotFound;
  EXPECT_NE(history.Violation(), std::nullopt);
}

TEST(Linearizability, RejectsAnEventualReadOfTheFuture) {
  History history{{Make(1, OperationKind::kPut, 30, 40, 5),
                   Read(2, 10, 20, 5, {5, "v1"}, OperationKind::kWeakRead)},
                  {{5, 1}}};
  EXPECT_NE(history.Violation(), std::nullopt);
}

// A history that one copy of the data produced, with operations that overlap: each takes effect at
// a random moment between its invocation and its return.
History RandomHistory(Random& random) {
  struct Step {
    std::int64_t effect;
    Operation operation;
  };
  std::vector<Step> steps;
  for (std::uint64_t id = 1; id <= 40; ++id) {
    const std::int64_t effect = random.Between(100, 2'000);
    Operation operation = Make(id, static_cast<OperationKind>(random.Below(4)),
                               effect - random.Between(1, 90), effect + random.Between(1, 90), 0);
    operation.key = "k" + std::to_string(random.Below(3));
    steps.push_back({effect, std::move(operation)});
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.effect < b.effect; });
  History history;
  std::map<std::string, Observed> state;
  raft::Index index = 0;
  for (Step& step : steps) {
    Operation& operation = step.operation;
    Observed& now = state[operation.key];
    if (operation.kind == OperationKind::kCompareAndSet) {
      operation.expect_index = random.Chance(0.5) ? now.mod_index : 1'000;
      if (operation.expect_index != now.mod_index) operation.result = Result::kCompareFailed;
    }
    if (operation.kind == OperationKind::kDelete && now.mod_index == 0)
      operation.result = Result::kNotFound;
    if (IsWrite(operation.kind)) {
      operation.index = ++index;
      history.log.push_back({index, operation.id});
      if (operation.result == Result::kDone) {
        now = operation.kind == OperationKind::kDelete ? Observed{}
                                                       : Observed{index, operation.value};
      }
    } else {
      operation.index = index;
      operation.observed = now;
    }
    history.operations.push_back(operation);
  }
  return history;
}

TEST(Linearizability, AcceptsRandomHistoriesAndRejectsEveryCorruptedRead) {
  Random random(7);
  int corrupted = 0;
  for (int round = 0; round < 300; ++round) {
    History history = RandomHistory(random);
    ASSERT_EQ(history.Violation(), std::nullopt);
    Operation& victim = history.operations[random.Below(history.operations.size())];
    if (IsWrite(victim.kind)) {
      ++victim.index;  // acknowledged elsewhere
    } else {
      victim.observed.mod_index += 1;
    }
    ++corrupted;
    ASSERT_NE(history.Violation(), std::nullopt);
  }
  EXPECT_EQ(corrupted, 300);
}

}  // namespace
}  // namespace quorate::sim
