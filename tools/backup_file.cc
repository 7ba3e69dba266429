#include "tools/backup_file.h"

#include <algorithm>
#include <utility>

#include "storage/backup.h"
#include "storage/crc32c.h"

namespace quorate::tools {

using storage::ErrorCode;
using storage::Fail;
using storage::Forward;
using storage::Status;

namespace {

std::string DirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Status BackupFile::Check(storage::FileSystem& files, const std::string& path, bool replace) {
  const storage::Result<bool> exists = files.Exists(path);
  if (!exists) return Forward(exists);
  if (!*exists || replace) return {};
  return Fail(ErrorCode::kExists,
              path + " exists already; name another file, or replace it with --force");
}

storage::Result<std::unique_ptr<BackupFile>> BackupFile::Create(storage::FileSystem& files,
                                                                const std::string& path,
                                                                bool replace,
                                                                const storage::Manifest& manifest) {
  std::unique_ptr<BackupFile> backup(new BackupFile(files, path, replace, manifest));
  QUORATE_RETURN_IF_ERROR(Check(files, path, replace));
  QUORATE_RETURN_IF_ERROR(backup->Begin());
  return backup;
}

BackupFile::BackupFile(storage::FileSystem& files, std::string path, bool replace,
                       const storage::Manifest& manifest)
    : files_(files),
      path_(std::move(path)),
      temporary_(path_ + ".tmp"),
      replace_(replace),
      manifest_(manifest),
      header_(storage::BackupHeader(manifest)),
      bytes_(header_.size() + manifest.bytes()) {}

BackupFile::~BackupFile() {
  if (lock_ != nullptr) static_cast<void>(files_.Remove(temporary_));
}

Status BackupFile::Begin() {
  const storage::Result<std::uint64_t> room = files_.FreeBytes(DirectoryOf(path_));
  if (!room) return Forward(room);
  if (*room < bytes_) {
    return Fail(ErrorCode::kNoSpace, "the disk of " + path_ + " is too full: the backup needs " +
                                         std::to_string(bytes_) + " bytes, and " +
                                         std::to_string(*room) + " are free");
  }
  // What a writer that was killed has left is not locked any more, and is written over: taking the
  // lock empties it.
  auto lock = files_.Lock(temporary_);
  if (!lock && lock.error().code == ErrorCode::kLocked) {
    return Fail(ErrorCode::kExists, "another backup to " + path_ + " is under way");
  }
  if (!lock) return Explain(lock.error());
  lock_ = std::move(*lock);
  const storage::Result<bool> made = files_.Exists(temporary_);
  if (!made) return Forward(made);
  auto file =
      files_.Open(temporary_, *made ? storage::OpenMode::kReadWrite : storage::OpenMode::kCreate);
  if (!file) return Explain(file.error());
  file_ = std::move(*file);
  return Write(header_);
}

Status BackupFile::Write(std::string_view bytes) {
  const Status written = file_->Write(offset_, bytes);
  if (!written) return Explain(written.error());
  offset_ += bytes.size();
  return {};
}

Status BackupFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    QUORATE_RETURN_IF_ERROR(CheckCompleted());
    if (number_ == manifest_.files.size()) {
      return Fail(ErrorCode::kCorrupt, "more bytes came than the snapshot has");
    }
    const std::uint64_t left = manifest_.files[number_].bytes - bytes_of_file_;
    const std::string_view part = bytes.substr(0, std::min<std::uint64_t>(left, bytes.size()));
    QUORATE_RETURN_IF_ERROR(Write(part));
    crc_ = storage::Crc32c(part, crc_);
    bytes_of_file_ += part.size();
    bytes.remove_prefix(part.size());
  }
  return CheckCompleted();
}

// Goes on to the first file that lacks bytes; those before it are as they should be.
Status BackupFile::CheckCompleted() {
  while (number_ < manifest_.files.size()) {
    const storage::SnapshotFile& expected = manifest_.files[number_];
    if (bytes_of_file_ < expected.bytes) return {};
    if (crc_ != expected.crc32c) {
      return Fail(ErrorCode::kCorrupt,
                  expected.name +
                      " of the snapshot does not match its checksum: it was damaged on the node's "
                      "disk or on the way; nothing is kept, try again or ask another node");
    }
    ++number_;
    bytes_of_file_ = 0;
    crc_ = 0;
  }
  return {};
}

Status BackupFile::Finish() {
  QUORATE_RETURN_IF_ERROR(CheckCompleted());
  if (number_ < manifest_.files.size()) {
    return Fail(ErrorCode::kCorrupt, "fewer bytes came than the snapshot has");
  }
  const storage::Result<std::uint64_t> size = file_->Size();
  if (!size) return Forward(size);
  if (*size != bytes_) {
    return Fail(ErrorCode::kIo, temporary_ + " has " + std::to_string(*size) +
                                    " bytes instead of " + std::to_string(bytes_) +
                                    ": something else writes to it");
  }
  if (const Status synced = file_->Sync(); !synced) return Explain(synced.error());
  QUORATE_RETURN_IF_ERROR(Check(files_, path_, replace_));  // it may have come meanwhile
  QUORATE_RETURN_IF_ERROR(files_.Rename(temporary_, path_));
  lock_.reset();
  return files_.SyncDirectory(DirectoryOf(path_));
}

Status BackupFile::Explain(const storage::Error& error) const {
  if (error.code != ErrorCode::kNoSpace) return tl::make_unexpected(error);
  return Fail(ErrorCode::kNoSpace, "the disk of " + path_ + " is full: the backup needs " +
                                       std::to_string(bytes_) + " bytes, and " +
                                       std::to_string(offset_) + " had room; nothing is kept");
}

}  // namespace quorate::tools
