// Whole logs as bytes.
//
// Input: a byte of flags, then the segments, numbered from 1. Each but the last is preceded by its
// length, u16. Flags:
//   1        the checksums of records are put right, so that what is in them gets looked at
//   2 and 4  how many segments there are, less one
//   8        files are as short as the input has them; else zeros follow, as far as their header
//   says
#include <algorithm>
#include <utility>

#include "storage/crc32c.h"
#include "storage/little_endian.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "tests/fuzz/log_check.h"
#include "tests/fuzz/segment_builder.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

using storage::SegmentHeader;

constexpr std::uint64_t kMaxCapacity = 64 << 10;

constexpr std::uint8_t kCorrectChecksums = 1;
constexpr std::uint8_t kLeaveShort = 8;

// ---- From the input to files ----

void CorrectChecksums(std::string& segment, std::uint32_t sequence) {
  const std::uint32_t seed = storage::SegmentSeed(sequence);
  std::size_t at = 0;
  while (at + storage::kRecordHeaderBytes <= segment.size()) {
    const std::size_t bytes =
        storage::RecordBytes(storage::LoadInt<std::uint32_t>(segment, at + 4));
    if (bytes > segment.size() - at) return;
    const std::string_view covered = std::string_view(segment).substr(at + 4, bytes - 4);
    storage::StoreInt(segment.data() + at, storage::Crc32c(covered, seed));
    at += bytes;
  }
}

// Inputs stay small, though segments are not.
void AppendZeros(std::string& segment) {
  if (segment.size() < storage::kRecordHeaderBytes + sizeof(std::uint64_t)) return;
  const auto capacity = storage::LoadInt<std::uint64_t>(segment, storage::kRecordHeaderBytes);
  if (capacity > segment.size() && capacity <= kMaxCapacity) segment.resize(capacity);
}

Segments TakeSegments(std::string_view input) {
  const auto flags = static_cast<std::uint8_t>(input.front());
  input.remove_prefix(1);
  const std::uint32_t count = 1 + (flags >> 1 & 3);
  Segments segments;
  for (std::uint32_t sequence = 1; sequence <= count; ++sequence) {
    std::size_t length = input.size();
    if (sequence < count && input.size() >= 2) {
      length = std::min<std::size_t>(storage::LoadInt<std::uint16_t>(input), input.size() - 2);
      input.remove_prefix(2);
    }
    std::string segment(input.substr(0, length));
    input.remove_prefix(length);
    if ((flags & kCorrectChecksums) != 0) CorrectChecksums(segment, sequence);
    if ((flags & kLeaveShort) == 0) AppendZeros(segment);
    segments[sequence] = std::move(segment);
  }
  return segments;
}

// ---- Seeds ----

raft::Entry Command(raft::Index index, raft::Term term, std::size_t bytes = 5) {
  return {term, index, raft::EntryKind::kCommand, Bytes::Copy(std::string(bytes, 'c'))};
}

SegmentHeader HeaderAt(raft::Position start, raft::Position last, raft::HardState state) {
  SegmentHeader header;
  header.capacity = 2048;
  header.hard_state = state;
  header.last = last;
  header.start = start;
  header.configuration = raft::Configuration::Bootstrap({{1, {}, "a:1"}, {2, {}, "b:2"}});
  return header;
}

SegmentBuilder FirstSegment() {
  SegmentBuilder first(1, HeaderAt({}, {}, {}), {});
  first.Add(raft::HardState{1, 2});
  first.Sync();
  first.Add({1, 1, raft::EntryKind::kNoop, {}});
  first.Add(Command(2, 1));
  first.Add({1, 3, raft::EntryKind::kConfiguration,
             Bytes::Copy(HeaderAt({}, {}, {}).configuration.Encode())});
  first.Sync();
  first.Add(raft::HardState{2, 1});
  first.Add(Command(3, 2, 0));  // replaces
  first.Add(Command(4, 2, 40));
  first.Sync();
  return first;
}

std::string Input(std::uint8_t flags, const std::vector<SegmentBuilder>& segments) {
  std::string input(1, static_cast<char>(flags | ((segments.size() - 1) << 1)));
  for (const SegmentBuilder& segment : segments) {
    if (&segment != &segments.back()) {
      storage::AppendInt(input, static_cast<std::uint16_t>(segment.bytes().size()));
    }
    input += segment.bytes();
  }
  return input;
}

std::vector<std::vector<SegmentBuilder>> ExampleLogs() {
  const SegmentBuilder first = FirstSegment();
  SegmentBuilder stopped = first;
  stopped.AddClean();

  SegmentBuilder torn(2, HeaderAt({}, {4, 2}, {2, 1}), first.end());
  torn.Add(Command(5, 2));
  torn.Sync();
  torn.Add(Command(6, 2, 100));
  torn.Add(Command(4, 3, 100));
  torn.Tear(20);

  SegmentBuilder full(2, HeaderAt({}, {4, 2}, {2, 1}), first.end());
  full.Add(Command(5, 2));
  full.Sync();
  SegmentBuilder reset(3, HeaderAt({10, 3}, {10, 3}, {3, 0}), full.end());
  reset.Add(Command(11, 3));
  reset.Sync();
  reset.Add(Command(12, 3));
  reset.Sync();

  SegmentBuilder cut(1, HeaderAt({}, {7, 2}, {2, 1}), {});
  cut.Add(Command(8, 2));
  cut.Sync();
  cut.Add(Command(9, 2));
  return {{first}, {stopped}, {first, torn}, {first, full, reset}, {cut}};
}

}  // namespace

void RunOne(std::string_view input) {
  if (!input.empty()) CheckLog(TakeSegments(input));
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const auto& log : ExampleLogs()) {
    for (const std::uint8_t flags : {std::uint8_t{0}, kCorrectChecksums, kLeaveShort}) {
      seeds.push_back(Input(flags, log));
    }
  }
  return seeds;
}

}  // namespace quorate::fuzz
