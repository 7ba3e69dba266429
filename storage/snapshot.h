// Snapshots on both sides: the one that a node keeps for others, and the one that it is fetching.
//
// A snapshot is a checkpoint of the state machine and a manifest. Whoever needs it asks for pieces
// of its files; what it already holds of them is not asked for again, so that fetching goes on
// after any interruption, even from another node's snapshot: the checksums decide at the end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raft/controls.h"
#include "storage/file_system.h"
#include "storage/manifest.h"
#include "storage/result.h"
#include "storage/state_machine.h"

namespace quorate::storage {

// The snapshots that this node keeps for others to fetch, under one directory. At most a handful:
// each keeps its files on the disk. Not thread-safe: one thread (the snapshot lane) owns it.
class SnapshotStore {
 public:
  // Snapshots of an earlier life of the process are removed by Clear().
  SnapshotStore(FileSystem& files, std::string directory, std::uint64_t cluster_id);

  Status Clear();
  // Takes a snapshot of `state` as it is now, beside Apply(), and reads all of it for its
  // checksums. `unless_recorded` is the configuration if the state machine has applied none.
  // kCorrupt: the state is damaged, and stays here. No failure leaves anything behind.
  Result<Manifest> Take(StateMachine& state, const raft::Configuration& unless_recorded,
                        std::uint64_t id);
  // Up to `bytes` at `offset` of file number `file` in the manifest of snapshot `id`; fewer only at
  // its end. kNotFound: that snapshot is no longer kept.
  Result<std::string> Read(std::uint64_t id, std::size_t file, std::uint64_t offset,
                           std::size_t bytes);
  const Manifest* Find(std::uint64_t id) const;
  Status Drop(std::uint64_t id);

 private:
  struct Kept {
    Manifest manifest;
    std::string directory;
    std::size_t open_number = 0;  // the file read last stays open
    std::unique_ptr<File> open_file;
  };

  Result<std::vector<SnapshotFile>> ListFiles(const std::string& directory);

  FileSystem& files_;
  const std::string directory_;
  const std::uint64_t cluster_id_;
  std::vector<Kept> kept_;
};

// A piece of a file to ask for.
struct Chunk {
  std::size_t file = 0;  // number in the manifest
  std::uint64_t offset = 0;
  std::size_t bytes = 0;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// A snapshot on its way in. Not thread-safe: one thread (the snapshot lane) owns it.
class IncomingSnapshot {
 public:
  // Begins or goes on: `directory` is made if need be, what it holds of the manifest's files is
  // kept, everything else in it is removed.
  static Result<IncomingSnapshot> Open(FileSystem& files, std::string directory, Manifest manifest);

  const Manifest& manifest() const { return manifest_; }
  std::uint64_t received() const { return received_; }  // bytes, of manifest().bytes()

  // The next piece to ask for, of at most `max_bytes`; pieces are handed out once, in order.
  // Nothing: all have been handed out.
  std::optional<Chunk> Next(std::size_t max_bytes);
  // Hands out again what has been handed out and not been written.
  void Rewind();
  // Pieces arrive in the order in which they were handed out; another is kInvalid, and nothing is
  // written. kNoSpace: nothing counts as written either; try again later.
  Status Write(const Chunk& chunk, std::string_view bytes);
  bool complete() const { return received_ == manifest_.bytes(); }
  // Once it is complete: syncs every file and checks it against its checksum. kCorrupt: those that
  // differ are removed, and Next() asks for them again.
  Status Finish();

 private:
  IncomingSnapshot(FileSystem& files, std::string directory, Manifest manifest);
  Status OpenFile(std::size_t number);
  Status WriteAgain(std::size_t number);
  Status SyncOpenFile();

  FileSystem* files_;
  std::string directory_;
  Manifest manifest_;
  std::uint64_t received_ = 0;
  std::vector<std::uint64_t> have_;   // of each file, bytes written
  std::vector<std::uint64_t> found_;  // of each file, bytes that were there at first
  std::size_t next_file_ = 0;
  std::uint64_t next_offset_ = 0;
  std::size_t open_number_ = 0;
  std::unique_ptr<File> open_file_;
  std::uint64_t unsynced_ = 0;  // bytes, of open_file_
};

}  // namespace quorate::storage
