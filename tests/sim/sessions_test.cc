// Sessions in the simulator: whether its runs get to what their audit is about.
#include <gtest/gtest.h>

#include "tests/sim/world.h"

namespace quorate::sim {
namespace {

TEST(SimulatedSessions, RetriesAndExpiriesHappen) {
  std::uint64_t answers = 0, repeated = 0, expired = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Plan plan = MakePlan(seed, Profile::kGeneral);
    plan.clients.sessions = 2;
    const Outcome outcome = World(plan, nullptr).Run();
    ASSERT_FALSE(outcome.violation)
        << seed << ": " << outcome.violation->invariant << ": " << outcome.violation->detail;
    answers += outcome.session_answers;
    repeated += outcome.repeated_answers;
    expired += outcome.expired_sessions;
  }
  RecordProperty("answers", std::to_string(answers));
  RecordProperty("repeated", std::to_string(repeated));
  RecordProperty("expired", std::to_string(expired));
  EXPECT_GT(answers, 1'500U);
  EXPECT_GT(repeated, 200U);
  EXPECT_GT(expired, 30U);
}

}  // namespace
}  // namespace quorate::sim
