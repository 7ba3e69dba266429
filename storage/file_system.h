// Every byte that the log and the data directory put on disk goes through here, so that the
// simulator can lose it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/result.h"

namespace quorate::storage {

// An open file. Positions are absolute; there is no cursor. One thread writes at a time; reads may
// run beside a write of other bytes.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes; fewer only at the end of the file.
  virtual Result<std::string> Read(std::uint64_t offset, std::size_t size) const = 0;
  // Writes all of `data`, growing the file if needed. Not durable before Sync().
  virtual Status Write(std::uint64_t offset, std::string_view data) = 0;
  // fdatasync: contents and size. An error is final: never retry, the pages may be gone
  // (fsyncgate).
  virtual Status Sync() = 0;
  virtual Result<std::uint64_t> Size() const = 0;
};

// Held for the life of the object.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode { kReadOnly, kReadWrite, kCreate /* read-write, must not exist */ };

// Paths use '/'. A name that was created, renamed or removed is durable only after SyncDirectory()
// of its parent.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Result<bool> Exists(const std::string& path) = 0;
  // Names (not paths) in a directory, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  virtual Status CreateDirectory(const std::string& path) = 0;  // fine if it exists
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;  // a file
  // kExists: it is not empty.
  virtual Status RemoveDirectory(const std::string& path) = 0;
  virtual Status SyncDirectory(const std::string& path) = 0;
  // Room left for this process on the file system that holds `path`, in bytes.
  virtual Result<std::uint64_t> FreeBytes(const std::string& /*path*/) { return UINT64_MAX; }
  // Exclusive between processes; kLocked if taken. The file is made, or emptied, and then says who
  // holds it.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
};

// The real one. Stateless and thread-safe.
std::unique_ptr<FileSystem> MakePosixFileSystem();

}  // namespace quorate::storage
