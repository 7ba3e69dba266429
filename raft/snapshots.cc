// What happens where the log ends: snapshots for followers that it no longer reaches (Raft 7), and
// a disk that has no room for more of it.
#include <algorithm>

#include "raft/assert.h"
#include "raft/raft.h"

namespace quorate::raft {
namespace {

// An offer that was not answered is repeated after this many heartbeats: it may be lost, and
// fetching takes its time.
constexpr int kOfferHeartbeats = 5;
// A snapshot that was preferred to a log that still reaches the follower, and has not arrived after
// so many election timeouts: one of the two disks may have no room for it, and the log does as
// well.
constexpr int kPreferredFor = 60;
// Entries that a node without room still takes, so that a new leader's first ones can commit. The
// log keeps as much free for them (storage::kReservedBytes).
constexpr std::size_t kFullDiskAllowance = 64 << 10;

}  // namespace

// --- The leader's side ---

bool Raft::LogReaches(const Progress& peer) const {
  return peer.next > log_.start().index;  // the entry before `next` has a term that is known
}

void Raft::OfferSnapshot(Time now, NodeId id, Progress& peer) {
  if (LogReaches(peer) && now - peer.snapshot_since > options_.election * kPreferredFor) {
    peer.prefer_log = true;
    return peer.BecomeProbe(peer.match + 1);
  }
  const Index floor = std::max(peer.snapshot_floor, log_.start().index);
  if (!kept_ || kept_->position.index < floor) {
    ready_.wants_snapshot = true;
    return;
  }
  if (now - peer.last_sent < options_.heartbeat * kOfferHeartbeats) return;
  peer.last_sent = now;
  peer.offered =
      peer.offered == 0 ? kept_->position.index : std::min(peer.offered, kept_->position.index);
  Send(id, SnapshotOffer{kept_->id, kept_->position});
}

void Raft::OnSnapshotKept(std::uint64_t snapshot, Position position) {
  kept_ = KeptSnapshot{snapshot, position};
}

void Raft::OnSnapshotDropped(std::uint64_t snapshot) {
  if (kept_ && kept_->id == snapshot) kept_.reset();
}

void Raft::OnLogCut(Position start) {
  QUORATE_ASSERT(start.index <= applied_, "only what is applied leaves the log");
  if (start.index > log_.start().index) log_.CutTo(start);
}

// --- The follower's side ---

void Raft::Handle(Time now, NodeId from, const SnapshotOffer& offer) {
  leader_heard_ = now;
  ResetElectionTimer(now);
  if (WantsInstalled(offer.position)) {
    ready_.offered = OfferedSnapshot{from, offer.snapshot, offer.position};
  } else {
    acknowledge_ = true;  // tells the leader how far this node has got without it
  }
}

// Never an older state over a newer log: what is committed here may have been acknowledged since.
bool Raft::WantsInstalled(Position position) const {
  return position.index > commit_ || Broken(options_.control, Control::kOldSnapshot);
}

void Raft::OnSnapshotInstalled(Time, const SnapshotMark& mark) {
  const Index index = mark.position.index;
  if (Broken(options_.control, Control::kOldSnapshot) && index <= commit_) {
    applied_ = index;
    return StartLogAt(mark);
  }
  QUORATE_ASSERT(index > applied_, "a snapshot never takes the state machine back");
  if (log_.Matches(mark.position)) {
    CommitTo(index);
  } else {
    QUORATE_ASSERT(index > commit_, "committed entries are never contradicted");
    QUORATE_ASSERT(AsLeader() == nullptr, "a leader's log holds everything committed");
    StartLogAt(mark);
  }
  applied_ = index;
  durable_ = std::max(durable_, index);  // as part of the state
  verified_ = std::max(verified_, index);
  acknowledge_ = true;
}

// Everything before `mark` is part of the state; what followed it here followed something else than
// what was committed.
void Raft::StartLogAt(const SnapshotMark& mark) {
  const Index index = mark.position.index;
  log_.Reset(mark.position);
  unwritten_.clear();
  reset_ = mark;
  configurations_ = {{index, mark.configuration}};
  for (Outstanding& batch : outstanding_) batch.last = std::min(batch.last, index);
  commit_ = durable_ = verified_ = index;
}

// --- Full disks ---

void Raft::OnDiskFull(bool full) {
  if (full && !disk_full_) full_allowance_ = kFullDiskAllowance;
  disk_full_ = full;
}

bool Raft::TakesOnFullDisk(const Entry& entry) {
  if (!disk_full_) return true;
  if (entry.ByteSize() > full_allowance_) return false;
  full_allowance_ -= entry.ByteSize();
  return true;
}

// Of this node, or of so many that the others which are there make no quorum. Where nobody says
// that its disk is full, no quorum is another matter.
bool Raft::DisksAreFull(Time now) const {
  if (disk_full_) return true;
  bool any = false;
  const auto has_room = [&](NodeId id) -> std::uint64_t {
    if (id == self_.id) return 1;
    const auto peer = AsLeader()->peers.find(id);
    if (peer == AsLeader()->peers.end()) return 0;
    any = any || peer->second.disk_full;
    return !peer->second.disk_full && now - peer->second.last_heard < options_.election ? 1 : 0;
  };
  return QuorumValue(configuration().voters, has_room) == 0 && any;
}

// Others can go on with writes: to the voter that lacks least.
void Raft::HandOverIfFull(Time now) {
  const Leader* leader = AsLeader();
  if (!disk_full_ || leader->transfer_to != kNoNode) return;
  NodeId best = kNoNode;
  Index match = 0;
  for (const auto& [id, peer] : leader->peers) {
    const bool able = configuration().IsVoter(id) && !peer.disk_full &&
                      peer.state == ProgressState::kReplicate &&
                      now - peer.last_heard < options_.election;
    if (!able || peer.match < match) continue;
    best = id;
    match = peer.match;
  }
  if (best != kNoNode) TransferLeadership(now, best);
}

}  // namespace quorate::raft
