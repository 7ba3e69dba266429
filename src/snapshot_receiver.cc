#include <algorithm>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "src/replica.h"
#include "src/snapshot_transfer.h"
#include "storage/files.h"

namespace quorate::server {
namespace {

// A file whose checksum is wrong is fetched again so often.
constexpr int kMaxAttempts = 3;
constexpr raft::Duration kRateSampledEvery{500'000};

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

  void OnOffer(raft::NodeId from, std::uint64_t snapshot, raft::Position position) {
    const raft::Time now = host_.Now();
    if (stage_ != Stage::kIdle || now < not_before_) return;
    stage_ = Stage::kManifest;
    from_ = from;
    snapshot_ = snapshot;
    position_ = position;
    encoded_.clear();
    moved_ = now;
    AskForManifest(now);
  }

  void OnReply(raft::NodeId from, const SnapshotReply& reply) {
    if (from != from_ || reply.snapshot != snapshot_) return;
    if (stage_ != Stage::kManifest && stage_ != Stage::kPieces) return;
    if (reply.gone) return GiveUp("node " + std::to_string(from_) + " no longer keeps it");
    if (reply.file == kManifestFile) {
      OnManifestPart(reply);
    } else {
      OnPiece(reply);
    }
  }

  void Finished() {
    stage_ = Stage::kIdle;
    plan_.clear();
    pieces_.clear();
    incoming_.reset();
    Run(
        [&files = files_, path = directory_.next_database_path(),
         manifest = directory_.incoming_manifest_path()] {
          // What cannot be removed now is in nobody's way: the next snapshot makes use of it.
          static_cast<void>(storage::RemoveTree(files, path));
          static_cast<void>(files.Remove(manifest));
        },
        [] {});
  }

  raft::Time NextDeadline() const {
    if (stage_ == Stage::kManifest) return std::min(asked_ + options_.retry, GiveUpAt());
    if (stage_ != Stage::kPieces) return raft::Time::max();
    raft::Time next = GiveUpAt();
    for (const auto& [number, piece] : pieces_) {
      if (!piece.arrived) next = std::min(next, piece.asked + options_.retry);
    }
    if (next_to_ask_ < plan_.size() && WindowOpen()) next = std::min(next, next_send_);
    return next;
  }

  void Tick(raft::Time now) {
    if (stage_ != Stage::kManifest && stage_ != Stage::kPieces) return;
    if (now >= GiveUpAt()) {
      return GiveUp("node " + std::to_string(from_) + " has not answered for too long");
    }
    if (stage_ == Stage::kManifest) {
      if (now >= asked_ + options_.retry) AskForManifest(now);
      return;
    }
    for (auto& [number, piece] : pieces_) {
      if (!piece.arrived && now >= piece.asked + options_.retry) Ask(number, piece, now);
    }
    AskForPieces(now);
  }

  std::optional<SnapshotProgress> progress() const {
    if (stage_ == Stage::kIdle || !manifest_) return std::nullopt;
    return SnapshotProgress{.from = from_,
                            .snapshot = snapshot_,
                            .position = position_,
                            .received = received_,
                            .total = manifest_->bytes(),
                            .rate = rate_,
                            .verifying = stage_ == Stage::kChecking || stage_ == Stage::kReady};
  }
  bool busy() const { return jobs_ > 0; }

 private:
  enum class Stage { kIdle, kManifest, kOpening, kPieces, kChecking, kReady };
  // Asked for, or here and waiting for those before it.
  struct Piece {
    raft::Time asked{0};
    bool arrived = false;
    Bytes data;
  };

  raft::Time GiveUpAt() const { return moved_ + options_.give_up; }

  // What has been fetched stays: the next offer goes on with it.
  void GiveUp(const std::string& why) {
    stage_ = Stage::kIdle;
    plan_.clear();
    pieces_.clear();
    not_before_ = host_.Now() + options_.retry;
    problem_("a snapshot cannot be fetched: " + why);
  }

  void GiveUp(const storage::Error& error) {
    if (error.code == storage::ErrorCode::kIo) {
      return host_.Fatal("a snapshot could not be written: " + error.message);
    }
    GiveUp(error.message);
  }

  // ---- The manifest ----

  void AskForManifest(raft::Time now) {
    asked_ = now;
    host_.SendSnapshot(
        from_, SnapshotRequest{snapshot_, kManifestFile, encoded_.size(), kSnapshotChunkBytes});
  }

  void OnManifestPart(const SnapshotReply& reply) {
    const bool next = reply.offset == encoded_.size() && !reply.data.empty() &&
                      reply.total <= storage::kMaxManifestBytes &&
                      encoded_.size() + reply.data.size() <= reply.total;
    if (stage_ != Stage::kManifest || !next) return;
    moved_ = host_.Now();
    encoded_ += reply.data.view();
    if (encoded_.size() < reply.total) return AskForManifest(moved_);
    auto manifest = storage::Manifest::Decode(encoded_);
    if (!manifest) return GiveUp(manifest.error().message);
    if (const std::string why = WhyUseless(*manifest); !why.empty()) return GiveUp(why);
    manifest_ = std::move(*manifest);
    attempts_ = 0;
    Open();
  }

  std::string WhyUseless(const storage::Manifest& manifest) const {
    if (manifest.cluster_id != directory_.identity().cluster_id) {
      return "node " + std::to_string(from_) + " offers a snapshot of another cluster";
    }
    if (manifest.id != snapshot_ || manifest.mark.position != position_) {
      return "node " + std::to_string(from_) + " offers a snapshot and sends another";
    }
    return "";
  }

  // ---- The pieces ----

  struct Opened {
    storage::Status status;
    std::shared_ptr<storage::IncomingSnapshot> incoming;
    std::vector<storage::Chunk> plan;
    std::uint64_t received = 0;
  };

  static void MakePlan(Opened& opened) {
    opened.incoming->Rewind();
    while (const auto chunk = opened.incoming->Next(kSnapshotChunkBytes)) {
      opened.plan.push_back(*chunk);
    }
    opened.received = opened.incoming->received();
  }

  // For people, and for quorate-inspect; going on after a restart needs only the files themselves.
  static storage::Status NoteManifest(storage::FileSystem& files, const std::string& path,
                                      std::string_view encoded) {
    const auto exists = files.Exists(path);
    if (!exists) return storage::Forward(exists);
    if (*exists) QUORATE_RETURN_IF_ERROR(files.Remove(path));
    const auto file = files.Open(path, storage::OpenMode::kCreate);
    if (!file) return storage::Forward(file);
    return (*file)->Write(0, encoded);
  }

  void Open() {
    stage_ = Stage::kOpening;
    auto opened = std::make_shared<Opened>();
    Run(
        [opened, &files = files_, path = directory_.next_database_path(),
         note = directory_.incoming_manifest_path(), encoded = encoded_, manifest = *manifest_] {
          opened->status = NoteManifest(files, note, encoded);
          if (!opened->status) return;
          auto incoming = storage::IncomingSnapshot::Open(files, path, manifest);
          if (!incoming) {
            opened->status = storage::Forward(incoming);
            return;
          }
          opened->incoming = std::make_shared<storage::IncomingSnapshot>(std::move(*incoming));
          MakePlan(*opened);
        },
        [this, opened] {
          if (!opened->status) return GiveUp(opened->status.error());
          incoming_ = opened->incoming;
          Begin(*opened);
        });
  }

  void Begin(Opened& opened) {
    const raft::Time now = host_.Now();
    stage_ = Stage::kPieces;
    plan_ = std::move(opened.plan);
    pieces_.clear();
    next_to_ask_ = next_to_write_ = written_ = 0;
    received_ = opened.received;
    moved_ = next_send_ = sampled_at_ = now;
    sampled_bytes_ = received_;
    if (plan_.empty()) return Check();
    AskForPieces(now);
  }

  bool WindowOpen() const { return next_to_ask_ - written_ < options_.window; }

  void AskForPieces(raft::Time now) {
    while (next_to_ask_ < plan_.size() && WindowOpen() && now >= next_send_) {
      const std::size_t number = next_to_ask_++;
      Ask(number, pieces_[number], now);
      const auto microseconds = plan_[number].bytes * 1'000'000 / options_.rate;
      next_send_ = std::max(next_send_, now - raft::Duration(10'000)) +
                   raft::Duration(static_cast<std::int64_t>(microseconds));
    }
  }

  void Ask(std::size_t number, Piece& piece, raft::Time now) {
    piece.asked = now;
    const storage::Chunk& chunk = plan_[number];
    host_.SendSnapshot(from_, SnapshotRequest{snapshot_, chunk.file, chunk.offset, chunk.bytes});
  }

  void OnPiece(const SnapshotReply& reply) {
    if (stage_ != Stage::kPieces) return;
    const auto found = std::find_if(pieces_.begin(), pieces_.end(), [&](const auto& item) {
      const storage::Chunk& chunk = plan_[item.first];
      return chunk.file == reply.file && chunk.offset == reply.offset;
    });
    if (found == pieces_.end() || found->second.arrived) return;
    if (reply.data.size() != plan_[found->first].bytes) return;
    found->second.arrived = true;
    found->second.data = reply.data;
    moved_ = host_.Now();
    received_ += reply.data.size();
    Sample(moved_);
    WriteArrived();
    AskForPieces(moved_);
  }

  void Sample(raft::Time now) {
    const auto since = (now - sampled_at_).count();
    if (since < kRateSampledEvery.count()) return;
    rate_ = (received_ - sampled_bytes_) * 1'000'000 / static_cast<std::uint64_t>(since);
    sampled_at_ = now;
    sampled_bytes_ = received_;
  }

  void WriteArrived() {
    for (auto it = pieces_.find(next_to_write_); it != pieces_.end() && it->second.arrived;
         it = pieces_.find(next_to_write_)) {
      auto status = std::make_shared<storage::Status>();
      Run([incoming = incoming_, status, chunk = plan_[next_to_write_],
           data = std::move(it->second.data)] { *status = incoming->Write(chunk, data.view()); },
          [this, status, incoming = incoming_.get()] {
            if (stage_ != Stage::kPieces || incoming != incoming_.get()) return;  // given up
            if (!*status) return GiveUp(status->error());
            ++written_;
            if (written_ == plan_.size()) return Check();
            AskForPieces(host_.Now());
          });
      pieces_.erase(it);
      ++next_to_write_;
    }
  }

  // ---- The end ----

  void Check() {
    stage_ = Stage::kChecking;
    if (raft::Broken(options_.control, raft::Control::kInstallNotAtomic)) return Ready();
    auto opened = std::make_shared<Opened>();
    opened->incoming = incoming_;
    Run(
        [opened] {
          opened->status = opened->incoming->Finish();
          if (!opened->status) MakePlan(*opened);
        },
        [this, opened] {
          if (opened->status) return Ready();
          const storage::Error& error = opened->status.error();
          const bool again = error.code == storage::ErrorCode::kCorrupt;
          if (!again || ++attempts_ >= kMaxAttempts) return GiveUp(error);
          problem_("a snapshot arrived damaged, and what is wrong is fetched again: " +
                   error.message);
          Begin(*opened);
        });
  }

  void Ready() {
    stage_ = Stage::kReady;
    ready_(*manifest_);
  }

  void Run(std::function<void()> work, std::function<void()> done) {
    ++jobs_;
    host_.Run(Lane::kSnapshot, std::move(work), [this, done = std::move(done)] {
      --jobs_;
      done();
    });
  }

  const SnapshotOptions options_;
  Host& host_;
  storage::FileSystem& files_;
  storage::DataDir& directory_;
  const ReadyCallback ready_;
  const std::function<void(const std::string&)> problem_;

  Stage stage_ = Stage::kIdle;
  raft::NodeId from_ = raft::kNoNode;
  std::uint64_t snapshot_ = 0;
  raft::Position position_;
  raft::Time asked_{0};       // for the manifest
  raft::Time moved_{0};       // the last time that something arrived
  raft::Time not_before_{0};  // after giving up
  std::string encoded_;
  std::optional<storage::Manifest> manifest_;
  int attempts_ = 0;

  std::shared_ptr<storage::IncomingSnapshot> incoming_;  // the lane's
  std::vector<storage::Chunk> plan_;
  std::map<std::size_t, Piece> pieces_;  // by number in the plan
  std::size_t next_to_ask_ = 0;
  std::size_t next_to_write_ = 0;
  std::size_t written_ = 0;
  raft::Time next_send_{0};

  std::uint64_t received_ = 0;
  std::uint64_t rate_ = 0;
  raft::Time sampled_at_{0};
  std::uint64_t sampled_bytes_ = 0;
  std::size_t jobs_ = 0;
};

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
void SnapshotReceiver::Finished() {
  impl_->Finished();
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
