// The mutation gate: the checkers accept what a simulated cluster did, and reject it as soon as one
// change breaks a promise. Whether it does, an independent judge decides.
#include <gtest/gtest.h>

#include "jepsen/check/check.h"
#include "tests/unit/check_world.h"

namespace quorate::check {
namespace {

std::string Found(const Report& report) {
  std::string text;
  for (const Violation& violation : report.violations) {
    text += "\n  " + violation.checker + ": " + violation.sentence;
  }
  return text;
}

// The simulated cluster fails writes for no reason.
CheckOptions Options() {
  CheckOptions options;
  options.healthy_error_rate = 1;
  return options;
}

class Gate : public testing::TestWithParam<Model> {};

TEST_P(Gate, AcceptsWhatAClusterDid) {
  std::mt19937_64 random(1);
  WorldOptions options;
  options.model = GetParam();
  options.operations = 400;
  options.clients = 6;
  options.keys = 5;
  for (int i = 0; i < 50; ++i) {
    History history = SimulatedHistory(options, random);
    const Report report = Check(history, Options());
    ASSERT_EQ(report.verdict(), Verdict::kValid) << "history " << i << Found(report);
  }
}

TEST_P(Gate, RejectsWhatBreaksAPromiseAndNothingElse) {
  std::mt19937_64 random(2);
  WorldOptions options;
  options.model = GetParam();
  int broken = 0;
  int harmless = 0;
  while (broken < 1500) {
    options.operations = 6 + static_cast<int>(random() % 9);
    options.keys = 1 + static_cast<int>(random() % 2);
    History history = SimulatedHistory(options, random);
    ASSERT_TRUE(JudgedValid(history)) << "the judge rejects what the cluster did";
    const std::string change = Mutate(history, random);
    if (change.empty()) continue;
    const bool valid = JudgedValid(history);
    ++(valid ? harmless : broken);
    const Report report = Check(history, Options());
    ASSERT_EQ(report.verdict(), valid ? Verdict::kValid : Verdict::kInvalid)
        << change << Found(report) << '\n'
        << ToJsonLines(history);
    if (!valid) {
      ASSERT_FALSE(report.violations.empty());
      EXPECT_FALSE(report.violations[0].sentence.empty());
      EXPECT_LE(report.violations[0].operations.size(), 4U);
    }
  }
  EXPECT_GT(harmless, 50) << "mutations that break nothing must be accepted, and some must occur";
  RecordProperty("broken", broken);
  RecordProperty("harmless", harmless);
}

// A gate that a blind checker passes would be none.
TEST_P(Gate, WouldNoticeABlindChecker) {
  std::mt19937_64 random(3);
  WorldOptions options;
  options.model = GetParam();
  int missed = 0;
  for (int i = 0; i < 200; ++i) {
    History history = SimulatedHistory(options, random);
    if (Mutate(history, random).empty() || JudgedValid(history)) continue;
    for (Operation& op : history.operations) op.certificate.age_us = kAbsent;  // blind to claims
    if (Check(history, Options()).verdict() == Verdict::kValid) ++missed;
  }
  EXPECT_GT(missed, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, Gate,
                         testing::Values(Model::kRegister, Model::kAppend, Model::kCounter),
                         [](const auto& model) { return std::string(Name(model.param)); });

}  // namespace
}  // namespace quorate::check
