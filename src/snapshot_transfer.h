// Moving a snapshot from one node to another: the receiver asks for pieces, the sender answers.
// Both survive lost, late and repeated messages, and both do their disk work on Lane::kSnapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "raft/bytes.h"
#include "raft/controls.h"
#include "raft/types.h"
#include "storage/data_dir.h"
#include "storage/snapshot.h"

namespace quorate::server {

class Host;

// Instead of a file's number: the encoded manifest itself.
inline constexpr std::uint64_t kManifestFile = UINT64_MAX;
inline constexpr std::size_t kSnapshotChunkBytes = 256 << 10;

struct SnapshotRequest {
  std::uint64_t snapshot = 0;  // Manifest::id
  std::uint64_t file = 0;      // number in the manifest, or kManifestFile
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // at most kSnapshotChunkBytes
};

struct SnapshotReply {
  std::uint64_t snapshot = 0;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;
  bool gone = false;        // that snapshot is no longer kept, or cannot be read
  std::uint64_t total = 0;  // bytes of the whole file
  Bytes data;
};

using SnapshotMessage = std::variant<SnapshotRequest, SnapshotReply>;

struct SnapshotOptions {
  // How fast a snapshot is fetched, in bytes per second: others use the same disks and cores.
  std::uint64_t rate = 32 << 20;
  // Pieces asked for and not yet arrived.
  std::size_t window = 4;
  // A piece that has not arrived is asked for again after this.
  raft::Duration retry{1'000'000};
  // No piece for so long: the source is given up, and the next offer taken.
  raft::Duration give_up{10'000'000};
  // A snapshot that nobody has asked for so long is dropped.
  raft::Duration keep{60'000'000};
  // kInstallNotAtomic: what has been fetched is reported ready without being synced and checked.
  raft::Control control = raft::Control::kNone;
};

// The side that keeps a snapshot. For the loop's thread.
class SnapshotSender {
 public:
  // What must be done now and then has a deadline; Tick() at or after it.
  SnapshotSender(const SnapshotOptions& options, Host& host, storage::FileSystem& files,
                 const storage::DataDir& directory);
  ~SnapshotSender();

  // Takes one; `done` gets it, or why not: kExists while another is being taken (`done` is called
  // at once then), kNoSpace and what else the disk may say. It is kept until nobody has asked for
  // it for options.keep. One that was replaced stays while it is being fetched; there are never
  // more than two on the disk. `state` may be replaced meanwhile: it is shared.
  using Taken = std::function<void(const storage::Result<storage::Manifest>&)>;
  void Take(std::shared_ptr<storage::StateMachine> state,
            const raft::Configuration& unless_recorded, std::uint64_t id, Taken done);
  bool taking() const;

  // Bounded work: requests beyond a few per peer are dropped, and asked again.
  void OnRequest(raft::NodeId from, const SnapshotRequest& request);
  // The same for a reader on this node (a client's backup), who bounds what waits; `done` is called
  // once, maybe before this returns, and with `gone` if the snapshot is not kept.
  void Read(const SnapshotRequest& request, std::function<void(const SnapshotReply&)> done);
  // Called when a kept snapshot has been dropped, so that it is no longer offered: it is not asked
  // for any more, had to make room, or cannot be read.
  void OnDropped(std::function<void(std::uint64_t id)> dropped);

  raft::Time NextDeadline() const;
  void Tick(raft::Time now);

  std::uint64_t kept_bytes() const;
  bool busy() const;  // work on the lane: the process must not end before it has

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// Progress of the snapshot on its way in, for people.
struct SnapshotProgress {
  raft::NodeId from = raft::kNoNode;
  std::uint64_t snapshot = 0;
  raft::Position position;
  std::uint64_t received = 0;
  std::uint64_t total = 0;
  std::uint64_t rate = 0;  // bytes per second, lately
  bool verifying = false;  // all bytes are here, and are being synced and checked
};

// The side that fetches one. For the loop's thread.
class SnapshotReceiver {
 public:
  // `ready`: a snapshot is whole, durable and checked in directory.next_database_path(), but for
  // that directory's own name, which DataDir::SwitchDatabase() makes durable. Nothing more is
  // fetched until Finished().
  using ReadyCallback = std::function<void(const storage::Manifest&)>;
  // `problem`: for an operator, one line: why a snapshot cannot be fetched. Once, not for each
  // offer. A disk that fails is Host::Fatal(); a full one is tried again with offers of a second
  // later.
  SnapshotReceiver(const SnapshotOptions& options, Host& host, storage::FileSystem& files,
                   storage::DataDir& directory, ReadyCallback ready,
                   std::function<void(const std::string&)> problem);
  ~SnapshotReceiver();

  // The leader says that `from` keeps this one. Ignored while another is being fetched and moves
  // on, and if this very one was refused: of another cluster, of a newer format, damaged. Goes on
  // with what an earlier attempt, or an earlier life of the process, has fetched.
  void OnOffer(raft::NodeId from, std::uint64_t snapshot, raft::Position position);
  void OnReply(raft::NodeId from, const SnapshotReply& reply);
  // What has been fetched is installed, or is of no use any more: forget it, and its files.
  // `useless`: it could not be installed, and is not fetched again.
  void Finished(bool useless);

  raft::Time NextDeadline() const;
  void Tick(raft::Time now);
  std::optional<SnapshotProgress> progress() const;
  bool busy() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quorate::server
