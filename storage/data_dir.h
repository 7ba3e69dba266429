// The data directory: who may use it, and whose it is.
//
//   LOCK           held while a process runs
//   IDENTITY       format version, cluster id, node id, member uuid, origin; text, with a checksum
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
#include <mutex>
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
  // Of the snapshot that it came from; {0, 0}: it is the first one.
  raft::Position installed;
  friend bool operator==(const CurrentDatabase&, const CurrentDatabase&) = default;
};

// For whoever only looks at a data directory: they neither lock it nor change anything. kNotFound:
// there is no identity. kCorrupt, kMismatch: as from DataDir::Open().
Result<Identity> ReadIdentity(FileSystem& files, const std::string& directory);
Result<CurrentDatabase> ReadCurrent(FileSystem& files, const std::string& directory);
// "db-00000001"
std::string DatabaseName(std::uint32_t generation);

class DataDir {
 public:
  // What the operator says this directory should be.
  struct Expected {
    std::uint64_t cluster_id = 0;
    raft::NodeId node_id = 0;
  };

  // Locks an existing directory and checks that it is the expected one. kNotFound: empty or absent,
  // and the message says that a first boot needs --bootstrap, and that a node which lost its
  // directory must not be given it. kMismatch: another node's or cluster's, or of a format that
  // this version does not read. kCorrupt: damaged, or quarantined, for the reason in the message.
  static Result<std::unique_ptr<DataDir>> Open(FileSystem& files, const std::string& path,
                                               const Expected& expected);
  // First boot: makes the directory with a new identity. kExists: it holds one, or a part of one;
  // nothing is changed then. A crash half way leaves a directory that Bootstrap() accepts again:
  // IDENTITY is written last. `make_log` makes the log in the directory that it is given, and with
  // an `origin` also the database, named FirstDatabaseName(), beside it; both durable but for the
  // database's own name.
  static Result<std::unique_ptr<DataDir>> Bootstrap(
      FileSystem& files, const std::string& path, const Expected& expected, raft::Uuid uuid,
      const std::function<Status(const std::string&)>& make_log, std::uint64_t origin = 0);

  const Identity& identity() const { return identity_; }
  std::string log_path() const { return path_ + "/log"; }
  std::string snapshots_path() const { return path_ + "/snapshots"; }
  std::string incoming_manifest_path() const { return path_ + "/INCOMING"; }

  // Of the database that a new directory begins with.
  static std::string FirstDatabaseName();
  // Any thread, beside SwitchDatabase(), which belongs to one.
  CurrentDatabase current() const;
  std::string database_path() const { return DatabasePath(current().generation); }
  std::string next_database_path() const { return DatabasePath(current().generation + 1); }
  // Makes the next generation the current one, durably and atomically: write, sync, rename, sync.
  // The one before it is still there. kNoSpace: nothing has changed.
  Status SwitchDatabase(raft::Position installed);
  // Removes every database but the current one, and `keep_next` or not the one that is on its way
  // in. Not beside SwitchDatabase().
  Status RemoveOtherDatabases(bool keep_next);

  // Marks the directory so that Open() refuses it from now on, with this reason.
  Status Quarantine(const std::string& reason);

 private:
  DataDir(FileSystem& files, std::string path, Identity identity, CurrentDatabase current,
          std::unique_ptr<FileLock> lock);

  std::string DatabasePath(std::uint32_t generation) const;
  Status WriteCurrent(const CurrentDatabase& current);

  FileSystem& files_;
  const std::string path_;
  const Identity identity_;
  mutable std::mutex mutex_;
  CurrentDatabase current_;
  const std::unique_ptr<FileLock> lock_;
};

}  // namespace quorate::storage
