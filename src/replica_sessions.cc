// Sessions, as the leader sees to them (session_keeper.h): their clock, and their end.
#include <memory>
#include <utility>

#include "src/replica.h"

namespace quorate::server {
namespace {

// Of the replica's own commands: no ticket of the host's.
constexpr std::uint64_t kOwnTicket = ~std::uint64_t{0};

}  // namespace

raft::Term Replica::LeadingTerm() const {
  return core_.role() == raft::Role::kLeader ? core_.term() : 0;
}

// Nothing else is being applied at this moment, so the state's clock is that of `last`.
void Replica::NoteOwnTerm(const storage::Applied& last) {
  if (LeadingTerm() == 0 || last.term != core_.term()) return;
  keeper_.Lead(core_.term(), state_->sessions().clock_us, host_.Now());
}

void Replica::LookAtSessions(raft::Time now) {
  if (!keeper_.Look(LeadingTerm(), state_->sessions(), now) || shutting_down_) return;
  const std::uint64_t clock_us = keeper_.Stamp(LeadingTerm(), now);
  auto due = std::make_shared<std::vector<std::uint64_t>>();
  host_.Run(
      Lane::kApply,  // the table of sessions is the applier's
      [state = state_, due, clock_us] {
        *due = state->DueSessions(clock_us, SessionKeeper::kMaxNamed);
      },
      [this, due] { EndSessions(*due); });
}

void Replica::EndSessions(const std::vector<std::uint64_t>& due) {
  if (shutting_down_) return;
  auto command = keeper_.Propose(LeadingTerm(), due, state_->sessions(), host_.Now());
  if (!command) return;
  proposals_.push_back({std::move(*command), kOwnTicket});
  host_.PumpSoon();
}

void Replica::AnswerWrite(std::uint64_t ticket, const WriteResult& result) {
  if (ticket != kOwnTicket) return host_.OnWrite(ticket, result);
  keeper_.Proposed(result.status == WriteStatus::kApplied, state_->sessions(), host_.Now());
}

}  // namespace quorate::server
