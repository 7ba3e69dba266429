// The bounds of the disk: what of the log is kept and for whom, when the state machine is flushed,
// and how to do without room until there is some again.
#include <algorithm>
#include <utility>

#include "src/replica.h"

namespace quorate::server {
namespace {

using News = ReplicaObserver::News;

constexpr raft::Duration kSlowSyncsNotedEvery{10'000'000};

// The last index up to which the log can go so that about `keep` bytes remain. A binary search:
// only the log knows how its bytes lie.
raft::Index LastBeyond(const storage::Log& log, raft::Index first, raft::Index last,
                       std::uint64_t keep) {
  while (first < last) {
    const raft::Index middle = first + (last - first + 1) / 2;
    if (log.BytesAfter(middle) >= keep) {
      first = middle;
    } else {
      last = middle - 1;
    }
  }
  return first;
}

}  // namespace

// What a look at the disk finds, off the loop.
struct Replica::Look {
  // In.
  std::uint64_t retain_bytes = 0;
  raft::Index keep_for_followers = 0;  // they need what follows
  // Out.
  DiskUse use;
  raft::Position cut_point;
  raft::Index worth_a_snapshot = 0;  // a follower that lacks what follows is better off with one
};

void Replica::LookAtDisk(raft::Time now) {
  next_look_ = now + options_.check_every;
  NoteStuckDisk(now);
  RemoveRetired();
  if (looking_ || shutting_down_) return;
  looking_ = true;
  written_since_look_ = 0;
  auto look = std::make_shared<Look>();
  look->retain_bytes = disk_use_.full.empty() ? options_.log_retain_bytes : 0;
  look->keep_for_followers = KeepForFollowers();
  const raft::Index start = core_.log().start().index;
  host_.Run(
      Lane::kPrepare,
      [this, look, state = state_, start] {
        DiskUse& use = look->use;
        use.log = log_->stats();
        use.flushed = state->flushed().index;
        use.database_bytes = state->disk_bytes();
        const auto free = files_.FreeBytes(directory_.log_path());
        use.free_bytes = free ? *free : 0;
        use.log_bytes_unflushed = log_->BytesAfter(use.flushed);
        const bool broken = raft::Broken(options_.raft.control, raft::Control::kCutUnflushed);
        const raft::Index limit = std::max(broken ? state->applied().index : use.flushed, start);
        const raft::Index spare = LastBeyond(*log_, start, limit, look->retain_bytes);
        const raft::Index most = LastBeyond(*log_, start, limit, options_.log_max_bytes);
        look->cut_point = log_->CutPoint(std::max(std::min(spare, look->keep_for_followers), most));
        look->worth_a_snapshot =
            LastBeyond(*log_, start, state->applied().index,
                       std::max(options_.snapshot_worth_bytes, use.database_bytes));
      },
      [this, look] {
        looking_ = false;
        OnLooked(*look);
        host_.PumpSoon();
      });
}

void Replica::OnLooked(Look& look) {
  look.use.full = std::move(disk_use_.full);
  look.use.snapshot_bytes = sender_.kept_bytes();
  disk_use_ = std::move(look.use);
  core_.PreferSnapshotBelow(std::min(look.worth_a_snapshot, applied_));
  if (look.cut_point.index > core_.log().start().index && look.cut_point.index <= applied_) {
    CutLog(look.cut_point);
  }
  // On a full disk too, so that more of the log can go; but not where the flush itself may find no
  // room, and stop the database.
  const bool makes_room = !disk_use_.full.empty() && disk_use_.log_bytes_unflushed > 0 &&
                          disk_use_.free_bytes > disk_use_.log_bytes_unflushed;
  if (disk_use_.log_bytes_unflushed >= options_.flush_bytes || makes_room) FlushState();
  log_room_.retry = state_room_.retry = true;  // there may be room now
  if (spare_has_no_room_ || log_->WantsSpare()) PrepareSpare();
  JudgeDisk();
}

// What live followers lack, and what follows the snapshot that one of them is fetching.
raft::Index Replica::KeepForFollowers() const {
  raft::Index keep = applied_;
  const raft::Time now = host_.Now();
  for (const auto& [id, peer] : core_.progress()) {
    if (now - peer.last_heard > options_.raft.election) continue;
    const bool fetching = peer.state == raft::ProgressState::kSnapshot;
    // The one that it is fetching may be older than the newest.
    const raft::Index offered = peer.offered > 0 ? peer.offered : core_.kept_snapshot().index;
    keep = std::min(keep, fetching ? offered : peer.match);
  }
  return keep;
}

void Replica::CutLog(raft::Position start) {
  if (preparing_) return;  // the lane is busy with a spare segment; the next look cuts
  preparing_ = true;
  ++counters_.log_cuts;
  core_.OnLogCut(start);  // before it is gone: nobody may ask for it any more
  auto status = std::make_shared<storage::Status>();
  host_.Run(
      Lane::kPrepare, [this, start, status] { *status = log_->Cut(start); },
      [this, status] {
        preparing_ = false;
        if (!*status) return host_.Fatal("the log could not be cut: " + status->error().message);
        MaybeFinishShutdown();
      });
}

// Beside apply: the state machine goes on.
void Replica::FlushState() {
  if (flushing_) return;
  flushing_ = true;
  auto status = std::make_shared<storage::Status>();
  host_.Run(
      Lane::kSnapshot, [state = state_, status] { *status = state->Flush(); },
      [this, status] {
        flushing_ = false;
        if (!*status) {
          const storage::Error& error = status->error();
          const std::string what = "the database could not be flushed: " + error.message;
          if (error.code == storage::ErrorCode::kCorrupt) return Quarantine(what);
          if (error.code != storage::ErrorCode::kNoSpace) return host_.Fatal(what);
        }
        MaybeFinishShutdown();
      });
}

void Replica::PrepareSpare() {
  if (preparing_) return;
  preparing_ = true;
  auto status = std::make_shared<storage::Status>();
  host_.Run(
      Lane::kPrepare, [this, status] { *status = log_->PrepareSpare(); },
      [this, status] {
        preparing_ = false;
        // Another failure is no harm yet: Append() makes the segment itself when it needs one, and
        // then the error counts.
        spare_has_no_room_ = !*status && status->error().code == storage::ErrorCode::kNoSpace;
        JudgeDisk();
        MaybeFinishShutdown();
      });
}

// What is unflushed needs as much again when it is flushed. A quarter more to come back, or each
// write would change the answer.
std::uint64_t Replica::FreeBytesNeeded() const {
  return options_.min_free_bytes + disk_use_.log_bytes_unflushed +
         (disk_use_.full.empty() ? 0 : options_.min_free_bytes / 4);
}

// A fast writer fills a small disk between two looks: each byte may be one less that is free, and
// is one more to flush.
void Replica::NoteWritten(std::size_t bytes) {
  written_since_look_ += bytes;
  if (disk_use_.free_bytes < FreeBytesNeeded() + 2 * written_since_look_) {
    next_look_ = std::min(next_look_, host_.Now() + options_.check_every / 50);
  }
}

// Refuses entries before the disk is so full that the log stops in the middle of them.
void Replica::JudgeDisk() {
  std::string full;
  const std::uint64_t needed = FreeBytesNeeded();
  if (log_room_.lacking || spare_has_no_room_) {
    full = "no room for another log segment";
  } else if (state_room_.lacking) {
    full = "no room for the database";
  } else if (disk_use_.log.segments > 0 && disk_use_.free_bytes < needed) {
    full = std::to_string(disk_use_.free_bytes) + " bytes are free, and " + std::to_string(needed) +
           " must be (--min-free-bytes, and what the database will flush)";
  }
  // Room that comes and goes, such as a failed flush's own, is none: it must last until the next
  // look.
  const raft::Time now = host_.Now();
  if (!full.empty() || disk_use_.full.empty()) room_since_.reset();
  if (full.empty() && !disk_use_.full.empty()) {
    if (!room_since_) room_since_ = now;
    if (now - *room_since_ < options_.check_every / 2) return;
  }
  if (full.empty() != disk_use_.full.empty()) {
    if (full.empty()) {
      Report(News::kGood, "the disk has room again: writes are taken");
    } else {
      Report(News::kBad, "the disk of " + directory_.log_path() + " is full: " + full +
                             ". This node takes no writes until there is room; reads go on");
    }
  }
  disk_use_.full = std::move(full);
  core_.OnDiskFull(!disk_use_.full.empty());
}

void Replica::NoteStuckDisk(raft::Time now) {
  const bool stuck = core_.DiskStuck(now) && !log_room_.lacking;  // a full one is no news
  if (stuck == disk_was_stuck_) return;
  disk_was_stuck_ = stuck;
  if (stuck) {
    Report(
        News::kBad,
        "the log's disk is stuck: a write has not completed for longer than an election timeout. "
        "This node leads nobody and votes for nobody until it does");
  } else {
    Report(News::kGood, "the log's disk moves again");
  }
}

void Replica::NoteSlowSync(raft::Duration took) {
  const raft::Time now = host_.Now();
  if (took < options_.raft.election || now < slow_noted_ + kSlowSyncsNotedEvery) return;
  slow_noted_ = now;
  Report(News::kBad,
         "the log's disk is slow: one write took " + std::to_string(took.count() / 1000) + " ms");
}

}  // namespace quorate::server
