// A backup: one file that holds a whole snapshot.
//
//   "quorate backup 1\n" | length of the manifest u64 | manifest (manifest.h) | its files, one
//   after the other
//
// Every byte is covered by a checksum: the manifest's own, and those in it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/data_dir.h"
#include "storage/file_system.h"
#include "storage/log.h"
#include "storage/manifest.h"
#include "storage/result.h"
#include "storage/state_machine.h"

namespace quorate::storage {

// The bytes in front of the files' contents; what writes a backup file puts these, then the files.
std::string BackupHeader(const Manifest& manifest);

struct BackupContents {
  Manifest manifest;
  std::uint64_t files_begin = 0;  // where the first file's bytes are
};
// Reads the header and checks that the file is as long as it says. kMismatch: not a backup, or a
// newer format. kCorrupt: damaged or cut short.
Result<BackupContents> OpenBackup(const File& file);
// Reads all of it and checks every checksum.
Status VerifyBackup(const File& file, const BackupContents& contents);

// First boot of a node from a backup: makes its directory as DataDir::Bootstrap() does, holding the
// backup's state under `configuration` (which has no incarnation yet: the first leader draws a new
// one, so tokens of the old cluster are DIVERGED). Verifies the backup first. kExists: the
// directory is in use; nothing is changed. A crash half way leaves what Bootstrap() accepts again.
Result<std::unique_ptr<DataDir>> RestoreBackup(FileSystem& files, const std::string& backup_path,
                                               const std::string& path,
                                               const DataDir::Expected& expected, raft::Uuid uuid,
                                               const LogOptions& log_options,
                                               const raft::Configuration& configuration,
                                               const DatabaseOptions& database);

}  // namespace quorate::storage
