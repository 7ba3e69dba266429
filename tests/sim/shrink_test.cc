#include "tests/sim/shrink.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/controls.h"
#include "tests/sim/world.h"

namespace quorate::sim {
namespace {

std::size_t FaultKinds(const Plan& plan) {
  return static_cast<std::size_t>(std::count_if(plan.faults.weights.begin(),
                                                plan.faults.weights.end(),
                                                [](std::uint32_t weight) { return weight > 0; }));
}

std::optional<std::string> Broken(const Plan& plan) {
  const Outcome outcome = World(plan, nullptr).Run();
  return outcome.violation ? std::optional(outcome.violation->invariant) : std::nullopt;
}

TEST(Shrink, FindsASimplerPlanThatFailsInTheSameWay) {
  const ControlCase& control = *FindControl("lying-disk");
  std::uint64_t seed = 1;
  while (!Broken(MakePlan(seed, control))) ++seed;
  const Plan plan = MakePlan(seed, control);
  const auto invariant = Broken(plan);
  const auto fails = [&](const Plan& simpler) { return Broken(simpler) == invariant; };
  const Shrunk shrunk = Shrink(plan, fails, 200);

  Plan replayed = MakePlan(seed, control);
  EXPECT_EQ(ApplySettings(replayed, Join(shrunk.settings)), std::nullopt);
  EXPECT_EQ(Broken(replayed), invariant) << "the printed line must replay the failure";
  EXPECT_LT(replayed.duration, plan.duration);
  EXPECT_LT(FaultKinds(replayed), FaultKinds(plan));
  EXPECT_LE(shrunk.runs, 200U);
}

TEST(Shrink, LeavesOutAllThatDoesNotMatter) {
  const Plan plan = MakePlan(3, Profile::kGeneral);
  const Shrunk shrunk = Shrink(
      plan, [](const Plan&) { return true; }, 1'000);
  Plan least = plan;
  ASSERT_EQ(ApplySettings(least, Join(shrunk.settings)), std::nullopt);
  EXPECT_EQ(FaultKinds(least), 0U);
  EXPECT_EQ(least.nodes, 1);
  EXPECT_EQ(least.duration, Millis(100));
  EXPECT_EQ(least.network.loss, 0);
}

TEST(Shrink, KeepsWhatMatters) {
  const Plan plan = MakePlan(3, Profile::kLeaderChanges);
  const auto fails = [](const Plan& simpler) {
    return simpler.faults.weights[static_cast<std::size_t>(Fault::kPause)] > 0 &&
           simpler.duration >= Seconds(2);
  };
  const Shrunk shrunk = Shrink(plan, fails, 1'000);
  Plan least = plan;
  ASSERT_EQ(ApplySettings(least, Join(shrunk.settings)), std::nullopt);
  EXPECT_EQ(FaultKinds(least), 1U);
  EXPECT_TRUE(fails(least));
}

TEST(Settings, SayWhichOneIsWrong) {
  Plan plan = MakePlan(1, Profile::kGeneral);
  EXPECT_EQ(ApplySettings(plan, "no-pause,nodes=3"), std::nullopt);
  EXPECT_EQ(plan.nodes, 3);
  for (const char* wrong : {"no-such", "nodes", "nodes=0", "nodes=x", "nodes=3x", "legs=2"}) {
    EXPECT_EQ(ApplySettings(plan, std::string("no-pause,") + wrong), wrong);
  }
}

}  // namespace
}  // namespace quorate::sim
