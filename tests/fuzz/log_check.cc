#include "tests/fuzz/log_check.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "raft/assert.h"
#include "storage/entry_codec.h"
#include "storage/log.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::fuzz {
namespace {

using storage::LogRecord;
using storage::MemoryFileSystem;
using storage::OpenMode;
using storage::Place;
using storage::RecordType;
using storage::SegmentHeader;

constexpr char kDirectory[] = "/log";
constexpr storage::LogOptions kOptions{.segment_bytes = storage::kMinSegmentBytes};
constexpr std::size_t kReadBytes = 200;

std::string PathOf(std::uint32_t sequence) {
  return std::string(kDirectory) + "/" + storage::SegmentName(sequence);
}

void Write(const Segments& segments, MemoryFileSystem& files) {
  QUORATE_ASSERT(files.CreateDirectory(kDirectory), "the file system works");
  for (const auto& [sequence, bytes] : segments) {
    auto file = files.Open(PathOf(sequence), OpenMode::kCreate);
    QUORATE_ASSERT(file && (*file)->Write(0, bytes), "the file system works");
  }
  files.Settle();
}

// ---- What they should add up to ----

struct Contents {
  raft::Position start;
  raft::HardState hard_state;
  std::vector<raft::Entry> entries;

  raft::Index last() const { return start.index + entries.size(); }
};

// Of the checksums behind the segment's header.
std::uint64_t SaltOf(std::string_view segment, std::uint32_t sequence) {
  const auto record = storage::ParseRecord(segment, storage::SegmentSeed(sequence));
  if (!record || record->type != RecordType::kSegment) return 0;
  const auto header = SegmentHeader::Decode(record->payload);
  return header ? header->salt : 0;
}

// The record at `at`, if it is whole and could stand there.
std::optional<LogRecord> RecordAt(std::string_view segment, Place at) {
  if (at.offset > segment.size()) return std::nullopt;
  const std::uint64_t salt = at.offset == 0 ? 0 : SaltOf(segment, at.segment);
  const auto record =
      storage::ParseRecord(segment.substr(at.offset), storage::SegmentSeed(at.segment, salt));
  if (!record) return std::nullopt;
  const bool header = record->type == RecordType::kSegment;
  if (record->synced_to.segment != (header ? at.segment - 1 : at.segment)) return std::nullopt;
  if (!header && record->synced_to > at) return std::nullopt;
  return record;
}

void ApplyHeader(const LogRecord& record, bool first, Contents& contents) {
  const auto header = SegmentHeader::Decode(record.payload);
  QUORATE_ASSERT(header, "a log that opens has headers that can be read");
  if (first) {
    contents.start = header->last;
    contents.entries.clear();
    contents.hard_state = header->hard_state;
  }
  QUORATE_ASSERT(header->last.index == contents.last(), "a log that opens has no gaps");
}

// False if it replaces one before the start: then the log does not start there.
bool ApplyEntry(const LogRecord& record, Contents& contents) {
  std::string_view payload = record.payload;
  auto entry = storage::TakeEntry(payload);
  QUORATE_ASSERT(entry, "a log that opens has entries that can be read");
  if (entry->index <= contents.start.index) return false;
  QUORATE_ASSERT(entry->index <= contents.last() + 1, "a log that opens has no gaps");
  contents.entries.resize(entry->index - contents.start.index - 1);
  contents.entries.push_back(std::move(*entry));
  return true;
}

// Every record up to the first that is not valid, where `at` is left, or to `end`. False if the log
// does not start before this segment's end.
bool ReadSegment(std::string_view segment, bool first, std::uint64_t end, Place& at,
                 Contents& contents) {
  while (at.offset < end) {
    const auto record = RecordAt(segment, at);
    if (!record) return true;
    if (record->type == RecordType::kSegment) ApplyHeader(*record, first, contents);
    if (record->type == RecordType::kEntry && !ApplyEntry(*record, contents)) return false;
    if (record->type == RecordType::kHardState) {
      contents.hard_state = storage::ParseHardState(record->payload).value();
    }
    at.offset += static_cast<std::uint32_t>(record->bytes);
  }
  return true;
}

// The last that says that the log begins with it, or else the first there is.
std::uint32_t FirstThatCounts(const Segments& segments) {
  for (auto it = segments.rbegin(); it != segments.rend(); ++it) {
    const auto record = RecordAt(it->second, {it->first, 0});
    if (!record || record->type != RecordType::kSegment) continue;
    const auto header = SegmentHeader::Decode(record->payload);
    if (header && header->start == header->last) return it->first;
  }
  return segments.begin()->first;
}

// What a log that opens holds.
Contents Read(const Segments& segments) {
  Contents contents;
  std::uint32_t first = FirstThatCounts(segments);
  for (const auto& [sequence, bytes] : segments) {
    if (sequence < first) continue;
    const auto next = segments.find(sequence + 1);
    std::uint64_t end = bytes.size();
    if (next != segments.end()) end = RecordAt(next->second, {sequence + 1, 0})->synced_to.offset;
    Place at{sequence, 0};
    if (!ReadSegment(bytes, sequence == first, end, at, contents)) {
      QUORATE_ASSERT(next != segments.end(), "a log that opens has a start");
      first = sequence + 1;
      continue;
    }
    QUORATE_ASSERT(next == segments.end() || at.offset == end,
                   "a segment that another one follows is whole");
  }
  return contents;
}

// True if some record says that what lies at `bad`, which is not a record, had been durable.
bool ProvesDamage(std::string_view segment, Place bad) {
  for (Place at = bad; at.offset < segment.size();) {
    const auto record = RecordAt(segment, at);
    if (record && record->synced_to > bad) return true;
    at.offset += static_cast<std::uint32_t>(record ? record->bytes : storage::kRecordAlignment);
  }
  return false;
}

bool LastIsDamaged(const Segments& segments) {
  const auto& [sequence, bytes] = *segments.rbegin();
  Place at{sequence, 0};
  while (const auto record = RecordAt(bytes, at)) {
    at.offset += static_cast<std::uint32_t>(record->bytes);
  }
  return ProvesDamage(bytes, at);
}

// ---- What the log says ----

void CheckRecovery(const storage::LogRecovery& recovery, const Contents& contents) {
  QUORATE_ASSERT(recovery.hard_state == contents.hard_state, "term and vote are the last written");
  QUORATE_ASSERT(recovery.contents.start == contents.start, "the log starts where it says");
  QUORATE_ASSERT(recovery.contents.last == contents.last(), "the log ends where it does");
  std::vector<raft::TermRun> terms;
  std::vector<std::pair<raft::Index, raft::Configuration>> configurations;
  for (const raft::Entry& entry : contents.entries) {
    if (terms.empty() || terms.back().term != entry.term)
      terms.push_back({entry.index, entry.term});
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    configurations.emplace_back(entry.index,
                                raft::Configuration::Decode(entry.data.view()).value());
  }
  QUORATE_ASSERT(recovery.contents.terms == terms, "terms are those of the entries");
  QUORATE_ASSERT(recovery.configurations == configurations,
                 "configurations are those of the entries");
}

void CheckEntries(storage::Log& log, const Contents& contents) {
  raft::Index next = contents.start.index + 1;
  for (std::size_t i = 0; i < contents.entries.size();) {
    const auto read = log.Read(next + i, contents.last(), kReadBytes);
    QUORATE_ASSERT(read && !read->empty(), "what the log holds can be read");
    for (const raft::Entry& entry : *read) {
      QUORATE_ASSERT(entry == contents.entries[i++], "entries are those that were written");
    }
  }
  QUORATE_ASSERT(!log.Read(contents.last() + 1, contents.last() + 1, 1),
                 "nothing is read that the log does not hold");
}

// Opens a log that must open, and checks that it holds just this.
storage::Log::Opened Open(MemoryFileSystem& files, const Contents& contents) {
  auto opened = storage::Log::Open(files, kDirectory, kOptions);
  QUORATE_ASSERT(opened, "a log that opened once opens again");
  QUORATE_ASSERT(opened->recovery.cut_bytes == 0, "a tail is cut once");
  CheckRecovery(opened->recovery, contents);
  CheckEntries(*opened->log, contents);
  return std::move(*opened);
}

// The log goes on from where it was recovered.
void CheckAppend(MemoryFileSystem& files, Contents contents) {
  const raft::Term term =
      contents.entries.empty() ? contents.start.term : contents.entries.back().term;
  if (contents.last() + 1 == 0 || term + 1 == 0) return;
  raft::AppendBatch batch;
  batch.hard_state = contents.hard_state = {term + 1, 1};
  batch.entries.push_back(
      {term + 1, contents.last() + 1, raft::EntryKind::kCommand, Bytes::Copy("one more")});
  contents.entries.push_back(batch.entries.front());
  {
    const auto opened = storage::Log::Open(files, kDirectory, kOptions);
    QUORATE_ASSERT(opened && opened->log->Append({&batch, 1}), "a log that opens can be written");
    CheckEntries(*opened->log, contents);
  }
  files.PowerCutLosingAll();
  Open(files, contents);
}

void CheckRefusal(MemoryFileSystem& files, const Segments& segments, const storage::Error& error) {
  QUORATE_ASSERT(
      error.code == storage::ErrorCode::kCorrupt || error.code == storage::ErrorCode::kMismatch,
      "a log that does not open is damaged, or another version's");
  QUORATE_ASSERT(error.message.find("0000000") != std::string::npos, "the segment is named");
  const auto names = files.List(kDirectory);
  QUORATE_ASSERT(names && names->size() == segments.size(), "a refused log is left as it is");
  for (const auto& [sequence, bytes] : segments) {
    QUORATE_ASSERT(files.Written(PathOf(sequence)) == bytes, "a refused log is left as it is");
  }
}

}  // namespace

bool CheckLog(const Segments& segments) {
  MemoryFileSystem files;
  Write(segments, files);
  Contents contents;
  {
    const auto opened = storage::Log::Open(files, kDirectory, kOptions);
    if (!opened) {
      CheckRefusal(files, segments, opened.error());
      return false;
    }
    QUORATE_ASSERT(!LastIsDamaged(segments), "what was durable and is gone is never passed over");
    contents = Read(segments);
    CheckRecovery(opened->recovery, contents);
    CheckEntries(*opened->log, contents);
  }
  files.PowerCutLosingAll();
  Open(files, contents);
  CheckAppend(files, std::move(contents));
  return true;
}

}  // namespace quorate::fuzz
