#include "tests/sim/freshness_audit.h"

#include <algorithm>
#include <string>

namespace quorate::sim {
namespace {

using server::Minus;
using server::OnUnmet;
using server::Refused;

// Node clocks and the world's round to microseconds, each on its own.
constexpr SimTime kRounding{3};
// An anchor counts once the loop has had its next pass.
constexpr SimTime kTakeUp{1'000};

// rho (D3) is what a clock may be slow by: (1 + rho)(1 - rho) falls short of 1 by a millionth.
SimTime Slack(SimTime span) {
  return kRounding + SimTime{span.count() / 1'000'000};
}

std::string Text(std::uint64_t value) {
  return std::to_string(value);
}

std::string Text(SimTime time) {
  return std::to_string(time.count()) + " us";
}

std::string Who(const AskedRead& asked) {
  return "node " + Text(asked.node) + " (asked at " + Text(asked.at) + ") ";
}

}  // namespace

// What `elapsed` of true time comes to at most, measured by a fast clock and with the allowance for
// a slow one on top.
SimTime FreshnessAudit::LargestAge(SimTime elapsed) const {
  const std::int64_t shown = elapsed.count() + elapsed.count() * drift_ppm_max_ / 1'000'000;
  return SimTime{shown + shown / 1'000} + kRounding * 3;
}

void FreshnessAudit::OnAnchor(SimTime now, raft::NodeId node, SimTime at, raft::Index index) {
  constexpr std::size_t kMost = 512;
  std::vector<Held>& held = held_[node];
  if (held.size() == kMost) held.erase(held.begin(), held.begin() + kMost / 2);
  held.push_back({now, at, index});
}

// The claim stands for itself, whatever was asked for.
void FreshnessAudit::CheckClaim(const AskedRead& asked, const server::Proof& proof,
                                raft::Index index, SimTime read_at) const {
  if (proof.basis == server::Proof::Basis::kNone) return;
  // An anchor's age counts from the reading of the clock, which is the stricter; a confirmation
  // speaks of the moment of the request.
  const bool anchor = proof.basis == server::Proof::Basis::kAnchor;
  const SimTime by = (anchor ? read_at : asked.at) - proof.age - Slack(proof.age);
  const raft::Index committed = invariants_.CommittedBy(by);
  if (committed > index + proof.lag) {
    Violate("claimed-age-is-true", Who(asked) + "claims that its state at " + Text(index) +
                                       " lacks at most " + Text(proof.lag) + " entries committed " +
                                       Text(proof.age) + " before, but " + Text(committed) +
                                       " was");
  }
}

void FreshnessAudit::CheckPromise(const AskedRead& asked, const server::ReadNeed& need,
                                  raft::Index index) const {
  if (need.strong() && index < asked.committed) {
    Violate("strong-read-is-fresh", Who(asked) + "serves a strong read at " + Text(index) +
                                        " but " + Text(asked.committed) +
                                        " was committed when it was asked");
  }
  if (need.max_age) {
    const raft::Index committed =
        invariants_.CommittedBy(asked.at - *need.max_age - Slack(*need.max_age));
    if (committed > index && committed - index > need.max_lag) {
      Violate("bound-is-kept", Who(asked) + "serves " + Text(index) + " for a bound of " +
                                   Text(*need.max_age) + " and a lag of " + Text(need.max_lag) +
                                   ", but " + Text(committed) + " was committed by then");
    }
  }
  if (index < need.min_index) {
    Violate("session-is-kept", Who(asked) + "serves " + Text(index) +
                                   " to a session that has seen " + Text(need.min_index));
  }
}

void FreshnessAudit::OnServed(const AskedRead& asked, const server::Read& read,
                              const server::Proof& proof, raft::Position position,
                              SimTime read_at) {
  ++served_;
  if (position.index > invariants_.committed() ||
      (position.index > 0 && invariants_.EntryAt(position.index).term != position.term)) {
    Violate("certificate-names-the-entry", Who(asked) + "says that its state is at " +
                                               Text(position.index) + " of term " +
                                               Text(position.term));
  }
  CheckClaim(asked, proof, position.index, read_at);
  if (read.decision != server::Decision::kServedUnmet) {
    CheckPromise(asked, read.need, position.index);
    const bool proven =
        !read.need.max_age || (proof.basis != server::Proof::Basis::kNone &&
                               proof.age <= *read.need.max_age && proof.lag <= read.need.max_lag);
    if (!proven) {
      Violate("certificate-meets-the-need",
              Who(asked) + "serves a bound of " + Text(*read.need.max_age) +
                  " with a certificate of " + Text(proof.age) + ", lag " + Text(proof.lag));
    }
  } else if (read.need.on_unmet != OnUnmet::kServeAnyway) {
    Violate("unmet-only-if-asked", Who(asked) + "serves what was not met, unasked");
  }
}

bool FreshnessAudit::HeldFor(SimTime now, const Held& held) const {
  return now - held.since >= kTakeUp;
}

void FreshnessAudit::CheckStale(SimTime now, const AskedRead& asked, const server::Read& read,
                                raft::Index applied) const {
  const server::ReadNeed& need = read.need;
  for (const Held& held : held_[asked.node]) {
    if (!HeldFor(now, held) || Minus(held.index, need.max_lag) > applied) continue;
    if (LargestAge(now - held.at) > *need.max_age) continue;
    Violate("refusal-is-justified", Who(asked) + "refuses a bound of " + Text(*need.max_age) +
                                        " at " + Text(applied) +
                                        " as stale, but holds an anchor at " + Text(held.index) +
                                        " that is " + Text(now - held.at) + " old");
  }
}

void FreshnessAudit::CheckBehind(SimTime now, const AskedRead& asked, const server::Read& read,
                                 raft::Index applied) const {
  if (applied < read.need.min_index) return;
  const std::vector<Held>& held = held_[asked.node];
  const bool caught_up = std::any_of(held.begin(), held.end(), [&](const Held& anchor) {
    return HeldFor(now, anchor) && anchor.index <= applied;
  });
  if (caught_up || read.refusal.have != applied ||
      (read.refusal.want <= applied && read.refusal.want > 0)) {
    Violate("refusal-is-justified", Who(asked) + "says that it has not caught up at " +
                                        Text(applied) + ", wanting " + Text(read.refusal.want));
  }
}

void FreshnessAudit::OnRefused(SimTime now, const AskedRead& asked, const server::Read& read,
                               raft::Index applied, bool late) {
  ++refused_;
  const server::ReadNeed& need = read.need;
  const server::Refusal& refusal = read.refusal;
  const auto unjustified = [&](const char* why) {
    Violate("refusal-is-justified", Who(asked) + why);
  };
  if (need.on_unmet == OnUnmet::kServeAnyway && refusal.code != Refused::kDiverged &&
      refusal.code != Refused::kDeadline) {
    unjustified("refuses what it was asked to serve anyway");
  }
  const bool asked_leader = need.strong() || need.on_unmet == OnUnmet::kWait;
  switch (refusal.code) {
    case Refused::kStale:
      if (need.on_unmet == OnUnmet::kWait && refusal.because == Refused::kNo) {
        unjustified("refuses as stale without having asked the leader");
      }
      return CheckStale(now, asked, read, applied);
    case Refused::kNotCaughtUp:
      if (need.on_unmet == OnUnmet::kWait && refusal.because == Refused::kNo) {
        unjustified("refuses as behind without having asked the leader");
      }
      return CheckBehind(now, asked, read, applied);
    case Refused::kFutureToken:
      if (need.min_index <= asked.committed || !asked_leader) {
        unjustified("calls a token of the future that is not");
      }
      return;
    case Refused::kDiverged:
      if (need.min_index <= invariants_.committed() &&
          invariants_.EntryAt(need.min_index).term == need.min_term) {
        unjustified("calls a token of another history that is not");
      }
      return;
    case Refused::kDeadline:
      if (!late) unjustified("refuses for a deadline that has not passed");
      return;
    case Refused::kNoLeader:
    case Refused::kNoQuorum:
    case Refused::kLeaderChanged:
    case Refused::kOverloaded:
      if (!need.strong()) unjustified("refuses for the leader's sake what was not strong");
      return;
    case Refused::kClockJump:
    case Refused::kNo:
      break;
  }
  unjustified("refuses for a reason that cannot be");
}

}  // namespace quorate::sim
