#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

#include "src/replica.h"
#include "src/snapshot_transfer.h"
#include "storage/files.h"

namespace quorate::server {
namespace {

using storage::ErrorCode;
using storage::IncomingSnapshot;
using storage::Manifest;

constexpr int kMaxFinishes = 3;
// After an attempt that failed on this side, a pause: what was in its way may pass.
constexpr raft::Duration kPause{1'000'000};
// How far requests may get ahead of the rate after a pause in them.
constexpr raft::Duration kBurst{20'000};
constexpr raft::Duration kRateMeasuredOver{1'000'000};

raft::Duration TimeFor(std::uint64_t bytes, std::uint64_t rate) {
  return raft::Duration(
      static_cast<std::int64_t>(bytes * 1'000'000 / std::max<std::uint64_t>(rate, 1)));
}

std::string Name(std::uint64_t snapshot, raft::NodeId from) {
  return "snapshot " + std::to_string(snapshot) + " of node " + std::to_string(from);
}

}  // namespace

class SnapshotReceiver::Impl {
 public:
  Impl(const SnapshotOptions& options, Host& host, storage::FileSystem& files,
       storage::DataDir& directory, ReadyCallback ready,
       std::function<void(const std::string&)> problem)
      : options_(options),
        host_(host),
        files_(files),
        directory_(directory),
        ready_(std::move(ready)),
        problem_(std::move(problem)) {}

  void OnOffer(raft::NodeId from, std::uint64_t snapshot, raft::Position position);
  void OnReply(raft::NodeId from, const SnapshotReply& reply);
  void Finished(bool useless);
  raft::Time NextDeadline() const;
  void Tick(raft::Time now);
  std::optional<SnapshotProgress> progress() const;
  bool busy() const { return jobs_ > 0; }

 private:
  enum class State {
    kIdle,
    kManifest,   // asking for the manifest
    kFetching,   // asking for files; beside it, at most one job on the lane
    kVerifying,  // on the lane
    kReady,      // until Finished()
  };

  // Asked for, or to be asked for. In the order in which they are written.
  struct Piece {
    SnapshotRequest request;
    std::optional<raft::Time> asked_at;
    std::optional<Bytes> data;
  };

  // One turn on the lane: writes what has arrived, then says what is to be asked for next.
  struct Turn {
    std::vector<Piece> writes;
    std::size_t more = 0;  // pieces to hand out
    storage::Status status;
    std::vector<storage::Chunk> chunks;
    std::uint64_t received = 0;
    bool complete = false;
  };
  using Incoming = std::shared_ptr<std::optional<IncomingSnapshot>>;  // for the lane alone

  void RunOnLane(std::function<void()> work, std::function<void()> done);
  bool Expected(raft::NodeId from, const SnapshotReply& reply) const;
  void OnManifestPiece(const SnapshotReply& reply);
  void OpenIncoming();
  void StartTurn();
  void OnTurn(const Turn& turn);
  void Verify();
  void OnVerified(const storage::Status& status);
  void AskForManifest(std::uint64_t offset);
  void AskWhatIsDue(raft::Time now);
  bool Due(const Piece& piece, raft::Time now) const;
  bool Failed(const storage::Status& status);
  void Refuse(const std::string& why);
  void Abandon(const std::string& why);
  void Report(const std::string& what);
  void RemoveFiles();
  void MeasureRate(raft::Time now, std::uint64_t bytes);

  const SnapshotOptions options_;
  Host& host_;
  storage::FileSystem& files_;
  storage::DataDir& directory_;
  const ReadyCallback ready_;
  const std::function<void(const std::string&)> problem_;

  State state_ = State::kIdle;
  std::uint64_t attempt_ = 0;  // what jobs of older ones find is of no interest
  std::size_t jobs_ = 0;
  bool turn_running_ = false;
  raft::NodeId from_ = raft::kNoNode;
  std::uint64_t snapshot_ = 0;
  raft::Position position_;
  std::string manifest_text_;
  std::uint64_t manifest_total_ = 0;
  Manifest manifest_;
  Incoming incoming_;
  std::deque<Piece> pieces_;  // together with those being written at most options_.window
  std::uint64_t received_ = 0;
  bool handed_out_all_ = false;
  int finishes_ = 0;

  raft::Time last_progress_{0};
  raft::Time paid_until_{0};  // what has been asked for is within the rate until then
  raft::Time not_before_{0};
  std::uint64_t refused_ = 0;  // the snapshot that was refused last
  std::string reported_;
  raft::Time measured_from_{0};
  std::uint64_t measured_bytes_ = 0;
  std::uint64_t rate_ = 0;
};

void SnapshotReceiver::Impl::RunOnLane(std::function<void()> work, std::function<void()> done) {
  ++jobs_;
  host_.Run(Lane::kSnapshot, std::move(work), [this, attempt = attempt_, done = std::move(done)] {
    --jobs_;
    if (done && attempt == attempt_) done();
  });
}

void SnapshotReceiver::Impl::OnOffer(raft::NodeId from, std::uint64_t snapshot,
                                     raft::Position position) {
  const raft::Time now = host_.Now();
  if (now < not_before_ || snapshot == refused_) return;
  if (state_ == State::kReady || state_ == State::kVerifying) return;
  if (state_ != State::kIdle) {
    const bool same = from == from_ && snapshot == snapshot_;
    if (same || turn_running_ || now - last_progress_ < 2 * options_.retry) return;
  }
  ++attempt_;
  turn_running_ = false;
  state_ = State::kManifest;
  from_ = from;
  snapshot_ = snapshot;
  position_ = position;
  manifest_text_.clear();
  manifest_total_ = 0;
  manifest_ = {};
  incoming_.reset();
  received_ = 0;
  finishes_ = 0;
  last_progress_ = measured_from_ = now;
  measured_bytes_ = rate_ = 0;
  AskForManifest(0);
}

void SnapshotReceiver::Impl::AskForManifest(std::uint64_t offset) {
  pieces_.clear();
  pieces_.push_back({{snapshot_, kManifestFile, offset, kSnapshotChunkBytes}, {}, {}});
  AskWhatIsDue(host_.Now());
}

// Replies come late, twice, and from nodes that were given up.
bool SnapshotReceiver::Impl::Expected(raft::NodeId from, const SnapshotReply& reply) const {
  const bool asking = state_ == State::kManifest || state_ == State::kFetching;
  return asking && from == from_ && reply.snapshot == snapshot_;
}

void SnapshotReceiver::Impl::OnReply(raft::NodeId from, const SnapshotReply& reply) {
  if (!Expected(from, reply)) return;
  if (reply.gone) return Abandon(Name(snapshot_, from_) + " is no longer kept there");
  const auto piece = std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& asked) {
    return asked.asked_at && !asked.data && asked.request.file == reply.file &&
           asked.request.offset == reply.offset;
  });
  if (piece == pieces_.end()) return;
  if (state_ == State::kManifest) return OnManifestPiece(reply);
  const bool fits =
      reply.data.size() == piece->request.bytes && reply.total == manifest_.files[reply.file].bytes;
  if (!fits) return;
  const raft::Time now = host_.Now();
  last_progress_ = now;
  MeasureRate(now, reply.data.size());
  piece->data = reply.data;
  StartTurn();
}

void SnapshotReceiver::Impl::OnManifestPiece(const SnapshotReply& reply) {
  if (reply.total == 0 || reply.total > storage::kMaxManifestBytes) {
    return Refuse("its manifest has " + std::to_string(reply.total) + " bytes, the limit is " +
                  std::to_string(storage::kMaxManifestBytes));
  }
  if (manifest_text_.empty()) manifest_total_ = reply.total;
  const bool fits =
      reply.total == manifest_total_ && reply.offset < reply.total &&
      reply.data.size() == std::min<std::uint64_t>(kSnapshotChunkBytes, reply.total - reply.offset);
  if (!fits) return;
  last_progress_ = host_.Now();
  manifest_text_ += reply.data.view();
  if (manifest_text_.size() < manifest_total_) return AskForManifest(manifest_text_.size());
  pieces_.clear();
  OpenIncoming();
}

// The manifest comes first, durably: a restart knows by it that what is in the directory is wanted.
void SnapshotReceiver::Impl::OpenIncoming() {
  auto manifest = Manifest::Decode(manifest_text_);
  if (!manifest) return Refuse(manifest.error().message);
  if (manifest->cluster_id != directory_.identity().cluster_id) {
    return Refuse("it is of another cluster; check --cluster and --cluster-name there");
  }
  if (manifest->id != snapshot_ || manifest->mark.position != position_) {
    return Refuse("it is not the snapshot that was offered");
  }
  if (manifest->files.size() > storage::kMaxSnapshotFiles) {
    return Refuse("it has " + std::to_string(manifest->files.size()) + " files, the limit is " +
                  std::to_string(storage::kMaxSnapshotFiles));
  }
  manifest_ = std::move(*manifest);
  state_ = State::kFetching;
  turn_running_ = true;
  incoming_ = std::make_shared<std::optional<IncomingSnapshot>>();
  auto status = std::make_shared<storage::Status>();
  RunOnLane(
      [incoming = incoming_, status, &files = files_, manifest = manifest_,
       text = std::move(manifest_text_), path = directory_.incoming_manifest_path(),
       database = directory_.next_database_path()] {
        const std::size_t slash = path.rfind('/');
        *status = storage::ReplaceFile(files, path.substr(0, slash), path.substr(slash + 1), text);
        if (!*status) return;
        auto opened = IncomingSnapshot::Open(files, database, manifest);
        if (opened) {
          incoming->emplace(std::move(*opened));
        } else {
          *status = storage::Forward(opened);
        }
      },
      [this, status] {
        turn_running_ = false;
        if (Failed(*status)) return;
        handed_out_all_ = false;
        StartTurn();
      });
}

// Writes from the front only: a file grows without holes, which is how it can be gone on with.
void SnapshotReceiver::Impl::StartTurn() {
  if (turn_running_) return;
  auto turn = std::make_shared<Turn>();
  while (!pieces_.empty() && pieces_.front().data) {
    turn->writes.push_back(std::move(pieces_.front()));
    pieces_.pop_front();
  }
  if (turn->writes.empty() && (handed_out_all_ || !pieces_.empty())) return;
  turn->more = options_.window - std::min(options_.window, pieces_.size());
  turn_running_ = true;
  RunOnLane(
      [incoming = incoming_, turn] {
        IncomingSnapshot& snapshot = **incoming;
        for (const Piece& piece : turn->writes) {
          const SnapshotRequest& asked = piece.request;
          const storage::Chunk chunk{static_cast<std::size_t>(asked.file), asked.offset,
                                     static_cast<std::size_t>(asked.bytes)};
          turn->status = snapshot.Write(chunk, piece.data->view());
          if (!turn->status) return;
        }
        turn->writes.clear();
        while (turn->chunks.size() < turn->more) {
          const auto chunk = snapshot.Next(kSnapshotChunkBytes);
          if (!chunk) break;
          turn->chunks.push_back(*chunk);
        }
        turn->received = snapshot.received();
        turn->complete = snapshot.complete();
      },
      [this, turn] {
        turn_running_ = false;
        if (!Failed(turn->status)) OnTurn(*turn);
      });
}

void SnapshotReceiver::Impl::OnTurn(const Turn& turn) {
  const raft::Time now = host_.Now();
  last_progress_ = now;
  received_ = turn.received;
  handed_out_all_ = turn.chunks.size() < turn.more;
  for (const storage::Chunk& chunk : turn.chunks) {
    pieces_.push_back({{snapshot_, chunk.file, chunk.offset, chunk.bytes}, {}, {}});
  }
  if (turn.complete) return Verify();
  AskWhatIsDue(now);
  StartTurn();  // what arrived meanwhile
}

void SnapshotReceiver::Impl::Verify() {
  state_ = State::kVerifying;
  if (raft::Broken(options_.control, raft::Control::kInstallNotAtomic)) return OnVerified({});
  ++finishes_;
  auto status = std::make_shared<storage::Status>();
  RunOnLane([incoming = incoming_, status] { *status = (*incoming)->Finish(); },
            [this, status] { OnVerified(*status); });
}

void SnapshotReceiver::Impl::OnVerified(const storage::Status& status) {
  last_progress_ = host_.Now();
  if (!status && status.error().code == ErrorCode::kCorrupt) {
    if (finishes_ >= kMaxFinishes) {
      const std::string why = status.error().message + ", and that again after fetching them anew";
      RemoveFiles();
      return Refuse(why);
    }
    Report(Name(snapshot_, from_) +
           " has arrived damaged, and what is wrong is fetched again: " + status.error().message);
    state_ = State::kFetching;
    handed_out_all_ = false;
    return StartTurn();
  }
  if (Failed(status)) return;
  state_ = State::kReady;
  incoming_.reset();
  reported_.clear();
  ready_(manifest_);
}

// True: this attempt is over.
bool SnapshotReceiver::Impl::Failed(const storage::Status& status) {
  if (status) return false;
  const storage::Error& error = status.error();
  if (error.code == ErrorCode::kNoSpace) {
    not_before_ = host_.Now() + kPause;
    Abandon("there is no room for " + Name(snapshot_, from_) + ": " + error.message +
            "; what has been fetched is kept, make room and fetching goes on");
  } else {
    host_.Fatal("a snapshot cannot be written: " + error.message);
  }
  return true;
}

void SnapshotReceiver::Impl::Refuse(const std::string& why) {
  refused_ = snapshot_;
  Abandon(Name(snapshot_, from_) + " is refused: " + why);
}

void SnapshotReceiver::Impl::Abandon(const std::string& why) {
  ++attempt_;
  state_ = State::kIdle;
  turn_running_ = false;
  pieces_.clear();
  incoming_.reset();
  manifest_text_.clear();
  Report(why);
}

void SnapshotReceiver::Impl::Report(const std::string& what) {
  if (std::exchange(reported_, what) != what && problem_) problem_(what);
}

// After an install next_database_path() is another one already, and what was fetched stays.
void SnapshotReceiver::Impl::RemoveFiles() {
  auto status = std::make_shared<storage::Status>();
  RunOnLane(
      [&files = files_, manifest = directory_.incoming_manifest_path(),
       database = directory_.next_database_path()] {
        // What a failure leaves is replaced by the next snapshot, or removed at the next start.
        if (storage::RemoveTree(files, database)) (void)storage::RemoveIfExists(files, manifest);
      },
      nullptr);
}

void SnapshotReceiver::Impl::Finished(bool useless) {
  if (useless) refused_ = snapshot_;
  ++attempt_;
  state_ = State::kIdle;
  turn_running_ = false;
  pieces_.clear();
  incoming_.reset();
  RemoveFiles();
}

bool SnapshotReceiver::Impl::Due(const Piece& piece, raft::Time now) const {
  return !piece.data && (!piece.asked_at || *piece.asked_at + options_.retry <= now);
}

void SnapshotReceiver::Impl::AskWhatIsDue(raft::Time now) {
  for (Piece& piece : pieces_) {
    if (paid_until_ > now) return;
    if (!Due(piece, now)) continue;
    piece.asked_at = now;
    // A manifest is small, whatever was asked for: at a low rate, paying for all of that would
    // leave no time for the files before the next offer.
    const std::uint64_t bytes = piece.request.file == kManifestFile ? 0 : piece.request.bytes;
    paid_until_ = std::max(paid_until_, now - kBurst) + TimeFor(bytes, options_.rate);
    host_.SendSnapshot(from_, piece.request);
  }
}

raft::Time SnapshotReceiver::Impl::NextDeadline() const {
  raft::Time next = raft::Time::max();
  for (const Piece& piece : pieces_) {
    if (piece.data) continue;
    const raft::Time due = piece.asked_at ? *piece.asked_at + options_.retry : raft::Time(0);
    next = std::min(next, std::max(due, paid_until_));
  }
  if (!pieces_.empty() && !turn_running_) {
    next = std::min(next, last_progress_ + options_.give_up);
  }
  return next;
}

void SnapshotReceiver::Impl::Tick(raft::Time now) {
  if (pieces_.empty()) return;
  if (!turn_running_ && now >= last_progress_ + options_.give_up) {
    return Abandon("node " + std::to_string(from_) +
                   " sends nothing of its snapshot any more; "
                   "what has been fetched is kept for the next offer");
  }
  AskWhatIsDue(now);
}

void SnapshotReceiver::Impl::MeasureRate(raft::Time now, std::uint64_t bytes) {
  measured_bytes_ += bytes;
  const raft::Duration took = now - measured_from_;
  if (took < kRateMeasuredOver) return;
  rate_ = measured_bytes_ * 1'000'000 / static_cast<std::uint64_t>(took.count());
  measured_from_ = now;
  measured_bytes_ = 0;
}

std::optional<SnapshotProgress> SnapshotReceiver::Impl::progress() const {
  if (state_ == State::kIdle) return std::nullopt;
  return SnapshotProgress{.from = from_,
                          .snapshot = snapshot_,
                          .position = position_,
                          .received = received_,
                          .total = manifest_.bytes(),
                          .rate = rate_,
                          .verifying = state_ == State::kVerifying || state_ == State::kReady};
}

SnapshotReceiver::SnapshotReceiver(const SnapshotOptions& options, Host& host,
                                   storage::FileSystem& files, storage::DataDir& directory,
                                   ReadyCallback ready,
                                   std::function<void(const std::string&)> problem)
    : impl_(std::make_unique<Impl>(options, host, files, directory, std::move(ready),
                                   std::move(problem))) {}
SnapshotReceiver::~SnapshotReceiver() = default;

void SnapshotReceiver::OnOffer(raft::NodeId from, std::uint64_t snapshot, raft::Position position) {
  impl_->OnOffer(from, snapshot, position);
}
void SnapshotReceiver::OnReply(raft::NodeId from, const SnapshotReply& reply) {
  impl_->OnReply(from, reply);
}
void SnapshotReceiver::Finished(bool useless) {
  impl_->Finished(useless);
}
raft::Time SnapshotReceiver::NextDeadline() const {
  return impl_->NextDeadline();
}
void SnapshotReceiver::Tick(raft::Time now) {
  impl_->Tick(now);
}
std::optional<SnapshotProgress> SnapshotReceiver::progress() const {
  return impl_->progress();
}
bool SnapshotReceiver::busy() const {
  return impl_->busy();
}

}  // namespace quorate::server
