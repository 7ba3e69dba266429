#include "storage/segment.h"

#include <algorithm>
#include <cstdio>

#include "storage/little_endian.h"

namespace quorate::storage {
namespace {

constexpr char kPreparedName[] = "prepared.tmp";
constexpr std::string_view kSuffix = ".log";
constexpr std::size_t kFixedHeaderBytes = 64;

// Zeros are synced piece by piece: the log writer's own syncs queue behind the piece under way.
// Pieces of 4 MiB fill twice as fast and make one sync in ten take ten times as long meanwhile.
constexpr std::uint64_t kZerosBytes = 256 << 10;

std::string SegmentPath(const std::string& directory, std::uint32_t sequence) {
  return directory + "/" + SegmentName(sequence);
}

std::string PreparedPath(const std::string& directory) {
  return directory + "/" + kPreparedName;
}

Status FillWithZeros(File& file, std::uint64_t capacity) {
  for (std::uint64_t at = 0; at < capacity; at += kZerosBytes) {
    QUORATE_RETURN_IF_ERROR(WriteZeros(file, at, std::min(at + kZerosBytes, capacity)));
    QUORATE_RETURN_IF_ERROR(file.Sync());
  }
  return {};
}

}  // namespace

std::string SegmentHeader::Encode() const {
  std::string out;
  AppendInt(out, capacity);
  AppendInt(out, hard_state.term);
  AppendInt(out, hard_state.vote);
  AppendInt(out, last.index);
  AppendInt(out, last.term);
  AppendInt(out, start.index);
  AppendInt(out, start.term);
  AppendInt(out, salt);
  out += configuration.Encode();
  return out;
}

std::optional<SegmentHeader> SegmentHeader::Decode(std::string_view payload) {
  if (payload.size() < kFixedHeaderBytes) return std::nullopt;
  SegmentHeader header;
  header.capacity = LoadInt<std::uint64_t>(payload);
  if (header.capacity > kMaxSegmentBytes) return std::nullopt;
  header.hard_state = {LoadInt<raft::Term>(payload, 8), LoadInt<raft::NodeId>(payload, 16)};
  header.last = {LoadInt<raft::Index>(payload, 24), LoadInt<raft::Term>(payload, 32)};
  header.start = {LoadInt<raft::Index>(payload, 40), LoadInt<raft::Term>(payload, 48)};
  header.salt = LoadInt<std::uint64_t>(payload, 56);
  if (header.start.index > header.last.index || header.start.term > header.last.term) {
    return std::nullopt;
  }
  auto configuration = raft::Configuration::Decode(payload.substr(kFixedHeaderBytes));
  if (!configuration) return std::nullopt;
  header.configuration = std::move(*configuration);
  return header;
}

std::string SegmentName(std::uint32_t sequence) {
  char name[16];
  std::snprintf(name, sizeof(name), "%08x.log", sequence);
  return name;
}

std::optional<std::uint32_t> ParseSegmentName(std::string_view name) {
  if (name.size() != 8 + kSuffix.size() || name.substr(8) != kSuffix) return std::nullopt;
  std::uint32_t sequence = 0;
  for (char c : name.substr(0, 8)) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    sequence = sequence << 4 | static_cast<std::uint32_t>(digit);
  }
  if (sequence == 0) return std::nullopt;
  return sequence;
}

Status WriteZeros(File& file, std::uint64_t begin, std::uint64_t end) {
  const std::string zeros(std::min(kZerosBytes, end - begin), '\0');
  while (begin < end) {
    const std::uint64_t size = std::min<std::uint64_t>(zeros.size(), end - begin);
    QUORATE_RETURN_IF_ERROR(file.Write(begin, std::string_view(zeros).substr(0, size)));
    begin += size;
  }
  return {};
}

Result<std::unique_ptr<File>> PrepareSegment(FileSystem& files, const std::string& directory,
                                             std::uint64_t capacity) {
  QUORATE_RETURN_IF_ERROR(RemovePrepared(files, directory));
  Result<std::unique_ptr<File>> file = files.Open(PreparedPath(directory), OpenMode::kCreate);
  if (!file) return file;
  if (Status filled = FillWithZeros(**file, capacity); !filled) {
    // The first error is the one to report; a leftover is removed before the next attempt anyway.
    (void)RemovePrepared(files, directory);
    return Forward(filled);
  }
  return file;
}

Result<Segment> NameSegment(FileSystem& files, const std::string& directory,
                            std::shared_ptr<File> prepared, std::uint32_t sequence,
                            const SegmentHeader& header, Place previous_end) {
  Segment segment;
  segment.sequence = sequence;
  segment.salt = header.salt;
  segment.seed = SegmentSeed(sequence, header.salt);
  segment.capacity = header.capacity;
  segment.last = header.last;
  segment.file = std::move(prepared);
  std::string record;
  const std::size_t begin = BeginRecord(record);
  record += header.Encode();
  FinishRecord(record, begin, RecordType::kSegment, previous_end, SegmentSeed(sequence));
  segment.begin = segment.end = record.size();
  QUORATE_RETURN_IF_ERROR(segment.file->Write(0, record));
  QUORATE_RETURN_IF_ERROR(segment.file->Sync());
  QUORATE_RETURN_IF_ERROR(files.Rename(PreparedPath(directory), SegmentPath(directory, sequence)));
  QUORATE_RETURN_IF_ERROR(files.SyncDirectory(directory));
  return segment;
}

Status TakeName(FileSystem& files, const std::string& directory, std::uint32_t sequence) {
  QUORATE_RETURN_IF_ERROR(files.Rename(SegmentPath(directory, sequence), PreparedPath(directory)));
  return files.SyncDirectory(directory);
}

Status RemoveSegment(FileSystem& files, const std::string& directory, std::uint32_t sequence) {
  return files.Remove(SegmentPath(directory, sequence));
}

Status RemovePrepared(FileSystem& files, const std::string& directory) {
  const Result<bool> exists = files.Exists(PreparedPath(directory));
  if (!exists) return Forward(exists);
  return *exists ? files.Remove(PreparedPath(directory)) : Status();
}

}  // namespace quorate::storage
