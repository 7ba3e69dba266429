// What is done with files as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

// Removes a directory and the files in it. Fine if there is none. A crash half way leaves a part;
// call again.
Status RemoveTree(FileSystem& files, const std::string& directory);
Status RemoveIfExists(FileSystem& files, const std::string& path);

// Makes `directory`/`name` hold exactly `text`, durably and atomically: written beside it, synced,
// renamed, synced. On kNoSpace nothing has changed and nothing is left behind.
Status ReplaceFile(FileSystem& files, const std::string& directory, const std::string& name,
                   std::string_view text);
// All of a file that is expected to be small. kCorrupt: it holds more than `max_bytes`.
Result<std::string> ReadSmallFile(FileSystem& files, const std::string& path,
                                  std::size_t max_bytes);

// Calls `use` with [offset, offset + bytes) of the file, piece by piece and in order. kCorrupt: the
// file ends before.
Status ReadPieces(const File& file, std::uint64_t offset, std::uint64_t bytes,
                  const std::function<Status(std::string_view piece)>& use);
// The checksum of those bytes; errors as above.
Result<std::uint32_t> ChecksumOf(const File& file, std::uint64_t offset, std::uint64_t bytes);

}  // namespace quorate::storage
