#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "src/replica.h"
#include "src/snapshot_transfer.h"

namespace quorate::server {
namespace {

// Reads of one peer that wait for the disk; what is beyond is asked for again.
constexpr std::size_t kMaxQueuedReads = 8;
// The newest, and one that is still being fetched.
constexpr std::size_t kMaxKept = 2;

}  // namespace

class SnapshotSender::Impl {
 public:
  Impl(const SnapshotOptions& options, Host& host, storage::FileSystem& files,
       const storage::DataDir& directory)
      : options_(options),
        host_(host),
        store_(std::make_shared<storage::SnapshotStore>(files, directory.snapshots_path(),
                                                        directory.identity().cluster_id)) {}

  void Take(std::shared_ptr<storage::StateMachine> state,
            const raft::Configuration& unless_recorded, std::uint64_t id, Taken done) {
    auto taken = std::make_shared<storage::Result<storage::Manifest>>();
    ++takes_;
    Run([store = store_, taken, state = std::move(state), unless_recorded,
         id] { *taken = store->Take(*state, unless_recorded, id); },
        [this, taken, done = std::move(done)] {
          --takes_;
          if (*taken) {
            kept_.push_back({**taken, Bytes::Copy((*taken)->Encode()), host_.Now()});
            while (kept_.size() > kMaxKept) Drop(0);
          }
          done(*taken);
        });
  }
  bool taking() const { return takes_ > 0; }

  void OnRequest(raft::NodeId from, const SnapshotRequest& request) {
    std::size_t& queued = queued_[from];
    if (queued >= kMaxQueuedReads) return;
    ++queued;
    Read(request, [this, from](const SnapshotReply& reply) {
      --queued_[from];
      host_.SendSnapshot(from, reply);
    });
  }

  void Read(const SnapshotRequest& request, std::function<void(const SnapshotReply&)> done) {
    SnapshotReply reply{.snapshot = request.snapshot,
                        .file = request.file,
                        .offset = request.offset,
                        .gone = true,
                        .total = 0,
                        .data = {}};
    const auto kept = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& one) {
      return one.manifest.id == request.snapshot;
    });
    if (kept == kept_.end()) return done(reply);
    kept->last_asked = host_.Now();
    const std::size_t bytes = std::min<std::uint64_t>(request.bytes, kSnapshotChunkBytes);
    if (request.file == kManifestFile) {
      const std::string_view encoded = kept->encoded.view();
      reply.gone = request.offset > encoded.size();
      reply.total = encoded.size();
      if (!reply.gone) reply.data = Bytes::Copy(encoded.substr(request.offset, bytes));
      return done(reply);
    }
    if (request.file >= kept->manifest.files.size()) return done(reply);
    reply.total = kept->manifest.files[request.file].bytes;
    auto read = std::make_shared<storage::Result<std::string>>();
    Run([store = store_, read, request,
         bytes] { *read = store->Read(request.snapshot, request.file, request.offset, bytes); },
        [read, reply, done = std::move(done)]() mutable {
          reply.gone = !*read;
          if (*read) reply.data = Bytes::Copy(**read);
          done(reply);
        });
  }

  void OnDropped(std::function<void(std::uint64_t)> dropped) { dropped_ = std::move(dropped); }

  raft::Time NextDeadline() const {
    raft::Time next = raft::Time::max();
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      next = std::min(next, kept_[i].last_asked + Patience(i));
    }
    return next;
  }

  void Tick(raft::Time now) {
    for (std::size_t i = kept_.size(); i-- > 0;) {
      if (now >= kept_[i].last_asked + Patience(i)) Drop(i);
    }
  }

  std::uint64_t kept_bytes() const {
    std::uint64_t total = 0;
    for (const Kept& kept : kept_) total += kept.manifest.bytes();
    return total;
  }
  bool busy() const { return jobs_ > 0; }

 private:
  struct Kept {
    storage::Manifest manifest;
    Bytes encoded;
    raft::Time last_asked{0};
  };

  // One that was replaced stays only while it is being fetched.
  raft::Duration Patience(std::size_t i) const {
    return i + 1 < kept_.size() ? options_.give_up : options_.keep;
  }

  void Drop(std::size_t i) {
    const std::uint64_t id = kept_[i].manifest.id;
    kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
    // What cannot be removed now is removed at the next start.
    Run([store = store_, id] { static_cast<void>(store->Drop(id)); }, [] {});
    if (dropped_) dropped_(id);
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
  const std::shared_ptr<storage::SnapshotStore> store_;  // the lane's
  std::vector<Kept> kept_;                               // oldest first
  std::map<raft::NodeId, std::size_t> queued_;
  std::size_t takes_ = 0;
  std::size_t jobs_ = 0;
  std::function<void(std::uint64_t)> dropped_;
};

SnapshotSender::SnapshotSender(const SnapshotOptions& options, Host& host,
                               storage::FileSystem& files, const storage::DataDir& directory)
    : impl_(std::make_unique<Impl>(options, host, files, directory)) {}
SnapshotSender::~SnapshotSender() = default;

void SnapshotSender::Take(std::shared_ptr<storage::StateMachine> state,
                          const raft::Configuration& unless_recorded, std::uint64_t id,
                          Taken done) {
  impl_->Take(std::move(state), unless_recorded, id, std::move(done));
}
bool SnapshotSender::taking() const {
  return impl_->taking();
}
void SnapshotSender::OnRequest(raft::NodeId from, const SnapshotRequest& request) {
  impl_->OnRequest(from, request);
}
void SnapshotSender::Read(const SnapshotRequest& request,
                          std::function<void(const SnapshotReply&)> done) {
  impl_->Read(request, std::move(done));
}
void SnapshotSender::OnDropped(std::function<void(std::uint64_t id)> dropped) {
  impl_->OnDropped(std::move(dropped));
}
raft::Time SnapshotSender::NextDeadline() const {
  return impl_->NextDeadline();
}
void SnapshotSender::Tick(raft::Time now) {
  impl_->Tick(now);
}
std::uint64_t SnapshotSender::kept_bytes() const {
  return impl_->kept_bytes();
}
bool SnapshotSender::busy() const {
  return impl_->busy();
}

}  // namespace quorate::server
