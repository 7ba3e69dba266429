#include "src/freshness.h"

#include <algorithm>
#include <cstdlib>

namespace quorate::server {
namespace {

using Step = ReadVerdict::Step;

// While nothing is applied they pile up; older ones are dropped, which only makes the stated age
// larger.
constexpr std::size_t kMaxAnchors = 256;
// The local clock's rate error, in parts per thousand (D3: rho = 1e-3).
constexpr std::int64_t kClockErrorPerMille = 1;

ReadVerdict Serve(bool met) {
  return {.step = Step::kServe, .met = met};
}

ReadVerdict WaitFor(raft::Index index) {
  return {.step = Step::kWaitForApply, .wait_for = index};
}

// What must be applied so that the node is not behind its own past, given that everything committed
// by the start is <= `bound`.
raft::Index Covering(const Knowledge& known, raft::Index bound) {
  return known.own_past ? std::min(*known.own_past, bound) : bound;
}

// The newest anchor, if a state that holds what it says would be young enough.
const raft::Freshness* YoungAnchor(const ReadNeed& need, const Knowledge& known, raft::Time now) {
  if (known.anchors.empty()) return nullptr;
  const raft::Freshness& newest = known.anchors.newest();
  return AgeOf(newest.at, now) <= *need.max_age ? &newest : nullptr;
}

bool YoungEnough(const ReadNeed& need, const Knowledge& known, raft::Time now) {
  if (!need.max_age) return true;
  const raft::Freshness* proof = known.anchors.Proving(known.applied, need.max_lag);
  return proof != nullptr && AgeOf(proof->at, now) <= *need.max_age;
}

Refusal WhyStale(const ReadNeed& need, const Knowledge& known, raft::Time now) {
  Refusal refusal{.code = Refused::kStale, .have = known.applied};
  if (known.clock_jumped) {
    refusal.code = Refused::kClockJump;
    return refusal;
  }
  if (const auto* best = known.anchors.Proving(known.applied, need.max_lag)) {
    refusal.age = AgeOf(best->at, now);
  }
  if (const auto* young = YoungAnchor(need, known, now)) {
    refusal.want = std::max(Minus(young->index, need.max_lag), need.min_index);
  }
  return refusal;
}

Refusal WhyBehind(const ReadNeed& need, const Knowledge& known) {
  Refusal refusal{.code = Refused::kNotCaughtUp, .have = known.applied, .want = need.min_index};
  if (known.caught_up) return refusal;
  const raft::Index bound = known.anchors.empty() ? ~raft::Index{0} : known.anchors.newest().index;
  const raft::Index covering = Covering(known, bound);
  if (covering != ~raft::Index{0}) refusal.want = std::max(refusal.want, covering);
  return refusal;
}

// What to wait for where this node itself knows that applying it will do; nothing: only the leader
// can say.
std::optional<raft::Index> OwnTarget(const ReadNeed& need, const Knowledge& known, bool young,
                                     raft::Time now) {
  raft::Index target = need.min_index;
  if (need.min_index > known.applied && need.min_index > known.commit) return std::nullopt;
  if (!known.caught_up) {
    if (known.anchors.empty()) return std::nullopt;
    target = std::max(target, Covering(known, known.anchors.newest().index));
  }
  if (!young) {
    const raft::Freshness* anchor = YoungAnchor(need, known, now);
    if (anchor == nullptr) return std::nullopt;
    target = std::max(target, Minus(anchor->index, need.max_lag));
  }
  return target > known.applied ? std::optional(target) : std::nullopt;
}

// A quorum has said what was committed when the read was taken up.
ReadVerdict JudgeConfirmed(const ReadNeed& need, const Knowledge& known, raft::Index confirmed) {
  const bool future = need.min_index > confirmed;
  if (future && need.on_unmet != OnUnmet::kServeAnyway) {
    return {.step = Step::kRefuse,
            .refusal = {.code = Refused::kFutureToken, .have = confirmed, .want = need.min_index}};
  }
  raft::Index target = future ? 0 : need.min_index;
  if (need.max_age) target = std::max(target, Minus(confirmed, need.max_lag));
  if (!known.caught_up) target = std::max(target, Covering(known, confirmed));
  return known.applied >= target ? Serve(!future) : WaitFor(target);
}

}  // namespace

void Anchors::Note(const raft::Freshness& fresh) {
  if (anchors_.empty() || fresh.at > anchors_.back().at) anchors_.push_back(fresh);
  // The front stays, which is in use, and the newest ones.
  if (anchors_.size() > kMaxAnchors) anchors_.erase(anchors_.begin() + 1);
}

void Anchors::Trim(raft::Index applied) {
  while (anchors_.size() > 1 && anchors_[1].index <= applied) anchors_.pop_front();
}

const raft::Freshness* Anchors::Proving(raft::Index index, raft::Index max_lag) const {
  const bool broken = raft::Broken(control_, raft::Control::kAnchorUnapplied);
  for (auto anchor = anchors_.rbegin(); anchor != anchors_.rend(); ++anchor) {
    if (broken || Minus(anchor->index, max_lag) <= index) return &*anchor;
  }
  return nullptr;
}

// Two readings of a clock that shows whole microseconds lie up to one further apart than they show.
raft::Duration AgeOf(raft::Time at, raft::Time now) {
  const std::int64_t elapsed = (now - at).count() + 1;
  if (elapsed <= 0) return raft::Duration(0);
  const std::int64_t error = (elapsed * kClockErrorPerMille + 999) / 1000;
  return raft::Duration(elapsed + error);
}

Refused ToRefused(raft::ReadFailure failure) {
  switch (failure) {
    case raft::ReadFailure::kNone:
      return Refused::kNo;
    case raft::ReadFailure::kNoLeader:
      return Refused::kNoLeader;
    case raft::ReadFailure::kLeaderChanged:
      return Refused::kLeaderChanged;
    case raft::ReadFailure::kNoQuorum:
      return Refused::kNoQuorum;
    case raft::ReadFailure::kOverloaded:
      return Refused::kOverloaded;
  }
  std::abort();
}

ReadVerdict JudgeRead(const ReadNeed& need, const Knowledge& known, const Confirmation* confirmed,
                      bool waited, raft::Time now) {
  if (known.diverged) {
    return {.step = Step::kRefuse,
            .refusal = {.code = Refused::kDiverged,
                        .have = known.diverged->have,
                        .want = known.diverged->want}};
  }
  const bool failed = confirmed != nullptr && confirmed->failure != raft::ReadFailure::kNone;
  if (confirmed != nullptr && !failed) return JudgeConfirmed(need, known, confirmed->index);
  const bool anyway = need.on_unmet == OnUnmet::kServeAnyway;
  if (need.strong()) {
    if (!failed) return {.step = Step::kConfirm};
    if (anyway) return Serve(false);
    return {.step = Step::kRefuse, .refusal = {.code = ToRefused(confirmed->failure)}};
  }
  const bool young = YoungEnough(need, known, now);
  if (young && known.caught_up && known.applied >= need.min_index) return Serve(true);
  if (anyway) return Serve(false);
  if (need.on_unmet == OnUnmet::kWait && !failed) {
    const auto target = OwnTarget(need, known, young, now);
    return target && !waited ? WaitFor(*target) : ReadVerdict{.step = Step::kConfirm};
  }
  ReadVerdict verdict{.step = Step::kRefuse,
                      .refusal = young ? WhyBehind(need, known) : WhyStale(need, known, now)};
  if (failed) verdict.refusal.because = ToRefused(confirmed->failure);
  return verdict;
}

Proof Prove(const ReadNeed& need, const Anchors& anchors, const Confirmation* confirmed,
            const raft::Freshness* held, raft::Index index, raft::Time now) {
  if (confirmed != nullptr && confirmed->failure == raft::ReadFailure::kNone) {
    const raft::Index lag = Minus(confirmed->index, index);
    if (lag == 0 || (need.max_age && lag <= need.max_lag)) {
      return {.basis = Proof::Basis::kReadIndex,
              .age = raft::Duration(0),
              .lag = lag,
              .fresh_index = confirmed->index,
              .via_leader = confirmed->via_leader};
    }
  }
  const raft::Freshness* best = anchors.Proving(index, need.max_lag);
  if (held != nullptr && Minus(held->index, need.max_lag) <= index &&
      (best == nullptr || held->at > best->at)) {
    best = held;
  }
  if (best == nullptr) return {};
  return {.basis = Proof::Basis::kAnchor,
          .age = AgeOf(best->at, now),
          .lag = Minus(best->index, index),
          .fresh_index = best->index};
}

}  // namespace quorate::server
