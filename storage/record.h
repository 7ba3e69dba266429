// Records: what a log segment is made of.
//
//   crc32c u32 | length u32 | type u32 | group u32 | synced_to u64 | payload | zeros up to a
//   multiple of 8
//
// The checksum covers everything after itself, padding too, and is seeded with the segment's
// sequence number: what an earlier use of the same disk blocks left behind never validates. Records
// start at multiples of 8, which makes the search for later records after a damaged one cheap. They
// do not span segments.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "raft/configuration.h"
#include "raft/types.h"
#include "storage/file_system.h"
#include "storage/result.h"

namespace quorate::storage {

// A byte of the log: places are ordered as the log was written.
struct Place {
  std::uint32_t segment = 0;  // sequence number, from 1
  std::uint32_t offset = 0;

  std::uint64_t Packed() const { return (std::uint64_t{segment} << 32) | offset; }
  static Place Unpack(std::uint64_t packed) {
    return {static_cast<std::uint32_t>(packed >> 32), static_cast<std::uint32_t>(packed)};
  }
  friend auto operator<=>(const Place&, const Place&) = default;  // NOLINT(modernize-use-nullptr)
};

// The values are on disk: never renumber.
enum class RecordType : std::uint32_t {
  kSegment = 1,    // the first of each segment, and only there: a SegmentHeader
  kEntry = 2,      // entry_codec.h
  kHardState = 3,  // term u64 | vote u64
  kClean = 4,  // no payload. Written at shutdown: its synced_to says that all before it is durable
};

// What names a type or a group from here on is no record of any version, and not worth a checksum.
inline constexpr std::uint32_t kMaxTypes = 256;
inline constexpr std::uint32_t kMaxGroups = 1 << 16;

inline constexpr std::size_t kRecordHeaderBytes = 24;
inline constexpr std::size_t kRecordAlignment = 8;
// Any command that fits into a client's frame (2 MiB), whatever its fields, and the entry's header:
// a node that accepts what it cannot log would have to stop.
inline constexpr std::size_t kMaxPayloadBytes = (2 << 20) + (4 << 10);

// On disk, header and padding included.
constexpr std::size_t RecordBytes(std::size_t payload_bytes) {
  return (kRecordHeaderBytes + payload_bytes + kRecordAlignment - 1) / kRecordAlignment *
         kRecordAlignment;
}

inline constexpr std::size_t kMaxRecordBytes = RecordBytes(kMaxPayloadBytes);

struct LogRecord {
  RecordType type{};
  std::uint32_t group = 0;  // which raft group of the node; 0 for now
  Place synced_to;          // everything before this was durable when the record was written
  std::string_view payload;
  std::size_t bytes = 0;  // on disk
};

// What checksums in this segment start from; of the header, at the front, without salt. The salt is
// random and only in the header: a client that stores what looks like records cannot make them
// valid in a later segment that is made of the same file.
std::uint32_t SegmentSeed(std::uint32_t segment, std::uint64_t salt = 0);

// Builds one record at the end of `out`: append the payload between Begin and Finish.
std::size_t BeginRecord(std::string& out);
void FinishRecord(std::string& out, std::size_t begin, RecordType type, Place synced_to,
                  std::uint32_t seed);

// The record at the front of `in`; nothing if there is no whole valid one.
std::optional<LogRecord> ParseRecord(std::string_view in, std::uint32_t seed);

inline constexpr std::size_t kHardStateBytes = 16;
void AppendHardState(raft::HardState state, std::string& out);
std::optional<raft::HardState> ParseHardState(std::string_view payload);

// Walks the records of one file. Not thread-safe; the file may grow meanwhile, beyond `end`.
class RecordReader {
 public:
  // Records within [begin, end) of this segment.
  RecordReader(const File& file, std::uint32_t segment, std::uint64_t salt, std::uint64_t begin,
               std::uint64_t end);

  // The next record, valid until the next call; nothing if there is no valid one at offset().
  Result<std::optional<LogRecord>> Next();
  // Tries `kRecordAlignment` bytes further: the search behind a damaged record.
  void Skip() { offset_ += kRecordAlignment; }

  // Where the next record is expected.
  std::uint64_t offset() const { return offset_; }
  bool AtEnd() const { return offset_ >= end_; }
  // What has been checksummed so far, the same bytes again and again if need be.
  std::uint64_t checksummed_bytes() const { return checksummed_bytes_; }

 private:
  std::size_t PlausibleBytes(std::string_view header) const;
  Result<std::string_view> Peek(std::size_t bytes);

  const File& file_;
  std::uint32_t segment_;
  std::uint32_t seed_;  // behind the header
  std::uint64_t offset_;
  std::uint64_t end_;
  std::string buffer_;
  std::uint64_t buffer_offset_ = 0;
  std::uint64_t checksummed_bytes_ = 0;
};

}  // namespace quorate::storage
