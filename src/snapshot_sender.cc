#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "src/replica.h"
#include "src/snapshot_transfer.h"

namespace quorate::server {
namespace {

using storage::ErrorCode;
using storage::Manifest;

// What one peer may have waiting on the lane. A receiver asks for no more than its window, and asks
// again for what was dropped.
constexpr std::size_t kMaxQueuedPerPeer = 8;
// The newest snapshot, and one that is still being fetched.
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
            const raft::Configuration& unless_recorded, std::uint64_t id, Taken done);
  bool taking() const { return taking_; }
  void OnRequest(raft::NodeId from, const SnapshotRequest& request);
  void Read(const SnapshotRequest& request, std::function<void(const SnapshotReply&)> done);
  void OnDropped(std::function<void(std::uint64_t id)> dropped) { dropped_ = std::move(dropped); }
  raft::Time NextDeadline() const;
  void Tick(raft::Time now);
  std::uint64_t kept_bytes() const;
  bool busy() const { return jobs_ > 0; }

 private:
  struct Kept {
    Manifest manifest;
    Bytes encoded;
    raft::Time last_asked{0};
  };

  void RunOnLane(std::function<void()> work, std::function<void()> done);
  std::vector<Kept>::iterator Find(std::uint64_t id);
  raft::Time Expiry(const Kept& kept) const;
  void MakeRoomForAnother();
  void Drop(std::uint64_t id);

  const SnapshotOptions options_;
  Host& host_;
  const std::shared_ptr<storage::SnapshotStore> store_;  // for the lane alone
  std::function<void(std::uint64_t)> dropped_;
  std::vector<Kept> kept_;  // oldest first
  std::map<raft::NodeId, std::size_t> queued_;
  std::size_t jobs_ = 0;
  bool taking_ = false;
};

void SnapshotSender::Impl::RunOnLane(std::function<void()> work, std::function<void()> done) {
  ++jobs_;
  host_.Run(Lane::kSnapshot, std::move(work), [this, done = std::move(done)] {
    --jobs_;
    if (done) done();
  });
}

void SnapshotSender::Impl::Take(std::shared_ptr<storage::StateMachine> state,
                                const raft::Configuration& unless_recorded, std::uint64_t id,
                                Taken done) {
  if (std::exchange(taking_, true)) {
    return done(storage::Fail(ErrorCode::kExists,
                              "another snapshot is being taken; try again when it is done"));
  }
  MakeRoomForAnother();
  struct Job {
    storage::Result<Manifest> manifest;
    Bytes encoded;
  };
  auto job = std::make_shared<Job>();
  RunOnLane(
      [store = store_, state = std::move(state), unless_recorded, id, job] {
        job->manifest = store->Take(*state, unless_recorded, id);
        if (job->manifest) job->encoded = Bytes::Copy(job->manifest->Encode());
      },
      [this, job, done = std::move(done)] {
        taking_ = false;
        if (job->manifest) kept_.push_back({*job->manifest, job->encoded, host_.Now()});
        done(job->manifest);
      });
}

// Of those kept, the one goes that was asked for longest ago: the other may be on its way to
// somebody.
void SnapshotSender::Impl::MakeRoomForAnother() {
  while (kept_.size() >= kMaxKept) {
    const auto idlest =
        std::min_element(kept_.begin(), kept_.end(),
                         [](const Kept& a, const Kept& b) { return a.last_asked < b.last_asked; });
    Drop(idlest->manifest.id);
  }
}

void SnapshotSender::Impl::OnRequest(raft::NodeId from, const SnapshotRequest& request) {
  // Also of a request that is dropped: it is being fetched.
  if (const auto kept = Find(request.snapshot); kept != kept_.end()) {
    kept->last_asked = host_.Now();
  }
  std::size_t& queued = queued_[from];
  if (queued >= kMaxQueuedPerPeer) return;
  ++queued;
  Read(request, [this, from](const SnapshotReply& reply) {
    --queued_[from];
    host_.SendSnapshot(from, reply);
  });
}

void SnapshotSender::Impl::Read(const SnapshotRequest& request,
                                std::function<void(const SnapshotReply&)> done) {
  auto reply = std::make_shared<SnapshotReply>();
  reply->snapshot = request.snapshot;
  reply->file = request.file;
  reply->offset = request.offset;
  const auto kept = Find(request.snapshot);
  const bool of_manifest = request.file == kManifestFile;
  if (kept == kept_.end() || (!of_manifest && request.file >= kept->manifest.files.size())) {
    reply->gone = true;
    return done(*reply);
  }
  kept->last_asked = host_.Now();
  reply->total = of_manifest ? kept->encoded.size() : kept->manifest.files[request.file].bytes;
  const std::uint64_t offset = std::min(request.offset, reply->total);
  const auto bytes = static_cast<std::size_t>(
      std::min({request.bytes, std::uint64_t{kSnapshotChunkBytes}, reply->total - offset}));
  if (of_manifest) {
    reply->data = Bytes::Copy(kept->encoded.view().substr(offset, bytes));
    return done(*reply);
  }
  RunOnLane(
      [store = store_, reply, offset, bytes] {
        const auto read = store->Read(reply->snapshot, reply->file, offset, bytes);
        reply->gone = !read || read->size() != bytes;
        if (!reply->gone) reply->data = Bytes::Copy(*read);
      },
      [this, reply, done = std::move(done)] {
        // What cannot be read is of use to nobody: the next one to need it gets a new one.
        if (reply->gone) Drop(reply->snapshot);
        done(*reply);
      });
}

raft::Time SnapshotSender::Impl::NextDeadline() const {
  raft::Time next = raft::Time::max();
  for (const Kept& kept : kept_) next = std::min(next, Expiry(kept));
  return next;
}

void SnapshotSender::Impl::Tick(raft::Time now) {
  std::vector<std::uint64_t> expired;
  for (const Kept& kept : kept_) {
    if (Expiry(kept) <= now) expired.push_back(kept.manifest.id);
  }
  for (const std::uint64_t id : expired) Drop(id);
}

// A replaced one is only there for those who are in the middle of it.
raft::Time SnapshotSender::Impl::Expiry(const Kept& kept) const {
  const bool newest = &kept == &kept_.back();
  return kept.last_asked + (newest ? options_.keep : std::min(options_.give_up, options_.keep));
}

std::vector<SnapshotSender::Impl::Kept>::iterator SnapshotSender::Impl::Find(std::uint64_t id) {
  return std::find_if(kept_.begin(), kept_.end(),
                      [id](const Kept& kept) { return kept.manifest.id == id; });
}

void SnapshotSender::Impl::Drop(std::uint64_t id) {
  const auto kept = Find(id);
  if (kept == kept_.end()) return;
  kept_.erase(kept);
  // What a failure leaves is removed at the next start at the latest.
  RunOnLane([store = store_, id] { (void)store->Drop(id); }, nullptr);
  if (dropped_) dropped_(id);
}

std::uint64_t SnapshotSender::Impl::kept_bytes() const {
  std::uint64_t sum = 0;
  for (const Kept& kept : kept_) sum += kept.manifest.bytes();
  return sum;
}

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
