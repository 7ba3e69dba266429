#include "src/replica.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "raft/assert.h"

namespace quorate::server {
namespace {

// One write to the state machine: bounds how long the applier holds memory, and how stale a status
// can be.
constexpr std::size_t kApplyBytes = 1 << 20;

raft::InitialState ToInitialState(storage::LogRecovery& recovery, raft::Index applied) {
  return {.hard_state = recovery.hard_state,
          .log = std::move(recovery.contents),
          .base_configuration = std::move(recovery.base_configuration),
          .configurations = std::move(recovery.configurations),
          .applied = applied};
}

WriteStatus ToStatus(raft::ProposeError error) {
  switch (error) {
    case raft::ProposeError::kNotLeader:
    case raft::ProposeError::kTransferring:
      return WriteStatus::kNotLeader;
    case raft::ProposeError::kOverloaded:
      return WriteStatus::kOverloaded;
    case raft::ProposeError::kDiskFull:
      return WriteStatus::kDiskFull;
  }
  std::abort();
}

}  // namespace

Replica::Replica(const ReplicaOptions& options, const raft::Self& self, ReplicaStorage storage,
                 Host& host, std::uint64_t seed)
    : options_(options),
      host_(host),
      files_(storage.files),
      directory_(storage.directory),
      open_(std::move(storage.open)),
      log_(std::move(storage.log.log)),
      state_(std::move(storage.state)),
      base_configuration_(storage.log.recovery.base_configuration),
      random_(seed),
      core_(options.raft, self, ToInitialState(storage.log.recovery, state_->applied().index),
            host.Now(), random_()),
      reads_(core_, core_.log().last(), [this](const Read& read) { host_.OnRead(read); }),
      sender_(options.snapshots, host, files_, directory_),
      receiver_(
          options.snapshots, host, files_, directory_,
          [this](const storage::Manifest& manifest) {
            arrived_ = manifest;
            host_.PumpSoon();
          },
          [this](const std::string& why) { Report(ReplicaObserver::News::kBad, why); }),
      keeper_(options.raft.control),
      applied_(core_.applied()) {
  sender_.OnDropped([this](std::uint64_t id) { core_.OnSnapshotDropped(id); });
}

Replica::~Replica() = default;

void Replica::Report(ReplicaObserver::News news, const std::string& text) const {
  if (observer_.on_news) observer_.on_news(news, text);
}

void Replica::ReportOnce(const std::string& trouble) {
  if (std::exchange(last_trouble_, trouble) != trouble) {
    Report(ReplicaObserver::News::kBad, trouble);
  }
}

void Replica::Receive(raft::Message message) {
  core_.Step(host_.Now(), std::move(message));
  host_.PumpSoon();
}

void Replica::OnUnreachable(raft::NodeId peer) {
  core_.OnUnreachable(peer);
  host_.PumpSoon();
}

raft::Time Replica::NextDeadline() const {
  return std::min({core_.NextDeadline(), next_look_, sender_.NextDeadline(),
                   receiver_.NextDeadline(), reads_.NextDeadline(), keeper_.NextLook()});
}

void Replica::Tick() {
  const raft::Time now = host_.Now();
  if (now >= core_.NextDeadline()) core_.Tick(now);
  if (now >= sender_.NextDeadline()) sender_.Tick(now);
  if (now >= receiver_.NextDeadline()) receiver_.Tick(now);
  if (now >= next_look_) LookAtDisk(now);
  if (now >= reads_.NextDeadline()) reads_.Expire(applied_, now);
  if (now >= keeper_.NextLook()) LookAtSessions(now);
  host_.PumpSoon();
}

// The stamp is of the term it was made in: if leadership goes before the next Pump(), that refuses
// the command, and it cannot have come back before.
void Replica::Write(std::string_view command, Stamping stamping, std::uint64_t ticket) {
  if (stamping == Stamping::kPlain) {
    proposals_.push_back({Bytes::Copy(command), ticket});
  } else {
    const std::string stamp = EncodeStamp(keeper_.Stamp(LeadingTerm(), host_.Now()));
    proposals_.push_back({Bytes::Copy(command, stamp), ticket});
  }
  host_.PumpSoon();
}

void Replica::WaitForRead(Read read) {
  reads_.Wait(std::move(read), host_.Now());
  host_.PumpSoon();
}

void Replica::TransferLeadership(raft::NodeId target) {
  core_.TransferLeadership(host_.Now(), target);
  host_.PumpSoon();
}

// One pass: everything taken up since the last one becomes one proposal, one read request, one
// Ready.
void Replica::Pump() {
  const raft::Time now = host_.Now();
  reads_.NoteClock(now);
  ProposeQueued(now);
  reads_.RequestConfirmation(now);
  CarryOut(core_.TakeReady(now));
  reads_.NoteFreshness(applied_, now);
  StartLogWrite();
  MaybeInstall();
  StartApply();
  MaybeFinishShutdown();
}

void Replica::ProposeQueued(raft::Time now) {
  if (proposals_.empty()) return;
  std::vector<Proposal> proposals = std::exchange(proposals_, {});
  std::vector<Bytes> commands;
  commands.reserve(proposals.size());
  for (Proposal& proposal : proposals) commands.push_back(std::move(proposal.command));
  WriteStatus refused = WriteStatus::kShuttingDown;
  if (!shutting_down_) {
    const auto result = core_.Propose(now, commands);
    if (const auto* proposed = std::get_if<raft::Raft::Proposed>(&result)) {
      raft::Index index = proposed->first;
      for (const Proposal& proposal : proposals) {
        pending_writes_.push_back({index++, proposed->term, proposal.ticket});
      }
      return;
    }
    refused = ToStatus(std::get<raft::ProposeError>(result));
  }
  for (const Proposal& proposal : proposals) AnswerWrite(proposal.ticket, {refused, {}});
}

void Replica::CarryOut(raft::Ready ready) {
  for (raft::Message& message : ready.messages) host_.Send(std::move(message));
  if (ready.append) {
    for (const raft::Entry& entry : ready.append->entries) queued_log_bytes_ += entry.ByteSize();
    log_queue_.push_back(std::move(*ready.append));
  }
  for (const raft::FetchRequest& fetch : ready.fetches) Fetch(fetch);
  if (!ready.reads.empty()) {
    const raft::Time now = host_.Now();
    for (const raft::ReadResult& read : ready.reads) reads_.OnConfirmed(read, applied_, now);
  }
  if (ready.offered) {
    receiver_.OnOffer(ready.offered->from, ready.offered->snapshot, ready.offered->position);
  }
  if (ready.wants_snapshot) KeepSnapshotForFollowers(host_.Now());
  apply_to_ = std::max(apply_to_, ready.apply_to);
  if (ready.soft) {
    if (raft::Broken(options_.raft.control, raft::Control::kWrongErrorClass) &&
        LeadingTerm() == 0) {
      for (const PendingWrite& write : std::exchange(pending_writes_, {})) {
        AnswerWrite(write.ticket, {WriteStatus::kNotLeader, {}});
      }
    }
    host_.OnSoftState(*ready.soft);
  }
  CheckMembership();
}

// Entries that memory no longer holds come from the log, off the loop: heartbeats never wait for a
// disk.
void Replica::Fetch(const raft::FetchRequest& request) {
  auto read = std::make_shared<storage::Result<std::vector<raft::Entry>>>();
  host_.Run(
      Lane::kRead,
      [this, request, read] { *read = log_->Read(request.first, request.last, request.max_bytes); },
      [this, request, read] {
        if (!*read && read->error().code == storage::ErrorCode::kCorrupt) {
          return Quarantine(read->error().message);
        }
        // None: they have been cut meanwhile, or the disk cannot read; the core goes back to
        // asking.
        core_.OnFetched(host_.Now(), request.to,
                        *read ? std::move(**read) : std::vector<raft::Entry>());
        host_.PumpSoon();
      });
}

struct Replica::LogJob {
  std::vector<raft::AppendBatch> batches;
  storage::Status status;
  bool wants_spare = false;
  raft::Time started{0};
  std::size_t entries = 0;
  std::size_t bytes = 0;
};

// Group commit without timers: while one sync runs, everything queued becomes the next batch (D4).
void Replica::StartLogWrite() {
  if (log_busy_ || log_queue_.empty() || !log_room_.MayTry()) return;
  auto job = std::make_shared<LogJob>();
  job->batches = std::exchange(log_queue_, {});
  job->started = host_.Now();
  job->bytes = std::exchange(queued_log_bytes_, 0);
  for (const raft::AppendBatch& batch : job->batches) job->entries += batch.entries.size();
  log_busy_ = true;
  host_.Run(
      Lane::kLog,
      [this, job] {
        job->status = log_->Append(job->batches);
        job->wants_spare = log_->WantsSpare();
      },
      [this, job] { OnLogWritten(job); });
}

void Replica::OnLogWritten(const std::shared_ptr<LogJob>& job) {
  log_busy_ = false;
  host_.PumpSoon();
  if (!job->status && job->status.error().code == storage::ErrorCode::kNoSpace) {
    // Not durable, so nobody has been promised anything: the same again, once there may be room.
    log_queue_.insert(log_queue_.begin(), std::make_move_iterator(job->batches.begin()),
                      std::make_move_iterator(job->batches.end()));
    queued_log_bytes_ += job->bytes;
    log_room_.lacking = true;
    return JudgeDisk();
  }
  if (std::exchange(log_room_.lacking, false)) JudgeDisk();
  // Final for the process: after a failed sync the page cache lies (fsyncgate), so nothing may be
  // retried.
  if (!job->status)
    return host_.Fatal("the log could not be written: " + job->status.error().message);
  const raft::Duration took = host_.Now() - job->started;
  if (observer_.on_log_sync) observer_.on_log_sync(took, job->entries, job->bytes);
  NoteSlowSync(took);
  NoteWritten(job->bytes);
  core_.OnDurable(host_.Now(), job->batches.back().token);
  if (job->wants_spare) PrepareSpare();
}

void Replica::StartApply() {
  if (apply_busy_ || InstallDue() || applied_ >= apply_to_ || !state_room_.MayTry()) return;
  struct Job {
    std::vector<raft::Entry> entries;
    storage::Result<std::vector<storage::Applied>> results;
    raft::Time started{0};
  };
  auto job = std::make_shared<Job>();
  job->started = host_.Now();
  const raft::Index first = applied_ + 1;
  const raft::Index last = apply_to_;
  job->entries = core_.log().Slice(first, last, kApplyBytes);
  apply_busy_ = true;
  host_.Run(
      Lane::kApply,
      [this, job, first, last] {
        if (job->entries.empty()) {
          auto read = log_->Read(first, last, kApplyBytes);
          if (!read) {
            job->results = tl::make_unexpected(read.error());
            return;
          }
          job->entries = std::move(*read);
        }
        job->results = state_->Apply(job->entries);
      },
      [this, job] {
        apply_busy_ = false;
        if (!job->results) return OnApplyFailed(job->results.error());
        if (std::exchange(state_room_.lacking, false)) JudgeDisk();
        if (observer_.on_apply) observer_.on_apply(host_.Now() - job->started, job->entries.size());
        OnApplied(*job->results);
        host_.PumpSoon();
      });
}

void Replica::OnApplyFailed(const storage::Error& error) {
  const std::string what = "entries could not be applied: " + error.message;
  if (error.code == storage::ErrorCode::kCorrupt) return Quarantine(what);
  if (error.code != storage::ErrorCode::kNoSpace) return host_.Fatal(what);
  state_room_.lacking = true;  // nothing was applied: the same again at the next look
  JudgeDisk();
}

void Replica::OnApplied(const std::vector<storage::Applied>& results) {
  for (const storage::Applied& applied : results) {
    QUORATE_ASSERT(applied.index == applied_ + 1, "entries are applied in order, each once");
    applied_ = applied.index;
    CompleteWrites(applied);
  }
  core_.OnApplied(applied_);
  NoteOwnTerm(results.back());
  reads_.OnApplied(applied_, host_.Now());
}

// An entry's fate is decided by what is committed at its index: itself, or another leader's entry.
// Losing leadership decides nothing (RedisRaft #23: NOLEADER for an entry that committed). Terms
// never go back along the log, so an applied entry of a later term also ends every older write at
// or after its index. The applied entry may be the older one as well: this node's own tail was cut,
// and its index filled by a leader that had the older entry.
void Replica::CompleteWrites(const storage::Applied& applied) {
  while (!pending_writes_.empty()) {
    const PendingWrite write = pending_writes_.front();
    const bool here = write.index == applied.index;
    const bool superseded = write.term < applied.term || (here && write.term != applied.term);
    if (!superseded && !here) return;
    pending_writes_.pop_front();
    if (superseded) {
      AnswerWrite(write.ticket, {WriteStatus::kSuperseded, {}});
    } else {
      AnswerWrite(write.ticket, {WriteStatus::kApplied, applied});
    }
  }
}

// The log says who a member is. A directory that is not the one on record has forgotten votes and
// entries, and must never take part again under this id.
void Replica::CheckMembership() {
  const raft::Member* self = core_.configuration().Find(core_.id());
  if (self == nullptr || self->uuid.empty() || self->uuid == core_.self().uuid) return;
  host_.Fatal(
      "member " + std::to_string(core_.id()) +
      " is on record with another data directory: this one was made later, and has forgotten what "
      "the old one "
      "promised. Restore the old directory, or remove the member and add it under a new id");
}

void Replica::Quarantine(const std::string& why) {
  const storage::Status marked = directory_.Quarantine(why);
  host_.Fatal(why + (marked ? "" : "; this could not be put on record: " + marked.error().message));
}

void Replica::Shutdown(std::function<void()> done) {
  shutting_down_ = true;
  shutdown_done_ = std::move(done);
  host_.PumpSoon();
}

void Replica::MaybeFinishShutdown() {
  // What finds no room was promised to nobody: it need not be written before the end.
  const bool unwritten = !log_queue_.empty() && !log_room_.lacking;
  const bool busy = log_busy_ || apply_busy_ || preparing_ || flushing_ || looking_ || unwritten ||
                    sender_.busy() || receiver_.busy();
  if (!shutdown_done_ || busy) return;
  log_busy_ = true;  // the log takes nothing after its clean-shutdown mark
  apply_busy_ = true;
  host_.Run(
      Lane::kApply, [this] { static_cast<void>(state_->Flush()); },
      [this] {
        host_.Run(
            Lane::kLog, [this] { static_cast<void>(log_->Close()); },
            [done = std::exchange(shutdown_done_, nullptr)] { done(); });
      });
}

}  // namespace quorate::server
