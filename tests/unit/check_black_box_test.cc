// The search for an order: against trying all orders, and against histories with known verdicts.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "jepsen/check/check.h"
#include "jepsen/check/linearizability.h"
#include "jepsen/check/shrink.h"

namespace quorate::check {
namespace {

// Tries every order of every subset that leaves out only what has no answer.
class AllOrders {
 public:
  explicit AllOrders(const std::vector<Operation>& operations, Stepper& stepper)
      : operations_(operations), stepper_(stepper), done_(operations.size()) {}

  bool Exists(State state) {
    bool all = true;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      if (done_[i]) continue;
      all = all && operations_[i].returned == kNever;
      if (!MayBeNext(i)) continue;
      const auto next = stepper_.Step(state, operations_[i]);
      if (!next) continue;
      done_[i] = true;
      const bool exists = Exists(*next);
      done_[i] = false;
      if (exists) return true;
    }
    return all;
  }

 private:
  bool MayBeNext(std::size_t i) const {
    for (std::size_t j = 0; j < operations_.size(); ++j) {
      if (!done_[j] && j != i && operations_[j].returned < operations_[i].invoked) return false;
    }
    return true;
  }

  const std::vector<Operation>& operations_;
  Stepper& stepper_;
  std::vector<bool> done_;
};

Operation RandomOperation(History& history, std::mt19937_64& random, std::uint64_t number) {
  ValueTable& values = history.values;
  const auto value = [&] { return values.Number(static_cast<std::int64_t>(random() % 3)); };
  Operation op;
  op.number = number;
  op.invoked = static_cast<Time>(random() % 12);
  op.returned = op.invoked + static_cast<Time>(random() % 6);
  op.outcome = Outcome::kOk;
  const bool text = history.model == Model::kAppend;
  switch (random() % 4) {
    case 0:
      op.function = text ? Function::kAppend : Function::kWrite;
      op.value = text ? values.Text(random() % 2 == 0 ? "a" : "b") : value();
      break;
    case 1:
      op.function = text ? Function::kAppend : Function::kCas;
      op.value = text ? values.Text("c") : values.List({value(), value()});
      op.compared_unequal = !text && random() % 3 == 0;
      if (op.compared_unequal) op.outcome = Outcome::kFail;
      break;
    default: {
      op.function = Function::kRead;
      op.has_result = true;
      static constexpr const char* kTexts[] = {"", "a", "b", "c", "ab", "ac", "ca", "abc", "cab"};
      op.result = text ? values.Text(kTexts[random() % 9]) : value();
    }
  }
  if (!op.is_read() && !op.compared_unequal && random() % 3 == 0) {
    op.outcome = Outcome::kInfo;
    op.returned = kNever;
  }
  return op;
}

class AgainstAllOrders : public testing::TestWithParam<Model> {};

TEST_P(AgainstAllOrders, Agrees) {
  std::mt19937_64 random(7);
  int valid = 0;
  int invalid = 0;
  for (int i = 0; i < 6000; ++i) {
    History history;
    history.model = GetParam();
    history.initial = history.model == Model::kRegister ? history.values.Number(0) : kNil;
    const std::size_t count = 2 + random() % 6;
    for (std::uint64_t j = 0; j < count; ++j) {
      history.operations.push_back(RandomOperation(history, random, j));
    }
    Stepper stepper(history);
    const bool expected = AllOrders(history.operations, stepper).Exists(stepper.Initial());
    const Linearization found = Linearize(stepper, history.values, history.operations, Budget());
    ASSERT_EQ(found.verdict, expected ? Verdict::kValid : Verdict::kInvalid) << "history " << i;
    ++(expected ? valid : invalid);
    if (expected) continue;
    // What is left after shrinking is impossible too, and no larger.
    const std::vector<Operation> small =
        Shrink(stepper, history.values, history.operations, found.stuck_at, Budget());
    ASSERT_FALSE(AllOrders(small, stepper).Exists(stepper.Initial())) << "history " << i;
    ASSERT_LE(small.size(), history.operations.size());
  }
  EXPECT_GT(valid, 500);
  EXPECT_GT(invalid, 500);
}

INSTANTIATE_TEST_SUITE_P(Models, AgainstAllOrders,
                         testing::Values(Model::kRegister, Model::kAppend),
                         [](const auto& model) { return std::string(Name(model.param)); });

Verdict VerdictOf(std::string_view text, const CheckOptions& options = {}) {
  ByteStream stream(text);
  ReadResult result = ReadStream(stream, "file", options.read);
  if (auto* history = std::get_if<History>(&result)) return Check(*history, options).verdict();
  ADD_FAILURE() << std::get<ReadError>(result).Show();
  return Verdict::kUnknown;
}

std::string Event(int process, const std::string& type, const std::string& f,
                  const std::string& value) {
  return "{:process " + std::to_string(process) + ", :type :" + type + ", :f :" + f + ", :value " +
         value + "}\n";
}

std::string Done(int process, const std::string& f, const std::string& value,
                 const std::string& result) {
  return Event(process, "invoke", f, value) + Event(process, "ok", f, result);
}

TEST(Models, TellValidFromInvalid) {
  struct Case {
    const char* name;
    std::string valid;
    std::string invalid;
  };
  const Case cases[] = {
      {"counter", Done(0, "add", "2", "2") + Done(0, "read", "nil", "2"),
       Done(0, "add", "2", "2") + Done(0, "read", "nil", "3")},
      {"set", Done(0, "add", "2", "2") + Done(0, "read", "nil", "[2]"),
       Done(0, "add", "2", "2") + Done(0, "read", "nil", "[]")},
      {"lock", Done(0, "acquire", "nil", "nil") + Done(0, "release", "nil", "nil"),
       Done(0, "acquire", "nil", "nil") + Done(1, "acquire", "nil", "nil")},
      {"bank",
       Done(0, "read", "nil", "{\"a\" 5, \"b\" 5}") +
           Done(0, "transfer", "[\"a\" \"b\" 2]", "nil") +
           Done(0, "read", "nil", "{\"a\" 3, \"b\" 7}"),
       Done(0, "read", "nil", "{\"a\" 5, \"b\" 5}") +
           Done(0, "transfer", "[\"a\" \"b\" 2]", "nil") +
           Done(0, "read", "nil", "{\"a\" 5, \"b\" 7}")},
      {"multi-register",
       Done(0, "txn", "[[:write :x 1]]", "[[:write :x 1]]") +
           Done(0, "txn", "[[:read :x nil] [:read :y nil]]", "[[:read :x 1] [:read :y 0]]"),
       Done(0, "txn", "[[:write :x 1]]", "[[:write :x 1]]") +
           Done(0, "txn", "[[:read :x nil] [:read :y nil]]", "[[:read :x 1] [:read :y 2]]")},
      {"register", Done(0, "cas", "[0 1]", "[0 1]") + Done(0, "read", "nil", "1"),
       Done(0, "cas", "[0 1]", "[0 1]") + Done(0, "read", "nil", "0")},
  };
  for (const Case& test : cases) {
    CheckOptions options;
    options.read.model = ModelNamed(test.name);
    EXPECT_EQ(VerdictOf(test.valid, options), Verdict::kValid) << test.name;
    EXPECT_EQ(VerdictOf(test.invalid, options), Verdict::kInvalid) << test.name;
  }
}

TEST(Independent, KeysAreSearchedByThemselves) {
  const auto tuple = [](const char* value) {
    return std::string("#jepsen.independent/tuple [1 ") + value + ']';
  };
  const std::string write = Done(0, "write", tuple("5"), tuple("5"));
  EXPECT_EQ(VerdictOf(write + Done(0, "read", "#jepsen.independent/tuple [2 nil]",
                                   "#jepsen.independent/tuple [2 0]")),
            Verdict::kValid);
  EXPECT_EQ(VerdictOf(write + Done(0, "read", tuple("nil"), tuple("0"))), Verdict::kInvalid);
}

TEST(Budget, EndsInUnknown) {
  // Writes of unknown outcome, all different and all read: exponentially many ways to fail.
  std::string text;
  for (int i = 0; i < 24; ++i) text += Event(i, "invoke", "add", std::to_string(1 << i));
  text += Done(100, "read", "nil", "-1");
  CheckOptions options;
  options.read.model = Model::kCounter;
  options.time_limit = std::chrono::milliseconds(50);
  EXPECT_EQ(VerdictOf(text, options), Verdict::kUnknown);
}

TEST(Unanswered, ManyAlikeAreNoTrouble) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += Event(i, "invoke", "write", std::to_string(i % 4));
  for (int i = 0; i < 50; ++i) text += Done(1000, "read", "nil", std::to_string(i % 4));
  const std::string stale = text + Done(1000, "read", "nil", "9");
  EXPECT_EQ(VerdictOf(text), Verdict::kValid);
  EXPECT_EQ(VerdictOf(stale), Verdict::kInvalid);
}

TEST(Violation, AValueFromNowhereNeedsNoSearch) {
  // All concurrent: to try all orders would take for ever.
  std::string text;
  for (int i = 0; i < 60; ++i) text += Event(i, "invoke", "write", std::to_string(i));
  for (int i = 60; i < 120; ++i) text += Event(i, "invoke", "read", "nil");
  for (int i = 0; i < 60; ++i) text += Event(i, "ok", "write", std::to_string(i));
  for (int i = 60; i < 120; ++i) text += Event(i, "ok", "read", std::to_string(i == 100 ? 777 : 5));
  EXPECT_EQ(VerdictOf(text), Verdict::kInvalid);
}

TEST(Violation, IsTheSmallestPart) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += Done(0, "write", std::to_string(i), std::to_string(i));
    text += Done(1, "read", "nil", std::to_string(i));
  }
  text += Done(1, "read", "nil", "7");
  ByteStream stream(text);
  ReadResult result = ReadStream(stream, "file", {});
  const Report report = Check(std::get<History>(result), {});
  ASSERT_EQ(report.violations.size(), 1U);
  // The write of 7, one that replaced it, and the read of 7.
  EXPECT_LE(report.violations[0].operations.size(), 3U);
  EXPECT_NE(report.violations[0].sentence.find("returned 7"), std::string::npos)
      << report.violations[0].sentence;
}

}  // namespace
}  // namespace quorate::check
