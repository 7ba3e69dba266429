// The file that a backup is written to (its form: storage/backup.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/file_system.h"
#include "storage/manifest.h"
#include "storage/result.h"

namespace quorate::tools {

// Written as PATH.tmp, and given its name once it is whole and durable: whatever goes wrong, PATH
// is as it was before, and PATH.tmp is gone. Not thread-safe.
class BackupFile {
 public:
  // kExists: there is a PATH, and `replace` is not set; or another backup to PATH is under way.
  // kNoSpace: the disk has too little room for all of it; the message says how much is needed.
  static storage::Result<std::unique_ptr<BackupFile>> Create(storage::FileSystem& files,
                                                             const std::string& path, bool replace,
                                                             const storage::Manifest& manifest);
  // Whether a backup may be written to `path`; to know it before a snapshot is taken for it.
  static storage::Status Check(storage::FileSystem& files, const std::string& path, bool replace);

  // Removes what is not finished.
  ~BackupFile();
  BackupFile(const BackupFile&) = delete;
  BackupFile& operator=(const BackupFile&) = delete;

  // The bytes of the manifest's files, one file after the other. kCorrupt: a file that they
  // complete does not match its checksum.
  storage::Status Append(std::string_view bytes);
  // Everything has been appended: makes it durable, and PATH.
  storage::Status Finish();

  std::uint64_t bytes() const { return bytes_; }  // of the whole backup

 private:
  BackupFile(storage::FileSystem& files, std::string path, bool replace,
             const storage::Manifest& manifest);

  storage::Status Begin();
  storage::Status Write(std::string_view bytes);
  storage::Status CheckCompleted();
  storage::Status Explain(const storage::Error& error) const;

  storage::FileSystem& files_;
  const std::string path_;
  const std::string temporary_;
  const bool replace_;
  const storage::Manifest manifest_;
  const std::string header_;
  const std::uint64_t bytes_;
  // Of PATH.tmp: two writers would mix. Held as long as there is one to remove.
  std::unique_ptr<storage::FileLock> lock_;
  std::unique_ptr<storage::File> file_;
  std::uint64_t offset_ = 0;
  std::size_t number_ = 0;           // of the file whose bytes come next
  std::uint64_t bytes_of_file_ = 0;  // of that, so far
  std::uint32_t crc_ = 0;
};

}  // namespace quorate::tools
