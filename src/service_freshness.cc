// What a request asks for and what an answer says of its freshness: between the wire contract and
// the algebra (freshness.h).
#include <utility>

#include "raft/assert.h"
#include "raft/format.h"
#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

std::uint64_t Micros(raft::Duration duration) {
  return duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
}

double Millis(raft::Duration duration) {
  return static_cast<double>(duration.count()) / 1000;
}

Level LevelOf(const ReadNeed& need) {
  if (need.strong()) return Level::kStrong;
  if (need.max_age) return Level::kBounded;
  return need.min_index > 0 ? Level::kSession : Level::kEventual;
}

wire::Code ToWire(Refused refused) {
  switch (refused) {
    case Refused::kNo:
      return wire::OK;
    case Refused::kStale:
      return wire::STALE;
    case Refused::kNotCaughtUp:
      return wire::NOT_CAUGHT_UP;
    case Refused::kFutureToken:
      return wire::FUTURE_TOKEN;
    case Refused::kDiverged:
      return wire::DIVERGED;
    case Refused::kClockJump:
      return wire::CLOCK_JUMP;
    case Refused::kDeadline:
      return wire::DEADLINE;
    case Refused::kNoLeader:
      return wire::NO_LEADER;
    case Refused::kNoQuorum:
      return wire::NO_QUORUM;
    case Refused::kLeaderChanged:
      return wire::LEADER_CHANGED;
    case Refused::kOverloaded:
      return wire::OVERLOADED;
  }
  std::abort();
}

wire::Basis ToWire(Proof::Basis basis) {
  switch (basis) {
    case Proof::Basis::kNone:
      return wire::NONE;
    case Proof::Basis::kReadIndex:
      return wire::READ_INDEX;
    case Proof::Basis::kAnchor:
      return wire::ANCHOR;
  }
  std::abort();
}

std::string WhyStale(const Read& read) {
  const Refusal& refusal = read.refusal;
  std::string text = refusal.age ? fmt::format("this node can prove an age of {:.3f} ms at best",
                                               Millis(*refusal.age))
                                 : std::string("this node can prove no age at all yet");
  text += fmt::format(", {:.3f} ms was asked for", Millis(*read.need.max_age));
  if (refusal.want > refusal.have) {
    text += fmt::format("; that needs index {}, and {} is applied", refusal.want, refusal.have);
  }
  return text;
}

std::string WhyDiverged(const Refusal& refusal, const ReadNeed& need) {
  if (need.incarnation != 0 && refusal.want == need.incarnation) {
    return fmt::format(
        "the token is of incarnation {:016x}, this cluster is {:016x}: it was restored from a "
        "backup or made anew, so drop the token",
        refusal.want, refusal.have);
  }
  return fmt::format(
      "the token saw an entry of term {} at index {}, here the committed one is of term {}: it is "
      "of another history, so drop it",
      refusal.want, need.min_index, refusal.have);
}

std::string WhyConfirmationFailed(Refused because) {
  switch (because) {
    case Refused::kNoLeader:
      return "no leader is known; an election may be under way, or fewer than a majority of nodes "
             "can reach each other";
    case Refused::kLeaderChanged:
      return "leadership changed, or the leader went out of reach, while it was being asked; ask "
             "again";
    case Refused::kOverloaded:
      return "the leader has as many forwarded reads as it keeps; back off and ask again";
    case Refused::kNoQuorum:
      return "a majority of nodes did not confirm that this node still leads";
    default:
      return "";
  }
}

std::string WhyLate(const Read& read) {
  switch (read.next.step) {
    case ReadVerdict::Step::kConfirm:
      return "the deadline passed before the leader had confirmed the read";
    case ReadVerdict::Step::kWaitForApply:
      return fmt::format("the deadline passed before index {} was applied here, where {} is",
                         read.refusal.want, read.refusal.have);
    default:
      return "the deadline passed before this node's disk had answered";
  }
}

std::string WhyRefused(const Read& read) {
  const Refusal& refusal = read.refusal;
  switch (refusal.code) {
    case Refused::kStale:
      return WhyStale(read);
    case Refused::kNotCaughtUp:
      if (read.need.min_index > refusal.have) {
        return fmt::format("this node has applied up to index {}, the session needs {}",
                           refusal.have, read.need.min_index);
      }
      return fmt::format(
          "this node has restarted and applied up to index {}; it may have served {} before",
          refusal.have, refusal.want);
    case Refused::kFutureToken:
      return fmt::format(
          "a quorum confirmed that nothing beyond index {} was committed, the session token says "
          "{}: it is of another cluster, or of data that was lost",
          refusal.have, refusal.want);
    case Refused::kDiverged:
      return WhyDiverged(refusal, read.need);
    case Refused::kClockJump:
      return "this node's clock went back: it cannot prove an age before it hears from the leader "
             "again; ask again soon, or another node";
    case Refused::kDeadline:
      return WhyLate(read);
    default:
      return WhyConfirmationFailed(refusal.code);
  }
}

std::string WhyServed(const Read& read) {
  switch (read.decision) {
    case Decision::kServedLocally:
      return "what is applied here was enough as it stood";
    case Decision::kWaitedForApply:
      return "enough was known, and had to be applied here first";
    case Decision::kConfirmed:
      return "only the leader could say what had been committed, and did";
    case Decision::kServedUnmet:
      return "what was asked for could not be proved; served anyway, as was asked";
    case Decision::kRefused:
      break;
  }
  return WhyRefused(read);
}

}  // namespace

// What the request asks for, in the terms of D6.1. False: it makes no sense, and is answered.
bool Service::Need(Request& request, const wire::Freshness& freshness, ReadNeed& need) {
  request.explain = freshness.explain();
  const bool bounded = freshness.has_max_age_us() && freshness.max_age_us() > 0;
  if (freshness.max_age_us() > wire::kMaxAgeUs) {
    Refuse(request, wire::INVALID,
           fmt::format("max_age is {} us; the limit is {} us, a day: ask for an eventual read "
                       "instead",
                       freshness.max_age_us(), wire::kMaxAgeUs),
           freshness.max_age_us(), wire::kMaxAgeUs);
    return false;
  }
  if (freshness.has_max_lag() && !bounded) {
    Refuse(request, wire::INVALID, "max_lag means nothing without a max_age_us above 0");
    return false;
  }
  if (!wire::OnUnmet_IsValid(freshness.on_unmet())) {
    Refuse(request, wire::INVALID,
           fmt::format("on_unmet is {}; it is 0 (wait), 1 (refuse) or 2 (serve anyway)",
                       static_cast<int>(freshness.on_unmet())));
    return false;
  }
  if (freshness.has_max_age_us()) {
    need.max_age = raft::Duration(static_cast<std::int64_t>(freshness.max_age_us()));
    need.max_lag = freshness.max_lag();
  }
  need.on_unmet = static_cast<OnUnmet>(freshness.on_unmet());
  if (freshness.has_token()) {
    const wire::Token& token = freshness.token();
    need.min_index = token.index();
    need.min_term = token.term();
    need.incarnation = token.incarnation();
    if (token.cluster_id() != 0 && token.cluster_id() != identity_.cluster_id) {
      Refuse(request, wire::DIVERGED,
             fmt::format("the token is of cluster {:016x}, this is cluster {:016x}: it means "
                         "nothing here, so drop it",
                         token.cluster_id(), identity_.cluster_id),
             identity_.cluster_id, token.cluster_id());
      return false;
    }
  }
  request.level = LevelOf(need);
  return true;
}

// The state at exactly `at`, and how that is known (D6.4).
void Service::Certify(const Request& request, const Read& read, raft::Time read_at,
                      raft::Position at) {
  const Proof proof = in_.replica.reads().ProofOf(read, at.index, read_at);
  QUORATE_ASSERT(request.level != Level::kStrong || read.decision == Decision::kServedUnmet ||
                     at.index >= proof.fresh_index,
                 "a strong read is at least as new as its read index");
  const raft::Raft& core = in_.replica.core();
  wire::Certificate& certificate = *reply_.mutable_certificate();
  certificate.set_node_id(identity_.node_id);
  certificate.set_node_term(core.term());
  certificate.set_applied_index(at.index);
  certificate.set_entry_term(at.term);
  certificate.set_incarnation(core.configuration().incarnation);
  certificate.set_waited_us(Micros(read.waited_apply + read.waited_confirm));
  certificate.set_basis(ToWire(proof.basis));
  in_.metrics.ObserveRead(request.level, read.decision);
  if (request.explain) Explain(read);
  if (proof.basis == Proof::Basis::kNone) return;
  certificate.set_age_us(Micros(proof.age));
  certificate.set_fresh_index(proof.fresh_index);
  certificate.set_lag(proof.lag);
  certificate.set_via_leader(proof.via_leader);
  in_.metrics.ObserveAge(request.level, proof.age);
}

void Service::Explain(const Read& read) {
  const raft::Raft& core = in_.replica.core();
  const ReadPath& reads = in_.replica.reads();
  const raft::Index applied = in_.replica.state().applied().index;
  wire::Explanation& out = *reply_.mutable_explanation();
  out.set_node_id(identity_.node_id);
  out.set_role(raft::ToString(core.role()));
  out.set_leader(core.leader());
  out.set_decision(static_cast<wire::Decision>(read.decision));
  out.set_reason(WhyServed(read));
  out.set_applied(applied);
  out.set_commit(core.commit());
  if (const auto age = reads.AgeAt(applied, read.judged)) out.set_local_age_us(Micros(*age));
  if (!reads.anchors().empty()) {
    const raft::Freshness& newest = reads.anchors().newest();
    out.set_anchor_age_us(Micros(AgeOf(newest.at, read.judged)));
    out.set_anchor_index(newest.index);
  }
  out.set_waited_apply_us(Micros(read.waited_apply));
  out.set_waited_confirm_us(Micros(read.waited_confirm));
  out.set_typical_confirm_us(Micros(reads.typical_confirm()));
  out.set_caught_up(reads.CaughtUp(applied));
}

void Service::RefuseRead(const Request& request, const Read& read) {
  const Refusal& refusal = read.refusal;
  const wire::Code code = ToWire(refusal.code);
  ++in_.metrics.refusals[static_cast<std::size_t>(code)];
  in_.metrics.ObserveRead(request.level, Decision::kRefused);
  reply_.Clear();
  wire::Error& error = *reply_.mutable_error();
  error.set_code(code);
  error.set_have(refusal.have);
  error.set_want(refusal.want);
  if (refusal.age) error.set_age_us(Micros(*refusal.age));
  error.set_because(ToWire(refusal.because));
  std::string message = WhyRefused(read);
  if (refusal.because != Refused::kNo) {
    message += "; asking the leader did not help: " + WhyConfirmationFailed(refusal.because);
  }
  if (refusal.code == Refused::kNoLeader) *error.mutable_leader() = LeaderHint();
  if (refusal.code == Refused::kNoQuorum) {
    message += "; it never has";
    if (last_confirmed_) {
      const raft::Duration ago = BootTime() - *last_confirmed_;
      error.set_age_us(Micros(ago));
      message += fmt::format(" since {} ms ago", ago.count() / 1000);
    }
  }
  error.set_message(std::move(message));
  if (request.explain) Explain(read);
  Answer(request, {});
}

}  // namespace quorate::server
