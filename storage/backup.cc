#include "storage/backup.h"

#include <utility>

#include "storage/crc32c.h"
#include "storage/files.h"
#include "storage/little_endian.h"

namespace quorate::storage {
namespace {

constexpr std::string_view kMagic = "quorate backup 1\n";
constexpr std::string_view kAnyMagic = "quorate backup ";

// Hands the bytes of one file in the backup to `take`, piece by piece, and checks them.
template <typename Take>
Status ReadFile(const File& backup, const SnapshotFile& wanted, std::uint64_t begin, Take take) {
  std::uint32_t checksum = 0;
  std::uint64_t done = 0;
  const auto use = [&](std::string_view piece) -> Status {
    checksum = Crc32c(piece, checksum);
    QUORATE_RETURN_IF_ERROR(take(done, piece));
    done += piece.size();
    return {};
  };
  QUORATE_RETURN_IF_ERROR(ReadPieces(backup, begin, wanted.bytes, use));
  if (checksum == wanted.crc32c) return {};
  return Fail(ErrorCode::kCorrupt, "the backup is damaged: " + wanted.name +
                                       " in it does not match its checksum; use another copy");
}

Status Extract(FileSystem& files, const File& backup, const BackupContents& contents,
               const std::string& directory) {
  QUORATE_RETURN_IF_ERROR(RemoveTree(files, directory));
  QUORATE_RETURN_IF_ERROR(files.CreateDirectory(directory));
  std::uint64_t begin = contents.files_begin;
  for (const SnapshotFile& wanted : contents.manifest.files) {
    const Result<std::unique_ptr<File>> file =
        files.Open(directory + "/" + wanted.name, OpenMode::kCreate);
    if (!file) return Forward(file);
    QUORATE_RETURN_IF_ERROR(ReadFile(
        backup, wanted, begin,
        [&](std::uint64_t at, std::string_view bytes) { return (*file)->Write(at, bytes); }));
    QUORATE_RETURN_IF_ERROR((*file)->Sync());
    begin += wanted.bytes;
  }
  return files.SyncDirectory(directory);
}

}  // namespace

std::string BackupHeader(const Manifest& manifest) {
  const std::string encoded = manifest.Encode();
  std::string out(kMagic);
  AppendInt(out, static_cast<std::uint64_t>(encoded.size()));
  return out + encoded;
}

Result<BackupContents> OpenBackup(const File& file) {
  const Result<std::uint64_t> size = file.Size();
  if (!size) return Forward(size);
  const Result<std::string> front = file.Read(0, kMagic.size() + sizeof(std::uint64_t));
  if (!front) return Forward(front);
  if (!front->starts_with(kMagic)) {
    const bool newer = front->starts_with(kAnyMagic);
    return Fail(ErrorCode::kMismatch,
                newer ? "the backup has a format that this version does not know; use the version "
                        "that wrote it, or a newer one"
                      : "the file is not a backup of quorate");
  }
  if (front->size() < kMagic.size() + sizeof(std::uint64_t)) {
    return Fail(ErrorCode::kCorrupt, "the backup is cut short; use another copy");
  }
  const auto bytes = LoadInt<std::uint64_t>(*front, kMagic.size());
  if (bytes > kMaxManifestBytes) {
    return Fail(ErrorCode::kCorrupt, "the backup is damaged: its manifest cannot be so long");
  }
  const Result<std::string> encoded = file.Read(front->size(), bytes);
  if (!encoded) return Forward(encoded);
  Result<Manifest> manifest = Manifest::Decode(*encoded);
  if (!manifest) return Forward(manifest);
  BackupContents contents{std::move(*manifest), front->size() + bytes};
  const std::uint64_t whole = contents.files_begin + contents.manifest.bytes();
  if (*size == whole) return contents;
  return Fail(ErrorCode::kCorrupt, "the backup has " + std::to_string(*size) +
                                       " bytes and should have " + std::to_string(whole) +
                                       "; use another copy");
}

Status VerifyBackup(const File& file, const BackupContents& contents) {
  std::uint64_t begin = contents.files_begin;
  for (const SnapshotFile& wanted : contents.manifest.files) {
    QUORATE_RETURN_IF_ERROR(
        ReadFile(file, wanted, begin, [](std::uint64_t, std::string_view) { return Status(); }));
    begin += wanted.bytes;
  }
  return {};
}

Result<std::unique_ptr<DataDir>> RestoreBackup(FileSystem& files, const std::string& backup_path,
                                               const std::string& path,
                                               const DataDir::Expected& expected, raft::Uuid uuid,
                                               const LogOptions& log_options,
                                               const raft::Configuration& configuration,
                                               const DatabaseOptions& database) {
  const Result<std::unique_ptr<File>> file = files.Open(backup_path, OpenMode::kReadOnly);
  if (!file) return Forward(file);
  const Result<BackupContents> contents = OpenBackup(**file);
  if (!contents) return Forward(contents);
  QUORATE_RETURN_IF_ERROR(VerifyBackup(**file, *contents));
  const raft::SnapshotMark start{contents->manifest.mark.position, configuration};
  const auto make = [&](const std::string& log_path) -> Status {
    const std::string directory = path + "/" + DataDir::FirstDatabaseName();
    QUORATE_RETURN_IF_ERROR(Extract(files, **file, *contents, directory));
    QUORATE_RETURN_IF_ERROR(AdoptDatabase(directory, database, start));
    return Log::Create(files, log_path, log_options, start);
  };
  return DataDir::Bootstrap(files, path, expected, uuid, make, contents->manifest.id);
}

}  // namespace quorate::storage
