// One file of the log: its name, its header, and how it comes into being.
//
// A segment gets its name only once its header and its full length are durable, and it is made only
// once everything in the segment before it is. So a named segment with a bad header, or shorter
// than its header says, was damaged: no crash does that. And the header's own synced_to says where
// the segment before it ends.
//
// Behind the header lie zeros, or what an earlier segment left in the same file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "raft/configuration.h"
#include "raft/types.h"
#include "storage/file_system.h"
#include "storage/record.h"
#include "storage/result.h"

namespace quorate::storage {

inline constexpr std::uint64_t kMinSegmentBytes = 4 << 10;
inline constexpr std::uint64_t kMaxSegmentBytes = 1 << 30;

// What makes a segment stand on its own once those before it are gone.
struct SegmentHeader {
  std::uint64_t capacity = 0;  // bytes of the file, durable before it was named
  raft::HardState hard_state;
  raft::Position last;  // of the log, before the first record here
  // Where the log began when it was made or last emptied for a snapshot.
  raft::Position start;
  std::uint64_t salt = 0;             // of the checksums behind the header
  raft::Configuration configuration;  // in force at `last`

  // The log is empty here: no segment before this one counts.
  bool BeginsLog() const { return last == start; }

  std::string Encode() const;
  static std::optional<SegmentHeader> Decode(std::string_view payload);
};

struct Segment {
  std::uint32_t sequence = 0;
  std::uint64_t salt = 0;
  std::uint32_t seed = 0;  // SegmentSeed(sequence, salt)
  std::uint64_t capacity = 0;
  std::uint64_t begin = 0;  // of the first record behind the header
  std::uint64_t end = 0;    // of the last record that is known to be durable
  raft::Position last;      // of the log, before the first record here
  std::shared_ptr<File> file;
};

// "0000002a.log", and back; nothing if `name` is not a segment's.
std::string SegmentName(std::uint32_t sequence);
std::optional<std::uint32_t> ParseSegmentName(std::string_view name);

// Writes zeros to [begin, end).
Status WriteZeros(File& file, std::uint64_t begin, std::uint64_t end);

// Under a temporary name: `capacity` zeros, durable. Not yet part of the log. kNoSpace leaves
// nothing behind.
Result<std::unique_ptr<File>> PrepareSegment(FileSystem& files, const std::string& directory,
                                             std::uint64_t capacity);
// Gives a prepared file its header and its name, durably.
Result<Segment> NameSegment(FileSystem& files, const std::string& directory,
                            std::shared_ptr<File> prepared, std::uint32_t sequence,
                            const SegmentHeader& header, Place previous_end);
// Gives a segment's file the temporary name, durably: the log no longer has it.
Status TakeName(FileSystem& files, const std::string& directory, std::uint32_t sequence);
// Unlinks it. Durable once the directory is synced.
Status RemoveSegment(FileSystem& files, const std::string& directory, std::uint32_t sequence);
// Removes what has the temporary name: a spare segment, or what an interrupted PrepareSegment()
// left.
Status RemovePrepared(FileSystem& files, const std::string& directory);

// Forwards an error that trying again does not mend, so that nobody waits for room.
template <typename T>
tl::unexpected<Error> NotForWantOfSpace(const Result<T>& failed) {
  Error error = failed.error();
  if (error.code == ErrorCode::kNoSpace) error.code = ErrorCode::kIo;
  return tl::make_unexpected(std::move(error));
}

}  // namespace quorate::storage
