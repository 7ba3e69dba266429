// The data directory: who may use it, and whose it is.
//
//   LOCK           held while a process runs
//   IDENTITY       cluster id, node id, format version, member uuid; text, with a checksum
//   log/           segments (log.h)
//   db/            RocksDB (state_machine.h)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "raft/types.h"
#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

inline constexpr std::uint32_t kFormatVersion = 1;

struct Identity {
  std::uint64_t cluster_id = 0;
  raft::NodeId node_id = 0;
  raft::Uuid uuid;
  std::uint32_t format_version = kFormatVersion;
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
      const std::function<Status(const std::string&)>& make_log);

  const Identity& identity() const { return identity_; }
  std::string log_path() const { return path_ + "/log"; }
  std::string database_path() const { return path_ + "/db"; }

 private:
  DataDir(std::string path, Identity identity, std::unique_ptr<FileLock> lock);

  std::string path_;
  Identity identity_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace quorate::storage
