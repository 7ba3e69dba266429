// Gets: from memory on the loop where that will do, else on the read lane.
#include <utility>

#include "raft/assert.h"
#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

// On the read lane, of all connections, abandoned ones included: deadlines must not make room for
// more before the lane has caught up.
constexpr std::size_t kMaxReadJobs = 65'536;

}  // namespace

// False: answered.
bool Service::ValidKey(const Request& request, std::string_view key) {
  if (key.empty()) {
    Refuse(request, wire::INVALID, "the key is empty; a key has 1 to 4096 bytes");
    return false;
  }
  if (key.size() <= wire::kMaxKeyBytes) return true;
  Refuse(request, wire::TOO_LARGE,
         fmt::format("the key has {} bytes; the limit is {}", key.size(), wire::kMaxKeyBytes),
         key.size(), wire::kMaxKeyBytes);
  return false;
}

void Service::Get(ClientSession& session, const wire::Frame& frame, Request request) {
  if (!get_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  Read read;
  if (!ValidKey(request, frame.body) || !Need(request, get_.freshness(), read.need) ||
      !TakeUp(session, get_.header(), request)) {
    return;
  }
  // The clock was read when the request had been dequeued, and the state is read after this: ages
  // count from there (D6.3), whatever becomes of the process in between.
  const bool decided = in_.replica.DecideRead(read, request.received);
  if (decided && read.refused()) return RefuseRead(request, read);
  if (decided && ReadFromMemory(request, frame.body, read)) return;
  Ticket ticket = 0;
  Pending& pending = WaitRead(session, std::move(request), read, ticket);
  pending.key.assign(frame.body);
  if (decided) return ReadFromDisk(ticket);
  Ask(pending);
}

Service::Pending& Service::WaitRead(ClientSession& session, Request request, const Read& read,
                                    Ticket& ticket) {
  Pending& pending = Wait(session, std::move(request), ticket);
  pending.read = read;
  pending.read.ticket = ticket;
  pending.read.deadline = pending.request.deadline;
  return pending;
}

// Leaves it to the read path, which keeps the deadline meanwhile.
void Service::Ask(Pending& pending) {
  pending.in_read_path = true;
  in_.replica.WaitForRead(pending.read);
}

void Service::OnRead(const Read& read) {
  Pending* pending = pending_.Find(read.ticket);
  if (pending == nullptr) return;  // the node is shutting down
  pending->in_read_path = false;
  pending->read = read;
  if (read.refused()) {
    RefuseRead(pending->request, read);
    return Release(read.ticket);
  }
  if (pending->scan) return RunScan(read.ticket);
  if (pending->keys) return RunMultiGet(read.ticket);
  if (!ReadFromMemory(pending->request, pending->key, read)) return ReadFromDisk(read.ticket);
  Release(read.ticket);
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
bool Service::ReadFromMemory(const Request& request, std::string_view key, const Read& read) {
  if (OutputFull(request)) return true;
  const auto outcome = in_.replica.state().Get(key, storage::StateMachine::Cost::kMemoryOnly);
  if (outcome && !*outcome) return false;
  AnswerRead(request, read, read.judged, outcome);
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
        Pending* waiting = BackFromDisk(ticket);
        if (waiting == nullptr) return;
        const bool full = OutputFull(waiting->request);
        if (!full && work->outcome &&
            !StillMet(*waiting, (*work->outcome)->at.index, work->read_at)) {
          return;
        }
        if (!full) AnswerRead(waiting->request, waiting->read, work->read_at, work->outcome);
        Release(ticket);
      });
}

// The lane may have taken longer than the bound allows: then the read goes on as one that is not
// met. False: it waits again, or has been refused.
bool Service::StillMet(Pending& pending, raft::Index index, raft::Time read_at) {
  if (!in_.replica.reads().DecideAgain(pending.read, index, read_at)) {
    pending.abandoned.reset();
    if (auto* session = sessions_.Find(pending.request.session); session && pending.scan) {
      ++(*session)->scans_running;
    }
    Ask(pending);
    return false;
  }
  if (!pending.read.refused()) return true;
  RefuseRead(pending.request, pending.read);
  Release(pending.read.ticket);
  return false;
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

// Null: its deadline has passed, and nothing is answered after that.
Service::Pending* Service::BackFromDisk(Ticket ticket) {
  Pending* pending = pending_.Find(ticket);
  if (pending == nullptr || pending->request.deadline > BootTime()) return pending;
  RefuseLate(*pending);
  Release(ticket);
  return nullptr;
}

// Damage is never served, and never kept: what else is lost with it, nobody can tell.
void Service::RefuseUnreadable(const Request& request, const storage::Error& error) {
  const std::string what = "the database could not be read: " + error.message;
  Refuse(request, wire::INTERNAL, what);
  if (error.code == storage::ErrorCode::kCorrupt) in_.replica.Quarantine(what);
}

void Service::AnswerRead(const Request& request, const Read& read, raft::Time read_at,
                         const storage::Result<std::optional<storage::ReadOutcome>>& outcome) {
  if (!outcome) return RefuseUnreadable(request, outcome.error());
  QUORATE_ASSERT(outcome->has_value(), "a read that may use the disk has an answer");
  const storage::ReadOutcome& found = **outcome;
  reply_.Clear();
  Certify(request, read, read_at, found.at);
  reply_.set_found(found.record.has_value());
  if (!found.record) return Answer(request, {});
  reply_.set_mod_index(found.record->mod_index);
  Answer(request, found.record->value);
}

}  // namespace quorate::server
