#include "storage/log_scan.h"

#include <algorithm>
#include <utility>

namespace quorate::storage {
namespace {

// No offset in it can overflow a Place, whatever has been appended to the file.
constexpr std::uint64_t kMaxScannedBytes = kMaxSegmentBytes + kMaxRecordBytes;

// How much the search behind a bad record may checksum. Old bytes in a segment are whatever clients
// stored, so they may look like long records at every step, which would make it quadratic. Genuine
// records take no more than what the segment holds.
constexpr std::uint64_t kMaxSearchBytes = kMaxSegmentBytes;

std::string FromTheFuture(const LogRecord& record) {
  return "a record of type " + std::to_string(static_cast<std::uint32_t>(record.type)) +
         " in raft group " + std::to_string(record.group) + " is not known to this version";
}

}  // namespace

LogScan::LogScan(FileSystem& files, std::string directory, OpenMode mode, OnRecord on_record)
    : files_(files),
      directory_(std::move(directory)),
      mode_(mode),
      on_record_(std::move(on_record)) {}

Status LogScan::Run() {
  QUORATE_RETURN_IF_ERROR(FindSegments());
  first_ = FindFirst();
  CheckHeaders();
  if (usable_end_ == first_) return {};
  replay_.emplace(*segments_[first_].header);
  return ReadSegments();
}

Error LogScan::DamageError() const {
  std::string where = directory_ + "/" + SegmentName(damage_->place.segment) + " at offset " +
                      std::to_string(damage_->place.offset) + ": " + damage_->what;
  if (damage_->code == ErrorCode::kMismatch) {
    return {damage_->code, where + "; start the version that wrote it, or a newer one"};
  }
  return {damage_->code,
          "the log is damaged: " + where +
              ". Bytes that were durable have changed, so this node may have forgotten a vote or "
              "an acknowledged write and must not take part. Check the disk, keep the directory "
              "for inspection, and bring the node back under a new data directory as a new member"};
}

void LogScan::SetDamage(Place place, std::string what, ErrorCode code) {
  if (!damage_) damage_ = LogDamage{code, place, std::move(what)};
}

// ---- Segments ----

Status LogScan::FindSegments() {
  const Result<std::vector<std::string>> names = files_.List(directory_);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    const auto sequence = ParseSegmentName(name);
    if (!sequence) continue;
    Result<FoundSegment> found = Find(*sequence);
    if (!found) return Forward(found);
    segments_.push_back(std::move(*found));
  }
  if (segments_.empty()) return Fail(ErrorCode::kNotFound, directory_ + " holds no log segment");
  return {};
}

Result<FoundSegment> LogScan::Find(std::uint32_t sequence) {
  FoundSegment found;
  found.segment.sequence = sequence;
  Result<std::unique_ptr<File>> file = files_.Open(directory_ + "/" + SegmentName(sequence), mode_);
  if (!file) return Forward(file);
  found.segment.file = std::move(*file);
  const Result<std::uint64_t> size = found.segment.file->Size();
  if (!size) return Forward(size);
  found.size = std::min(*size, kMaxScannedBytes);
  RecordReader reader(*found.segment.file, sequence, /*salt=*/0, 0, found.size);
  const Result<std::optional<LogRecord>> record = reader.Next();
  if (!record) return Forward(record);
  if (!*record || (*record)->type != RecordType::kSegment) return found;
  found.previous_end = (*record)->synced_to;
  found.segment.begin = (*record)->bytes;
  found.header = SegmentHeader::Decode((*record)->payload);
  if (found.header) {
    found.segment.capacity = found.header->capacity;
    found.segment.last = found.header->last;
    found.segment.salt = found.header->salt;
    found.segment.seed = SegmentSeed(sequence, found.header->salt);
  }
  return found;
}

// No segment before one that begins the log counts, whatever became of it.
std::size_t LogScan::FindFirst() const {
  for (std::size_t i = segments_.size(); i-- > 0;) {
    const auto& header = segments_[i].header;
    if (header && header->BeginsLog()) return i;
  }
  return 0;
}

void LogScan::CheckHeaders() {
  for (usable_end_ = first_; usable_end_ < segments_.size(); ++usable_end_) {
    damage_ = CheckHeader(usable_end_);
    if (damage_) return;
  }
}

std::optional<LogDamage> LogScan::CheckHeader(std::size_t number) const {
  const FoundSegment& found = segments_[number];
  const std::uint32_t sequence = found.segment.sequence;
  const auto damage = [&](std::uint64_t offset, std::string what) {
    return LogDamage{
        ErrorCode::kCorrupt, {sequence, static_cast<std::uint32_t>(offset)}, std::move(what)};
  };
  if (number > first_ && sequence != segments_[number - 1].segment.sequence + 1) {
    return damage(0, "a segment before this one is missing");
  }
  if (found.segment.begin == 0) return damage(0, "the segment has no valid header");
  if (!found.header) return damage(0, "the segment header has an unknown form");
  if (found.size < found.header->capacity) {
    return damage(found.size,
                  "the file ends before its " + std::to_string(found.header->capacity) + " bytes");
  }
  return std::nullopt;
}

// ---- Records ----

Status LogScan::ReadSegments() {
  for (std::size_t i = first_; i + 1 < usable_end_; ++i) {
    const std::uint64_t end = segments_[i + 1].previous_end.offset;
    QUORATE_RETURN_IF_ERROR(ReadWhole(i, end));
    if (first_ <= i && end_.offset != end) return {};
  }
  return ReadLast(usable_end_ - 1);
}

// All records up to the first that is not valid or makes no sense; end_ is left there.
//
// If an entry replaces one before the log's start, the log was never to start there: segments leave
// one by one, and a crash came in between. Then it starts with the next one at the earliest. (Those
// read so far all lie beyond the entry that is replaced.)
Status LogScan::ReadRecords(RecordReader& reader, std::size_t number) {
  while (true) {
    end_ = {segments_[number].segment.sequence, static_cast<std::uint32_t>(reader.offset())};
    if (reader.AtEnd()) return {};
    const Result<std::optional<LogRecord>> record = reader.Next();
    if (!record) return Forward(record);
    if (!*record) return {};
    if (!Replay::Understands(**record)) {
      SetDamage(end_, FromTheFuture(**record), ErrorCode::kMismatch);
      return {};
    }
    if (auto wrong = replay_->Apply(**record, end_)) {
      if (number + 1 == usable_end_ || !replay_->ReplacesStart(**record)) {
        SetDamage(end_, std::move(*wrong));
      } else {
        first_ = number + 1;
        replay_.emplace(*segments_[first_].header);
      }
      return {};
    }
    if (on_record_) on_record_(end_, **record);
  }
}

// A segment that another one follows was durable up to `end` before that one was made.
Status LogScan::ReadWhole(std::size_t number, std::uint64_t end) {
  const Segment& segment = segments_[number].segment;
  RecordReader reader(*segment.file, segment.sequence, segment.salt, 0, end);
  QUORATE_RETURN_IF_ERROR(ReadRecords(reader, number));
  if (first_ <= number && end_.offset != end) {
    SetDamage(end_, "the record does not match its checksum");
  }
  return {};
}

Status LogScan::ReadLast(std::size_t number) {
  const FoundSegment& found = segments_[number];
  RecordReader reader(*found.segment.file, found.segment.sequence, found.segment.salt, 0,
                      found.size);
  QUORATE_RETURN_IF_ERROR(ReadRecords(reader, number));
  if (damage_) return {};
  const std::uint64_t most = reader.checksummed_bytes() + kMaxSearchBytes;
  while (!reader.AtEnd() && reader.checksummed_bytes() < most) {
    const Result<std::optional<LogRecord>> record = reader.Next();
    if (!record) return Forward(record);
    if (!*record) {
      reader.Skip();
      continue;
    }
    if ((*record)->synced_to > end_) {
      SetDamage(end_, "the record does not match its checksum, and a later one proves that it did");
      return {};
    }
    ++cut_records_;
    cut_bytes_ = reader.offset() - end_.offset;
  }
  return {};
}

}  // namespace quorate::storage
