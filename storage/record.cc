#include "storage/record.h"

#include <algorithm>

#include "raft/assert.h"
#include "storage/crc32c.h"
#include "storage/little_endian.h"

namespace quorate::storage {
namespace {

constexpr std::size_t kChunkBytes = 128 << 10;

// On disk, by its length; 0 if no record looks like this.
std::size_t BytesOf(std::string_view header) {
  const auto length = LoadInt<std::uint32_t>(header, 4);
  const auto type = LoadInt<std::uint32_t>(header, 8);
  const auto group = LoadInt<std::uint32_t>(header, 12);
  const bool known = type > 0 && type < kMaxTypes && group < kMaxGroups;
  return known && length <= kMaxPayloadBytes ? RecordBytes(length) : 0;
}

}  // namespace

std::uint32_t SegmentSeed(std::uint32_t segment, std::uint64_t salt) {
  char bytes[sizeof(segment) + sizeof(salt)];
  StoreInt(bytes, segment);
  StoreInt(bytes + sizeof(segment), salt);
  return Crc32c({bytes, salt == 0 ? sizeof(segment) : sizeof(bytes)});
}

std::size_t BeginRecord(std::string& out) {
  const std::size_t begin = out.size();
  out.append(kRecordHeaderBytes, '\0');
  return begin;
}

void FinishRecord(std::string& out, std::size_t begin, RecordType type, Place synced_to,
                  std::uint32_t seed) {
  const std::size_t length = out.size() - begin - kRecordHeaderBytes;
  QUORATE_ASSERT(length <= kMaxPayloadBytes, "a record that is too long could not be read back");
  out.append(RecordBytes(length) - kRecordHeaderBytes - length, '\0');
  char* header = out.data() + begin;
  StoreInt(header + 4, static_cast<std::uint32_t>(length));
  StoreInt(header + 8, static_cast<std::uint32_t>(type));
  StoreInt(header + 12, std::uint32_t{0});
  StoreInt(header + 16, synced_to.Packed());
  StoreInt(header, Crc32c(std::string_view(out).substr(begin + 4), seed));
}

std::optional<LogRecord> ParseRecord(std::string_view in, std::uint32_t seed) {
  if (in.size() < kRecordHeaderBytes) return std::nullopt;
  const std::size_t bytes = BytesOf(in);
  if (bytes == 0 || bytes > in.size()) return std::nullopt;
  if (Crc32c(in.substr(4, bytes - 4), seed) != LoadInt<std::uint32_t>(in)) return std::nullopt;
  LogRecord record;
  record.type = static_cast<RecordType>(LoadInt<std::uint32_t>(in, 8));
  record.group = LoadInt<std::uint32_t>(in, 12);
  record.synced_to = Place::Unpack(LoadInt<std::uint64_t>(in, 16));
  record.payload = in.substr(kRecordHeaderBytes, LoadInt<std::uint32_t>(in, 4));
  record.bytes = bytes;
  return record;
}

void AppendHardState(raft::HardState state, std::string& out) {
  AppendInt(out, state.term);
  AppendInt(out, state.vote);
}

std::optional<raft::HardState> ParseHardState(std::string_view payload) {
  if (payload.size() != kHardStateBytes) return std::nullopt;
  return raft::HardState{LoadInt<raft::Term>(payload), LoadInt<raft::NodeId>(payload, 8)};
}

RecordReader::RecordReader(const File& file, std::uint32_t segment, std::uint64_t salt,
                           std::uint64_t begin, std::uint64_t end)
    : file_(file),
      segment_(segment),
      seed_(SegmentSeed(segment, salt)),
      offset_(begin),
      end_(end) {}

// The search behind a damaged record asks this of every eighth byte, so that a checksum is worked
// out only where it may well be right: what a client stored must not make recovery slow. A segment
// is durable from its header on before anything else is written to it, so its records point into
// it, and its header into the one before.
std::size_t RecordReader::PlausibleBytes(std::string_view header) const {
  const Place synced_to = Place::Unpack(LoadInt<std::uint64_t>(header, 16));
  const auto type = static_cast<RecordType>(LoadInt<std::uint32_t>(header, 8));
  const std::uint32_t expected = type == RecordType::kSegment ? segment_ - 1 : segment_;
  if (synced_to.segment != expected) return 0;
  if (synced_to.segment == segment_ && synced_to.offset > offset_) return 0;
  return BytesOf(header);
}

Result<std::optional<LogRecord>> RecordReader::Next() {
  Result<std::string_view> front = Peek(kRecordHeaderBytes);
  if (!front) return Forward(front);
  if (front->size() < kRecordHeaderBytes) return std::nullopt;
  const std::size_t bytes = PlausibleBytes(*front);
  if (bytes == 0 || bytes > end_ - offset_) return std::nullopt;
  front = Peek(bytes);
  if (!front) return Forward(front);
  checksummed_bytes_ += bytes;
  std::optional<LogRecord> record =
      ParseRecord(*front, offset_ == 0 ? SegmentSeed(segment_) : seed_);
  if (record) offset_ += record->bytes;
  return record;
}

// At least `bytes` from offset() on, fewer only at the end of the file or the range.
Result<std::string_view> RecordReader::Peek(std::size_t bytes) {
  if (AtEnd()) return std::string_view();
  const std::uint64_t available = buffer_offset_ + buffer_.size();
  const std::uint64_t wanted = std::min(offset_ + bytes, end_);
  if (offset_ < buffer_offset_ || wanted > available) {
    const std::uint64_t chunk =
        std::min<std::uint64_t>(std::max(bytes, kChunkBytes), end_ - offset_);
    Result<std::string> read = file_.Read(offset_, chunk);
    if (!read) return Forward(read);
    buffer_ = std::move(*read);
    buffer_offset_ = offset_;
  }
  return std::string_view(buffer_).substr(offset_ - buffer_offset_);
}

}  // namespace quorate::storage
