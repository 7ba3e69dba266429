// Snapshots: keeping one for followers that the log no longer reaches, and installing one here.
#include <algorithm>
#include <utility>

#include "raft/assert.h"
#include "src/replica.h"

namespace quorate::server {
namespace {

using News = ReplicaObserver::News;

std::string Name(raft::Position position) {
  return "index " + std::to_string(position.index) + " of term " + std::to_string(position.term);
}

}  // namespace

void Replica::ReceiveSnapshot(raft::NodeId from, const SnapshotMessage& message) {
  if (shutting_down_) return;  // or the lane might never be idle
  if (const auto* request = std::get_if<SnapshotRequest>(&message)) {
    sender_.OnRequest(from, *request);
  } else {
    receiver_.OnReply(from, std::get<SnapshotReply>(message));
  }
}

void Replica::KeepSnapshotForFollowers(raft::Time now) {
  if (sender_.taking() || now < snapshot_not_before_ || shutting_down_) return;
  // Taking one flushes the database, and on a full disk that might stop it.
  if (!disk_use_.full.empty()) return;
  TakeSnapshot([this](const storage::Result<storage::Manifest>& taken) {
    if (!taken) snapshot_not_before_ = host_.Now() + options_.check_every;
  });
}

void Replica::TakeSnapshot(SnapshotSender::Taken done) {
  sender_.Take(state_, base_configuration_, random_(),
               [this, done = std::move(done)](const storage::Result<storage::Manifest>& taken) {
                 if (taken) {
                   ++counters_.snapshots_taken;
                   core_.OnSnapshotKept(taken->id, taken->mark.position);
                   Report(News::kGood, "took a snapshot at " + Name(taken->mark.position) + ": " +
                                           std::to_string(taken->bytes()) + " bytes in " +
                                           std::to_string(taken->files.size()) + " files");
                   next_look_ = host_.Now();
                 } else {
                   const std::string what = "no snapshot could be taken: " + taken.error().message;
                   if (taken.error().code == storage::ErrorCode::kCorrupt) return Quarantine(what);
                   ReportOnce(what);
                 }
                 if (done) done(taken);
                 host_.PumpSoon();
               });
}

// The state machine must stand still while another takes its place. Switching CURRENT is the one
// commit point; a crash behind it and before the log is emptied is finished by RecoverNode().
void Replica::MaybeInstall() {
  if (!InstallDue() || apply_busy_ || shutting_down_) return;
  if (!core_.WantsInstalled(arrived_->mark.position)) {
    arrived_.reset();
    return receiver_.Finished(/*useless=*/false);
  }
  struct Job {
    storage::Manifest manifest;
    std::unique_ptr<storage::StateMachine> state;
    storage::Status status;
  };
  auto job = std::make_shared<Job>();
  job->manifest = *arrived_;
  apply_busy_ = true;
  host_.Run(
      Lane::kApply, [this, job] { job->status = OpenInstalled(job->manifest, job->state); },
      [this, job] {
        apply_busy_ = false;
        host_.PumpSoon();
        if (job->status) return OnInstalled(job->manifest, std::move(job->state));
        const storage::Error& error = job->status.error();
        const std::string what = "a snapshot could not be installed: " + error.message;
        if (error.code == storage::ErrorCode::kIo) return host_.Fatal(what);
        ReportOnce(what);
        if (error.code == storage::ErrorCode::kNoSpace) {
          install_not_before_ = host_.Now() + options_.check_every;
          return;
        }
        arrived_.reset();
        receiver_.Finished(/*useless=*/true);
      });
}

bool Replica::InstallDue() const {
  return arrived_ && host_.Now() >= install_not_before_;
}

storage::Status Replica::OpenInstalled(const storage::Manifest& manifest,
                                       std::unique_ptr<storage::StateMachine>& state) {
  auto opened = open_(directory_.next_database_path());
  if (!opened) return tl::make_unexpected(opened.error());
  if ((*opened)->applied() != manifest.mark.position) {
    return storage::Fail(storage::ErrorCode::kCorrupt,
                         "its state is at " + Name((*opened)->applied()) + ", and it says " +
                             Name(manifest.mark.position));
  }
  const storage::Status switched = directory_.SwitchDatabase(manifest.mark.position);
  if (switched) state = std::move(*opened);
  return switched;
}

void Replica::OnInstalled(const storage::Manifest& manifest,
                          std::shared_ptr<storage::StateMachine> state) {
  const raft::Index index = manifest.mark.position.index;
  retired_.push_back(std::exchange(state_, std::move(state)));
  core_.OnSnapshotInstalled(host_.Now(), manifest.mark);
  applied_ = index;
  ++counters_.snapshots_installed;
  // What these did is part of the state, and nobody here knows what it was: their outcome stays
  // open.
  std::erase_if(pending_writes_,
                [index](const PendingWrite& write) { return write.index <= index; });
  reads_.OnApplied(applied_, host_.Now());
  arrived_.reset();
  receiver_.Finished(/*useless=*/false);
  state_room_ = {};  // what found no room was for the database before this one
  JudgeDisk();
  Report(News::kGood, "installed a snapshot at " + Name(manifest.mark.position));
  next_look_ = host_.Now();
}

// Databases that were replaced are closed, and leave the disk, once no scan reads any of them.
void Replica::RemoveRetired() {
  const bool in_use = std::any_of(retired_.begin(), retired_.end(),
                                  [](const auto& state) { return state.use_count() > 1; });
  if (retired_.empty() || in_use || receiver_.busy() || arrived_) return;
  struct Job {
    std::vector<std::shared_ptr<storage::StateMachine>> states;
    storage::Status status;
  };
  auto job = std::make_shared<Job>();
  job->states = std::exchange(retired_, {});
  host_.Run(
      Lane::kSnapshot,
      [this, job] {
        job->states.clear();
        job->status = directory_.RemoveOtherDatabases(/*keep_next=*/true);
      },
      [this, job] {
        if (!job->status) {
          Report(News::kBad,
                 "an old database could not be removed: " + job->status.error().message);
        }
      });
}

}  // namespace quorate::server
