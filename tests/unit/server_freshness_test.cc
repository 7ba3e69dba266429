// The algebra of reads and the path that keeps them waiting, by tables.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/freshness.h"
#include "src/read_path.h"

namespace quorate::server {
namespace {

using raft::Duration;
using raft::Freshness;
using raft::Index;
using raft::Time;
using Step = ReadVerdict::Step;

constexpr Time kNow{10'000'000};
constexpr Duration kMillis{1'000};

constexpr Time Ago(std::int64_t millis) {
  return kNow - millis * kMillis;
}

Anchors AnchorsOf(const std::vector<Freshness>& all) {
  Anchors anchors(raft::Control::kNone);
  for (const Freshness& anchor : all) anchors.Note(anchor);
  return anchors;
}

TEST(Age, RoundsUpAndAllowsForASlowClock) {
  EXPECT_EQ(AgeOf(kNow, kNow), Duration(2))
      << "readings of one microsecond may be almost one apart";
  EXPECT_EQ(AgeOf(kNow - Duration(999), kNow), Duration(1'001));
  EXPECT_EQ(AgeOf(kNow - Duration(1'000), kNow), Duration(1'003));
  EXPECT_EQ(AgeOf(Ago(1'000), kNow), Duration(1'001'002));
  EXPECT_EQ(AgeOf(kNow + Duration(500), kNow), Duration(0)) << "it speaks of a later moment";
}

TEST(Age, IndexesSaturate) {
  EXPECT_EQ(Minus(10, 3), 7U);
  EXPECT_EQ(Minus(3, 3), 0U);
  EXPECT_EQ(Minus(3, ~Index{0}), 0U);
}

TEST(AnchorList, KeepsWhatIsInUseAndWhatMayBeSoon) {
  Anchors anchors = AnchorsOf({{5, Ago(90)}, {8, Ago(60)}, {8, Ago(30)}, {20, Ago(1)}});
  EXPECT_EQ(anchors.Proving(4, 0), nullptr);
  EXPECT_EQ(anchors.Proving(5, 0)->at, Ago(90));
  EXPECT_EQ(anchors.Proving(8, 0)->at, Ago(30));
  EXPECT_EQ(anchors.Proving(10, 10)->at, Ago(1)) << "all but ten entries of it";
  EXPECT_EQ(anchors.Proving(9, 10)->at, Ago(30));
  anchors.Trim(8);
  EXPECT_EQ(anchors.oldest()->at, Ago(30));
  EXPECT_EQ(anchors.newest().at, Ago(1));
  anchors.Note({30, Ago(50)});
  EXPECT_EQ(anchors.newest().index, 20U) << "nothing older than what is known";
}

TEST(AnchorList, IsBoundedWhileNothingIsApplied) {
  Anchors anchors(raft::Control::kNone);
  anchors.Note({1, Time(1)});
  for (int i = 2; i < 10'000; ++i) anchors.Note({static_cast<Index>(i), Time(i)});
  EXPECT_EQ(anchors.Proving(1, 0)->at, Time(1)) << "the one in use stays";
  EXPECT_EQ(anchors.newest().at, Time(9'999));
  EXPECT_EQ(anchors.Proving(5'000, 0)->at, Time(1)) << "older than it need be, never younger";
}

// Applied is 10; anchors say 10 at 100 ms ago, and 15 at 20 ms ago, which is not applied.
struct Case {
  const char* what;
  ReadNeed need;
  Step step;
  Refused code = Refused::kNo;
  Index wait_for = 0;
  bool met = true;
  Refused because = Refused::kNo;
  std::optional<Confirmation> confirmed{};
  bool caught_up = true;
  bool waited = false;
};

constexpr Duration kMs50 = 50 * kMillis;
constexpr Duration kMs200 = 200 * kMillis;
constexpr Confirmation kAt15{raft::ReadFailure::kNone, 15, true};
constexpr Confirmation kAt10{raft::ReadFailure::kNone, 10, true};
constexpr Confirmation kFailed{raft::ReadFailure::kNoQuorum, 0, false};

const std::vector<Case> kCases = {
    {"eventual", {}, Step::kServe},
    {"eventual, refuse", {.on_unmet = OnUnmet::kRefuse}, Step::kServe},
    {"eventual after a restart", {}, Step::kWaitForApply, {}, 12, true, {}, {}, false},
    {"eventual after a restart, refuse",
     {.on_unmet = OnUnmet::kRefuse},
     Step::kRefuse,
     Refused::kNotCaughtUp,
     0,
     true,
     {},
     {},
     false},
    {"eventual after a restart, anyway",
     {.on_unmet = OnUnmet::kServeAnyway},
     Step::kServe,
     {},
     0,
     false,
     {},
     {},
     false},
    {"strong", {.max_age = Duration(0)}, Step::kConfirm},
    {"strong, refuse: confirmed all the same",
     {.max_age = Duration(0), .on_unmet = OnUnmet::kRefuse},
     Step::kConfirm},
    {"strong, confirmed beyond what is applied",
     {.max_age = Duration(0)},
     Step::kWaitForApply,
     {},
     15,
     true,
     {},
     kAt15},
    {"strong, confirmed", {.max_age = Duration(0)}, Step::kServe, {}, 0, true, {}, kAt10},
    {"strong, no quorum",
     {.max_age = Duration(0)},
     Step::kRefuse,
     Refused::kNoQuorum,
     0,
     true,
     {},
     kFailed},
    {"strong, no quorum, anyway",
     {.max_age = Duration(0), .on_unmet = OnUnmet::kServeAnyway},
     Step::kServe,
     {},
     0,
     false,
     {},
     kFailed},
    {"bounded, met", {.max_age = kMs200}, Step::kServe},
    {"bounded, a young anchor to be applied", {.max_age = kMs50}, Step::kWaitForApply, {}, 15},
    {"bounded, has waited once",
     {.max_age = kMs50},
     Step::kConfirm,
     {},
     0,
     true,
     {},
     {},
     true,
     true},
    {"bounded, no anchor is young enough", {.max_age = Duration(100)}, Step::kConfirm},
    {"bounded, refuse",
     {.max_age = kMs50, .on_unmet = OnUnmet::kRefuse},
     Step::kRefuse,
     Refused::kStale},
    {"bounded, anyway",
     {.max_age = kMs50, .on_unmet = OnUnmet::kServeAnyway},
     Step::kServe,
     {},
     0,
     false},
    {"bounded, a lag that will do", {.max_age = kMs50, .max_lag = 5}, Step::kServe},
    {"bounded, a lag that will not", {.max_age = kMs50, .max_lag = 3}, Step::kWaitForApply, {}, 12},
    {"bounded, confirmed, with a lag",
     {.max_age = Duration(100), .max_lag = 5},
     Step::kServe,
     {},
     0,
     true,
     {},
     kAt15},
    {"bounded, no quorum",
     {.max_age = kMs50},
     Step::kRefuse,
     Refused::kStale,
     0,
     true,
     Refused::kNoQuorum,
     kFailed},
    {"bounded, no quorum, yet met", {.max_age = kMs200}, Step::kServe, {}, 0, true, {}, kFailed},
    {"session, met", {.min_index = 10}, Step::kServe},
    {"session, committed and not applied", {.min_index = 12}, Step::kWaitForApply, {}, 12},
    {"session, beyond what is known here", {.min_index = 13}, Step::kConfirm},
    {"session, refuse",
     {.min_index = 12, .on_unmet = OnUnmet::kRefuse},
     Step::kRefuse,
     Refused::kNotCaughtUp},
    {"session, of the future",
     {.min_index = 16},
     Step::kRefuse,
     Refused::kFutureToken,
     0,
     true,
     {},
     kAt15},
    {"session, of the future, anyway",
     {.min_index = 16, .on_unmet = OnUnmet::kServeAnyway},
     Step::kServe,
     {},
     0,
     false},
    {"session, no quorum",
     {.min_index = 16},
     Step::kRefuse,
     Refused::kNotCaughtUp,
     0,
     true,
     Refused::kNoQuorum,
     kFailed},
    {"bounded and session: both",
     {.max_age = kMs200, .min_index = 11},
     Step::kWaitForApply,
     {},
     11},
    {"bounded and session: the bound",
     {.max_age = kMs50, .min_index = 5},
     Step::kWaitForApply,
     {},
     15},
    {"strong and session, of the future",
     {.max_age = Duration(0), .min_index = 16},
     Step::kRefuse,
     Refused::kFutureToken,
     0,
     true,
     {},
     kAt15},
};

TEST(JudgeRead, Table) {
  const Anchors anchors = AnchorsOf({{10, Ago(100)}, {15, Ago(20)}});
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.what);
    const Knowledge known{.anchors = anchors,
                          .applied = 10,
                          .commit = 12,
                          .caught_up = c.caught_up,
                          .own_past = 12,
                          .clock_jumped = false,
                          .diverged = std::nullopt};
    const Confirmation* confirmed = c.confirmed ? &*c.confirmed : nullptr;
    const ReadVerdict verdict = JudgeRead(c.need, known, confirmed, c.waited, kNow);
    EXPECT_EQ(static_cast<int>(verdict.step), static_cast<int>(c.step));
    EXPECT_EQ(verdict.wait_for, c.wait_for);
    EXPECT_EQ(verdict.met, c.met);
    EXPECT_EQ(static_cast<int>(verdict.refusal.code), static_cast<int>(c.code));
    EXPECT_EQ(static_cast<int>(verdict.refusal.because), static_cast<int>(c.because));
    // What is served as met has a proof that says so.
    if (verdict.step != Step::kServe || !verdict.met || !c.need.max_age) continue;
    const Proof proof = Prove(c.need, anchors, confirmed, nullptr, 10, kNow);
    EXPECT_NE(static_cast<int>(proof.basis), static_cast<int>(Proof::Basis::kNone));
    EXPECT_LE(proof.age, *c.need.max_age);
    EXPECT_LE(proof.lag, c.need.max_lag);
  }
}

TEST(JudgeRead, RefusalsCarryTheirNumbers) {
  const Anchors anchors = AnchorsOf({{10, Ago(100)}, {15, Ago(20)}});
  Knowledge known{.anchors = anchors,
                  .applied = 10,
                  .commit = 12,
                  .caught_up = true,
                  .own_past = 12,
                  .clock_jumped = false,
                  .diverged = std::nullopt};
  const auto refusal = [&](const ReadNeed& need, const Confirmation* confirmed = nullptr) {
    return JudgeRead(need, known, confirmed, false, kNow).refusal;
  };
  const Refusal stale = refusal({.max_age = kMs50, .on_unmet = OnUnmet::kRefuse});
  EXPECT_EQ(stale.age, AgeOf(Ago(100), kNow)) << "the best that can be proved";
  EXPECT_EQ(stale.have, 10U);
  EXPECT_EQ(stale.want, 15U) << "which would be young enough";
  EXPECT_EQ(refusal({.max_age = Duration(5), .on_unmet = OnUnmet::kRefuse}).want, 0U);

  const Refusal behind = refusal({.min_index = 30, .on_unmet = OnUnmet::kRefuse});
  EXPECT_EQ(behind.have, 10U);
  EXPECT_EQ(behind.want, 30U);
  const Refusal future = refusal({.min_index = 30}, &kAt15);
  EXPECT_EQ(future.have, 15U);
  EXPECT_EQ(future.want, 30U);

  known.diverged = Knowledge::Divergence{3, 4};
  const Refusal diverged = refusal({.on_unmet = OnUnmet::kServeAnyway});
  EXPECT_EQ(static_cast<int>(diverged.code), static_cast<int>(Refused::kDiverged));
  EXPECT_EQ(diverged.have, 3U);
  EXPECT_EQ(diverged.want, 4U);
}

TEST(Prove, ConfirmationsProveOnlyWhatHoldsThem) {
  const Anchors anchors = AnchorsOf({{10, Ago(100)}});
  const ReadNeed session{.min_index = 10};
  EXPECT_EQ(Prove(session, anchors, &kAt10, nullptr, 10, kNow).age, Duration(0));
  const Proof behind = Prove(session, anchors, &kAt15, nullptr, 10, kNow);
  EXPECT_EQ(static_cast<int>(behind.basis), static_cast<int>(Proof::Basis::kAnchor));
  EXPECT_EQ(behind.age, AgeOf(Ago(100), kNow));
  const Freshness held{12, Ago(5)};
  EXPECT_EQ(Prove({}, anchors, nullptr, &held, 12, kNow).age, AgeOf(Ago(5), kNow))
      << "an anchor that was trimmed since";
  EXPECT_EQ(Prove({}, anchors, nullptr, &held, 11, kNow).age, AgeOf(Ago(100), kNow))
      << "not for a state that lacks it";
  EXPECT_EQ(static_cast<int>(Prove({}, anchors, nullptr, nullptr, 9, kNow).basis),
            static_cast<int>(Proof::Basis::kNone));
}

TEST(AgeWindow, ForgetsAfterTenSeconds) {
  AgeWindow window;
  window.Note(Time(1'000'000), Duration(70'000));
  window.Note(Time(1'500'000), Duration(90'000));
  window.Note(Time(5'000'000), Duration(60'000));
  EXPECT_EQ(window.Largest(Time(10'900'000)), Duration(90'000));
  EXPECT_EQ(window.Largest(Time(11'000'000)), Duration(60'000));
  EXPECT_EQ(window.Largest(Time(30'000'000)), Duration(0));
}

// A sole voter, which confirms its own rounds.
class SoleVoter : public testing::Test {
 protected:
  SoleVoter()
      : core_({}, {.id = 1, .uuid = {}, .boot_id = 7}, Alone(), now_, 1),
        path_(core_, 0, [this](const Read& read) { granted_.push_back(read); }) {
    Settle();
  }

  static raft::InitialState Alone() {
    raft::InitialState state;
    state.base_configuration =
        raft::Configuration::Bootstrap({{.id = 1, .uuid = {}, .address = {}}});
    state.base_configuration.incarnation = 9;
    return state;
  }

  void Settle() {
    path_.NoteClock(now_);
    core_.Tick(now_);
    path_.RequestConfirmation(now_);
    for (int i = 0; i < 10; ++i) {
      const raft::Ready ready = core_.TakeReady(now_);
      if (ready.append) core_.OnDurable(now_, ready.append->token);
      if (apply_ && ready.apply_to > core_.applied()) core_.OnApplied(ready.apply_to);
      for (const raft::ReadResult& read : ready.reads)
        path_.OnConfirmed(read, core_.applied(), now_);
    }
    path_.NoteFreshness(core_.applied(), now_);
    path_.OnApplied(core_.applied(), now_);
  }
  void Elapse(Duration by) {
    now_ += by;
    Settle();
  }
  Read Ask(const ReadNeed& need, Time deadline = Time::max()) {
    Read read;
    read.ticket = ++tickets_;
    read.need = need;
    read.deadline = deadline;
    if (!path_.Decide(read, core_.applied(), now_)) path_.Wait(read, now_);
    return read;
  }

  Time now_ = kNow;
  bool apply_ = true;
  raft::Raft core_;
  std::vector<Read> granted_;
  std::uint64_t tickets_ = 0;
  ReadPath path_;
};

TEST_F(SoleVoter, GrantsOnceConfirmed) {
  Ask({.max_age = Duration(0)});
  EXPECT_TRUE(granted_.empty());
  Elapse(kMillis);
  ASSERT_EQ(granted_.size(), 1U);
  EXPECT_EQ(static_cast<int>(granted_[0].decision), static_cast<int>(Decision::kConfirmed));
  EXPECT_EQ(granted_[0].waited_confirm, kMillis);
  const Proof proof = path_.ProofOf(granted_[0], core_.applied(), now_);
  EXPECT_EQ(static_cast<int>(proof.basis), static_cast<int>(Proof::Basis::kReadIndex));
}

TEST_F(SoleVoter, RefusesWhatIsLate) {
  apply_ = false;
  const Bytes command = Bytes::Copy("x");
  core_.Propose(now_, std::span(&command, 1));
  Settle();
  Ask({.min_index = core_.commit()}, now_ + 20 * kMillis);
  EXPECT_LE(path_.NextDeadline(), now_ + 20 * kMillis);
  now_ += 20 * kMillis;
  path_.Expire(core_.applied(), now_);
  ASSERT_EQ(granted_.size(), 1U);
  EXPECT_EQ(static_cast<int>(granted_[0].refusal.code), static_cast<int>(Refused::kDeadline));
  EXPECT_EQ(granted_[0].refusal.want, core_.commit());
  EXPECT_EQ(granted_[0].waited_apply, 20 * kMillis);
  EXPECT_EQ(path_.NextDeadline(), Time::max());
}

TEST_F(SoleVoter, AClockThatGoesBackProvesNothing) {
  Elapse(40 * kMillis);
  const ReadNeed bounded{.max_age = kMs200, .on_unmet = OnUnmet::kRefuse};
  const Read held = Ask(bounded);
  ASSERT_FALSE(held.refused());
  now_ -= 30 * kMillis;
  const Read refused = Ask(bounded);
  ASSERT_TRUE(refused.refused());
  EXPECT_EQ(static_cast<int>(refused.refusal.code), static_cast<int>(Refused::kClockJump));
  EXPECT_FALSE(path_.AgeAt(core_.applied(), now_).has_value());
  EXPECT_FALSE(Ask({}).refused()) << "an eventual read needs no clock";
  Elapse(80 * kMillis);
  EXPECT_FALSE(Ask(bounded).refused()) << "an anchor of the clock as it is now";
  const Proof proof = path_.ProofOf(held, core_.applied(), now_);
  EXPECT_EQ(static_cast<int>(proof.basis), static_cast<int>(Proof::Basis::kNone))
      << "what was read before the jump says nothing";
}

TEST_F(SoleVoter, JudgesAgainWhatTheDiskKeptTooLong) {
  Elapse(40 * kMillis);
  Read read = Ask({.max_age = kMs50, .on_unmet = OnUnmet::kRefuse});
  ASSERT_FALSE(read.refused());
  Read quick = read;
  EXPECT_TRUE(path_.DecideAgain(quick, core_.applied(), now_ + kMillis));
  EXPECT_FALSE(quick.refused());
  EXPECT_TRUE(path_.DecideAgain(read, core_.applied(), now_ + kMs50));
  ASSERT_TRUE(read.refused());
  EXPECT_EQ(static_cast<int>(read.refusal.code), static_cast<int>(Refused::kStale));
  Read waits = Ask({.max_age = kMs50});
  EXPECT_FALSE(path_.DecideAgain(waits, core_.applied(), now_ + kMs50)) << "the leader is asked";
}

TEST_F(SoleVoter, TokensOfOtherHistoriesAreKnown) {
  const raft::Term term = *core_.log().TermAt(core_.commit());
  const Index last = core_.commit();
  EXPECT_FALSE(Ask({.min_index = last, .min_term = term, .incarnation = 9}).refused());
  const Read other_term = Ask({.min_index = last, .min_term = term + 1});
  EXPECT_EQ(static_cast<int>(other_term.refusal.code), static_cast<int>(Refused::kDiverged));
  EXPECT_EQ(other_term.refusal.have, term);
  const Read other_life = Ask({.min_index = 1, .incarnation = 10});
  EXPECT_EQ(static_cast<int>(other_life.refusal.code), static_cast<int>(Refused::kDiverged));
  EXPECT_EQ(other_life.refusal.have, 9U);
  Ask({.min_index = last + 100, .min_term = term + 1});
  Elapse(kMillis);
  ASSERT_FALSE(granted_.empty());
  EXPECT_EQ(static_cast<int>(granted_.back().refusal.code),
            static_cast<int>(Refused::kFutureToken));
}

}  // namespace
}  // namespace quorate::server
