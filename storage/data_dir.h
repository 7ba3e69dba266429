// The data directory: who may use it, and whose it is.
//
//   LOCK           held while a process runs
//   IDENTITY       cluster id, node id, format version, member uuid; text, with a checksum
//   CURRENT        which generation of the database counts; text, with a checksum
//   QUARANTINED    why this node must not take part any more; there only if it must not
//   log/           segments (log.h)
//   db-00000001/   the database (state_machine.h); db-<CURRENT + 1> is a snapshot on its way in
//   INCOMING       the manifest of that snapshot, so that fetching it goes on after a restart
//   snapshots/     kept for other nodes to fetch (snapshot.h)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "raft/types.h"
#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

inline constexpr std::uint32_t kFormatVersion = 2;

struct Identity {
  std::uint64_t cluster_id = 0;
  raft::NodeId node_id = 0;
  raft::Uuid uuid;
  // Of the backup that the directory was restored from (Manifest::id), 0 if none: nodes with
  // different origins never had the same state, and must not talk to each other.
  std::uint64_t origin = 0;
  std::uint32_t format_version = kFormatVersion;
};

// Which database counts. Switching it is the one commit point of installing a snapshot (D4).
struct CurrentDatabase {
  std::uint32_t generation = 1;
  raft::Position installed;  // of the snapshot that it came from; {0, 0}: it was empty at first
  friend bool operator==(const CurrentDatabase&, const CurrentDatabase&) = default;
};

class DataDir {
 public:
  // What the operator says this directory should be.
  struct Expected {
    std::uint64_t cluster_id = 0;
    raft::NodeId node_id = 0;
  };

  // Locks an existing directory and checks that it is the expected one. kNotFound: empty or absent,
  // and the message says that a first boot needs --bootstrap, and that a node which lost its
  // directory must not be given it.
  static Result<std::unique_ptr<DataDir>> Open(FileSystem& files, const std::string& path,
                                               const Expected& expected);
  // First boot: makes the directory with a new identity. kExists if it already holds one. A crash
  // half way leaves a directory that Bootstrap() accepts again: IDENTITY is written last.
  // `make_log` makes the log inside it, before IDENTITY is written.
  static Result<std::unique_ptr<DataDir>> Bootstrap(
      FileSystem& files, const std::string& path, const Expected& expected, raft::Uuid uuid,
      const std::function<Status(const std::string&)>& make_log, std::uint64_t origin = 0);

  const Identity& identity() const { return identity_; }
  std::string log_path() const { return path_ + "/log"; }
  std::string snapshots_path() const { return path_ + "/snapshots"; }
  std::string incoming_manifest_path() const { return path_ + "/INCOMING"; }

  // Of the database that a new directory begins with.
  static std::string FirstDatabaseName();
  const CurrentDatabase& current() const { return current_; }
  std::string database_path() const { return DatabasePath(current_.generation); }
  std::string next_database_path() const { return DatabasePath(current_.generation + 1); }
  // Makes the next generation the current one, durably and atomically: write, sync, rename, sync.
  // The one before it is still there. kNoSpace: nothing has changed.
  Status SwitchDatabase(raft::Position installed);
  // Removes every database but the current one, and `keep_next` or not the one that is on its way
  // in.
  Status RemoveOtherDatabases(bool keep_next);

  // Marks the directory so that Open() refuses it from now on, with this reason.
  Status Quarantine(const std::string& reason);

 private:
  DataDir(FileSystem& files, std::string path, Identity identity, CurrentDatabase current,
          std::unique_ptr<FileLock> lock);

  std::string DatabasePath(std::uint32_t generation) const;

  FileSystem& files_;
  std::string path_;
  Identity identity_;
  CurrentDatabase current_;
  std::unique_ptr<FileLock> lock_;
};

// Removes a directory of files; fine if there is none.
Status RemoveTree(FileSystem& files, const std::string& directory);

}  // namespace quorate::storage
