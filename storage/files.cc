#include "storage/files.h"

#include <algorithm>

#include "storage/crc32c.h"

namespace quorate::storage {
namespace {

constexpr std::size_t kPieceBytes = 1 << 20;

Status WriteNew(FileSystem& files, const std::string& path, std::string_view text) {
  QUORATE_RETURN_IF_ERROR(RemoveIfExists(files, path));
  const Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kCreate);
  if (!file) return Forward(file);
  QUORATE_RETURN_IF_ERROR((*file)->Write(0, text));
  return (*file)->Sync();
}

}  // namespace

Status RemoveIfExists(FileSystem& files, const std::string& path) {
  const Result<bool> exists = files.Exists(path);
  if (!exists) return Forward(exists);
  return *exists ? files.Remove(path) : Status();
}

Status RemoveTree(FileSystem& files, const std::string& directory) {
  const Result<bool> exists = files.Exists(directory);
  if (!exists) return Forward(exists);
  if (!*exists) return {};
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    QUORATE_RETURN_IF_ERROR(files.Remove(directory + "/" + name));
  }
  return files.RemoveDirectory(directory);
}

Status ReplaceFile(FileSystem& files, const std::string& directory, const std::string& name,
                   std::string_view text) {
  const std::string path = directory + "/" + name;
  const std::string fresh = path + ".tmp";
  if (Status written = WriteNew(files, fresh, text); !written) {
    // The first error is the one to report; a leftover is removed before the next attempt anyway.
    if (written.error().code == ErrorCode::kNoSpace) (void)RemoveIfExists(files, fresh);
    return written;
  }
  // Also makes durable whatever else is new in the directory: `text` may refer to it.
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(directory));
  QUORATE_RETURN_IF_ERROR(files.Rename(fresh, path));
  // It has happened, though it may not last: no error that comes now says that nothing has changed.
  if (const Status synced = files.SyncDirectory(directory); !synced) {
    return Fail(synced.error().code == ErrorCode::kNoSpace ? ErrorCode::kIo : synced.error().code,
                synced.error().message);
  }
  return {};
}

Result<std::string> ReadSmallFile(FileSystem& files, const std::string& path,
                                  std::size_t max_bytes) {
  const Result<std::unique_ptr<File>> file = files.Open(path, OpenMode::kReadOnly);
  if (!file) return Forward(file);
  Result<std::string> text = (*file)->Read(0, max_bytes + 1);
  if (text && text->size() > max_bytes) {
    return Fail(ErrorCode::kCorrupt,
                path + " is longer than the " + std::to_string(max_bytes) + " bytes it may have");
  }
  return text;
}

Status ReadPieces(const File& file, std::uint64_t offset, std::uint64_t bytes,
                  const std::function<Status(std::string_view piece)>& use) {
  const std::uint64_t end = offset + bytes;
  while (offset < end) {
    const std::size_t size = std::min<std::uint64_t>(kPieceBytes, end - offset);
    const Result<std::string> piece = file.Read(offset, size);
    if (!piece) return Forward(piece);
    if (piece->size() < size) {
      return Fail(ErrorCode::kCorrupt, "the file ends at " +
                                           std::to_string(offset + piece->size()) + " instead of " +
                                           std::to_string(end) + " bytes");
    }
    QUORATE_RETURN_IF_ERROR(use(*piece));
    offset += size;
  }
  return {};
}

Result<std::uint32_t> ChecksumOf(const File& file, std::uint64_t offset, std::uint64_t bytes) {
  std::uint32_t checksum = 0;
  const Status read = ReadPieces(file, offset, bytes, [&checksum](std::string_view piece) {
    checksum = Crc32c(piece, checksum);
    return Status();
  });
  if (!read) return Forward(read);
  return checksum;
}

}  // namespace quorate::storage
