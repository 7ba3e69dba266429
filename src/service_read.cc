// Gets, and what each answer says about its freshness (D6).
#include <utility>

#include "raft/assert.h"
#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

// On the read lane, of all connections, abandoned ones included: deadlines must not make room for
// more before the lane has caught up.
constexpr std::size_t kMaxReadJobs = 65'536;

std::uint64_t Micros(raft::Duration duration) {
  return duration.count() < 0 ? 0 : static_cast<std::uint64_t>(duration.count());
}

}  // namespace

// What the request asks for, in the terms of D6.1; nothing: answered.
std::optional<Service::FreshnessNeed> Service::Need(const Request& request,
                                                    const wire::Freshness& freshness) {
  const raft::Index min_index = freshness.token().index();
  if (freshness.has_max_age_us() && freshness.max_age_us() > 0) {
    Refuse(request, wire::UNSUPPORTED,
           "this version does not serve bounded reads (max_age above 0); ask for a strong, session "
           "or eventual read");
    return std::nullopt;
  }
  if (freshness.has_max_age_us()) return FreshnessNeed{Level::kStrong, min_index};
  if (freshness.has_max_lag()) {
    Refuse(request, wire::INVALID, "max_lag means nothing without max_age_us");
    return std::nullopt;
  }
  return FreshnessNeed{min_index > 0 ? Level::kSession : Level::kEventual, min_index};
}

// For reads of the local state as it is; false: refused.
bool Service::ServableNow(const Request& request, const FreshnessNeed& need) {
  if (need.level == Level::kSession) {
    const raft::Index applied = in_.replica.state().applied().index;
    if (applied >= need.min_index) return true;
    Refuse(request, wire::NOT_CAUGHT_UP,
           fmt::format("this node has applied up to index {}, the session needs {}", applied,
                       need.min_index),
           applied, need.min_index);
    return false;
  }
  const Replica::EventualGrant grant = in_.replica.EventualRead();
  if (grant.caught_up) return true;
  Refuse(request, wire::NOT_CAUGHT_UP,
         fmt::format("this node has restarted and applied up to index {}; it may have served {} "
                     "before",
                     grant.have, grant.want),
         grant.have, grant.want);
  return false;
}

void Service::Get(ClientSession& session, const wire::Frame& frame, Request request) {
  if (!get_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (frame.body.empty()) {
    return Refuse(request, wire::INVALID, "the key is empty; a key has 1 to 4096 bytes");
  }
  if (frame.body.size() > wire::kMaxKeyBytes) {
    return Refuse(
        request, wire::TOO_LARGE,
        fmt::format("the key has {} bytes; the limit is {}", frame.body.size(), wire::kMaxKeyBytes),
        frame.body.size(), wire::kMaxKeyBytes);
  }
  const auto need = Need(request, get_.freshness());
  if (!need) return;
  request.level = need->level;
  if (!TakeUp(session, get_.header(), request)) return;
  if (need->level == Level::kStrong) {
    Ticket ticket = 0;
    Pending& pending = Wait(session, std::move(request), ticket);
    pending.key.assign(frame.body);
    pending.min_index = need->min_index;
    return in_.replica.StrongRead(ticket);
  }
  if (!ServableNow(request, *need) || ReadFromMemory(request, frame.body, {})) return;
  Ticket ticket = 0;
  Wait(session, std::move(request), ticket).key.assign(frame.body);
  ReadFromDisk(ticket);
}

void Service::OnRead(std::uint64_t ticket, const ReadGrant& grant) {
  Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;  // its deadline has passed
  if (grant.failure != raft::ReadFailure::kNone) {
    RefuseRead(pending->request, grant.failure);
    return Release(ticket);
  }
  const raft::Index applied = in_.replica.state().applied().index;
  if (pending->min_index > applied) {
    Refuse(pending->request, wire::FUTURE_TOKEN,
           fmt::format("a quorum confirmed that nothing beyond index {} was committed, the session "
                       "token says {}: it is of another cluster, or of data that was lost",
                       grant.index, pending->min_index),
           applied, pending->min_index);
    return Release(ticket);
  }
  pending->grant = grant;
  if (pending->scan) return RunScan(ticket);
  if (!ReadFromMemory(pending->request, pending->key, grant)) return ReadFromDisk(ticket);
  Release(ticket);
}

bool Service::OutputFull(const Request& request) {
  const auto* session = sessions_.Find(request.session);
  if (session == nullptr) return true;  // nobody is there to read it
  Connection& connection = *(*session)->connection;
  if (connection.queued_bytes() > limits_.pause_output_bytes) connection.FlushNow();
  if (memory_->Full()) {
    RefuseForMemory(request);
    return true;
  }
  const std::size_t queued = connection.queued_bytes();
  if (queued <= limits_.max_output_bytes) return false;
  Refuse(request, wire::OVERLOADED,
         fmt::format("{} bytes of answers wait for this client to read them; the limit is {}",
                     queued, limits_.max_output_bytes),
         queued, limits_.max_output_bytes);
  return true;
}

// False: the answer may need the disk.
bool Service::ReadFromMemory(const Request& request, std::string_view key, const ReadGrant& grant) {
  if (OutputFull(request)) return true;
  // The age is counted from this reading of the clock, which precedes the state's (D6.3).
  const raft::Time read_at = BootTime();
  const auto outcome = in_.replica.state().Get(key, storage::StateMachine::Cost::kMemoryOnly);
  if (outcome && !*outcome) return false;
  AnswerRead(request, grant, read_at, outcome);
  return true;
}

void Service::ReadFromDisk(Ticket ticket) {
  struct Work {
    std::string key;
    raft::Time read_at{0};
    storage::Result<std::optional<storage::ReadOutcome>> outcome;
  };
  auto work = std::make_shared<Work>();
  work->key = pending_.Find(ticket)->key;
  RunRead(
      ticket,
      [work, state = in_.replica.shared_state()] {
        work->read_at = BootTime();
        work->outcome = state->Get(work->key, storage::StateMachine::Cost::kMayReadDisk);
      },
      [this, work, ticket] {
        const Pending* waiting = pending_.Find(ticket);
        if (waiting == nullptr) return;  // its deadline has passed
        if (!OutputFull(waiting->request)) {
          AnswerRead(waiting->request, waiting->grant, work->read_at, work->outcome);
        }
        Release(ticket);
      });
}

void Service::RunRead(Ticket ticket, std::function<void()> work, std::function<void()> done) {
  Pending& pending = *pending_.Find(ticket);
  if (read_jobs_ >= kMaxReadJobs) {
    Refuse(pending.request, wire::OVERLOADED,
           fmt::format("{} reads wait for this node's disk, its limit; back off and ask again",
                       read_jobs_),
           read_jobs_, kMaxReadJobs);
    return Release(ticket);
  }
  ++read_jobs_;
  auto abandoned = std::make_shared<std::atomic<bool>>(false);
  pending.abandoned = abandoned;
  in_.loop.RunOn(
      Lane::kRead,
      [abandoned = std::move(abandoned), work = std::move(work)] {
        if (!abandoned->load(std::memory_order_relaxed)) work();
      },
      [this, done = std::move(done)] {
        --read_jobs_;
        done();
      });
}

// Damage is never served, and never kept: what else is lost with it, nobody can tell.
void Service::RefuseUnreadable(const Request& request, const storage::Error& error) {
  const std::string what = "the database could not be read: " + error.message;
  Refuse(request, wire::INTERNAL, what);
  if (error.code == storage::ErrorCode::kCorrupt) in_.replica.Quarantine(what);
}

void Service::AnswerRead(const Request& request, const ReadGrant& grant, raft::Time read_at,
                         const storage::Result<std::optional<storage::ReadOutcome>>& outcome) {
  if (!outcome) return RefuseUnreadable(request, outcome.error());
  QUORATE_ASSERT(outcome->has_value(), "a read that may use the disk has an answer");
  const storage::ReadOutcome& read = **outcome;
  reply_.Clear();
  Certify(request, grant, read_at, read.at);
  reply_.set_found(read.record.has_value());
  if (!read.record) return Answer(request, {});
  reply_.set_mod_index(read.record->mod_index);
  Answer(request, read.record->value);
}

// The state at exactly `at`, and how that is known (D6.4).
void Service::Certify(const Request& request, const ReadGrant& grant, raft::Time read_at,
                      raft::Position at) {
  wire::Certificate& certificate = *reply_.mutable_certificate();
  certificate.set_node_id(identity_.node_id);
  certificate.set_node_term(in_.replica.core().term());
  certificate.set_applied_index(at.index);
  certificate.set_entry_term(at.term);
  certificate.set_waited_us(Micros(read_at - request.received));
  if (request.level == Level::kStrong) {
    QUORATE_ASSERT(at.index >= grant.index, "a strong read is at least as new as its read index");
    certificate.set_basis(wire::READ_INDEX);
    certificate.set_age_us(0);
    certificate.set_fresh_index(grant.index);
    certificate.set_via_leader(grant.via_leader);
    return;
  }
  if (const auto age = in_.replica.AgeOf(at.index, read_at)) {
    certificate.set_basis(wire::ANCHOR);
    certificate.set_age_us(Micros(age->bound));
    certificate.set_fresh_index(age->fresh_index);
  }
}

void Service::RefuseRead(const Request& request, raft::ReadFailure failure) {
  switch (failure) {
    case raft::ReadFailure::kNone:
      return;
    case raft::ReadFailure::kNoLeader:
      ++in_.metrics.refusals[wire::NO_LEADER];
      reply_.Clear();
      reply_.mutable_error()->set_code(wire::NO_LEADER);
      reply_.mutable_error()->set_message(
          "a strong read needs a leader and none is known; an election may be under way, or fewer "
          "than a majority of nodes can reach each other");
      return Answer(request, {});
    case raft::ReadFailure::kLeaderChanged:
      return Refuse(request, wire::LEADER_CHANGED,
                    "leadership changed while the read was being confirmed; ask again");
    case raft::ReadFailure::kOverloaded:
      return Refuse(request, wire::OVERLOADED,
                    "the leader has as many forwarded reads as it keeps; back off and ask again");
    case raft::ReadFailure::kNoQuorum:
      break;
  }
  ++in_.metrics.refusals[wire::NO_QUORUM];
  reply_.Clear();
  wire::Error& error = *reply_.mutable_error();
  error.set_code(wire::NO_QUORUM);
  std::string since = "it never has";
  if (last_confirmed_) {
    const raft::Duration ago = BootTime() - *last_confirmed_;
    error.set_age_us(Micros(ago));
    since = fmt::format("it last did {} ms ago", ago.count() / 1000);
  }
  error.set_message("a majority of nodes did not confirm that this node still leads; " + since);
  Answer(request, {});
}

}  // namespace quorate::server
