#include "storage/log_recovery.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "storage/replay.h"

namespace quorate::storage {
namespace {

constexpr std::uint64_t kRewriteChunkBytes = 1 << 20;

std::string Describe(const std::string& directory, Place place) {
  return directory + "/" + SegmentName(place.segment) + " at offset " +
         std::to_string(place.offset);
}

tl::unexpected<Error> Corrupt(const std::string& directory, Place place, const std::string& what) {
  return Fail(
      ErrorCode::kCorrupt,
      "the log is damaged: " + Describe(directory, place) + ": " + what +
          ". Bytes that were durable have changed, so this node may have forgotten a vote or an "
          "acknowledged write and must not take part. Check the disk, keep the directory for "
          "inspection, and bring the node back under a new data directory as a new member");
}

// A segment as found, and how far its records must reach.
struct Found {
  Segment segment;
  SegmentHeader header;
  std::uint64_t size = 0;
  Place previous_end;
};

class Recovery {
 public:
  Recovery(FileSystem& files, const std::string& directory)
      : files_(files), directory_(directory) {}

  Result<RecoveredLog> Run() {
    QUORATE_RETURN_IF_ERROR(RemovePrepared(files_, directory_));
    QUORATE_RETURN_IF_ERROR(FindSegments());
    Replay replay(found_.front().header);
    for (std::size_t i = 0; i + 1 < found_.size(); ++i) {
      QUORATE_RETURN_IF_ERROR(ReplayWhole(found_[i], found_[i + 1].previous_end.offset, replay));
    }
    Result<std::uint64_t> end = ReplayLast(found_.back(), replay);
    if (!end) return Forward(end);
    QUORATE_RETURN_IF_ERROR(FinishTail(*end, replay));
    return std::move(out_);
  }

 private:
  Status FindSegments() {
    const Result<std::vector<std::string>> names = files_.List(directory_);
    if (!names) return Forward(names);
    std::vector<std::uint32_t> sequences;
    for (const std::string& name : *names) {
      if (const auto sequence = ParseSegmentName(name)) sequences.push_back(*sequence);
    }
    if (sequences.empty()) return Fail(ErrorCode::kNotFound, directory_ + " holds no log segment");
    for (std::uint32_t sequence : sequences) {
      if (sequence != sequences.front() + found_.size()) {
        return Corrupt(directory_, {sequence, 0}, "a segment before this one is missing");
      }
      QUORATE_RETURN_IF_ERROR(OpenSegment(sequence));
    }
    const Found& first = found_.front();
    if (first.header.last != first.header.start) {
      return Corrupt(directory_, {first.segment.sequence, 0},
                     "the segments before this one are missing");
    }
    return {};
  }

  Status OpenSegment(std::uint32_t sequence) {
    const Place place{sequence, 0};
    Found found;
    found.segment.sequence = sequence;
    found.segment.seed = SegmentSeed(sequence);
    Result<std::unique_ptr<File>> file =
        files_.Open(directory_ + "/" + SegmentName(sequence), OpenMode::kReadWrite);
    if (!file) return Forward(file);
    found.segment.file = std::move(*file);
    const Result<std::uint64_t> size = found.segment.file->Size();
    if (!size) return Forward(size);
    // No offset in it can overflow a Place, whatever has been appended to the file.
    found.size = std::min(*size, kMaxSegmentBytes + kMaxRecordBytes);
    RecordReader reader(*found.segment.file, found.segment.sequence, 0, found.size);
    const Result<std::optional<LogRecord>> record = reader.Next();
    if (!record) return Forward(record);
    if (!*record || (*record)->type != RecordType::kSegment) {
      return Corrupt(directory_, place, "the segment has no valid header");
    }
    auto header = SegmentHeader::Decode((*record)->payload);
    if (!header) return Corrupt(directory_, place, "the segment header has an unknown form");
    found.header = std::move(*header);
    found.segment.capacity = found.header.capacity;
    found.segment.begin = (*record)->bytes;
    found.previous_end = (*record)->synced_to;
    if (found.size < found.header.capacity) {
      return Corrupt(
          directory_, {sequence, static_cast<std::uint32_t>(found.size)},
          "the file ends before its " + std::to_string(found.header.capacity) + " bytes");
    }
    if (!found_.empty() && found.previous_end.segment != sequence - 1) {
      return Corrupt(directory_, place, "the segment does not continue the one before it");
    }
    found_.push_back(std::move(found));
    return {};
  }

  tl::unexpected<Error> FromTheFuture(Place place, const LogRecord& record) const {
    return Fail(
        ErrorCode::kMismatch,
        Describe(directory_, place) + ": a record of type " +
            std::to_string(static_cast<std::uint32_t>(record.type)) + " in raft group " +
            std::to_string(record.group) +
            " is not known to this version; start the version that wrote it, or a newer one");
  }

  // All records up to the first that is not valid, where the reader is left.
  Status ReplayRecords(const Found& found, RecordReader& reader, Replay& replay) {
    while (!reader.AtEnd()) {
      const Place place{found.segment.sequence, static_cast<std::uint32_t>(reader.offset())};
      const Result<std::optional<LogRecord>> record = reader.Next();
      if (!record) return Forward(record);
      if (!*record) break;
      if (!Replay::Understands(**record)) return FromTheFuture(place, **record);
      if (const auto wrong = replay.Apply(**record, place))
        return Corrupt(directory_, place, *wrong);
    }
    return {};
  }

  // A segment that another one follows was durable up to `end` before that one was made.
  Status ReplayWhole(const Found& found, std::uint64_t end, Replay& replay) {
    RecordReader reader(*found.segment.file, found.segment.sequence, 0, end);
    QUORATE_RETURN_IF_ERROR(ReplayRecords(found, reader, replay));
    if (reader.offset() == end) return {};
    return Corrupt(directory_,
                   {found.segment.sequence, static_cast<std::uint32_t>(reader.offset())},
                   "the record does not match its checksum");
  }

  Result<std::uint64_t> ReplayLast(const Found& found, Replay& replay) {
    RecordReader reader(*found.segment.file, found.segment.sequence, 0, found.size);
    QUORATE_RETURN_IF_ERROR(ReplayRecords(found, reader, replay));
    const std::uint64_t end = reader.offset();
    const Place bad{found.segment.sequence, static_cast<std::uint32_t>(end)};
    while (!reader.AtEnd()) {
      const Result<std::optional<LogRecord>> record = reader.Next();
      if (!record) return Forward(record);
      if (!*record) {
        reader.Skip();
        continue;
      }
      if ((*record)->synced_to > bad) {
        return Corrupt(
            directory_, bad,
            "the record does not match its checksum, and a later one proves that it did");
      }
      ++out_.recovery.cut_records;
    }
    return end;
  }

  // Makes the last segment on the disk what was read from it: records up to `end`, then zeros as
  // far as an interrupted write may have reached.
  Status FinishTail(std::uint64_t end, const Replay& replay) {
    const Found& last = found_.back();
    const std::uint64_t begin =
        replay.synced_to().segment == last.segment.sequence ? replay.synced_to().offset : 0;
    const std::uint64_t zeros_end = std::max(end, std::min(end + kMaxUnsyncedBytes, last.size));
    Result<std::uint64_t> cut = LastNonZero(*last.segment.file, end, zeros_end);
    if (!cut) return Forward(cut);
    QUORATE_RETURN_IF_ERROR(Rewrite(*last.segment.file, begin, end));
    QUORATE_RETURN_IF_ERROR(WriteZeros(*last.segment.file, end, zeros_end));
    QUORATE_RETURN_IF_ERROR(last.segment.file->Sync());
    QUORATE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
    out_.recovery.hard_state = replay.hard_state();
    out_.recovery.contents = replay.contents();
    out_.recovery.configurations = replay.configurations();
    out_.index = replay.index();
    out_.recovery.cut_bytes = *cut - end;
    out_.recovery.clean_shutdown = replay.clean() && *cut == end;
    out_.recovery.rewritten_bytes = end - begin;
    out_.recovery.base_configuration = found_.front().header.configuration;
    out_.end = {last.segment.sequence, static_cast<std::uint32_t>(end)};
    for (Found& found : found_) out_.segments.push_back(std::move(found.segment));
    return {};
  }

  // The end of what is not zero in [begin, end); `begin` if all is.
  static Result<std::uint64_t> LastNonZero(const File& file, std::uint64_t begin,
                                           std::uint64_t end) {
    std::uint64_t last = begin;
    for (std::uint64_t at = begin; at < end; at += kRewriteChunkBytes) {
      const Result<std::string> bytes = file.Read(at, std::min(kRewriteChunkBytes, end - at));
      if (!bytes) return Forward(bytes);
      const std::size_t found = bytes->find_last_not_of('\0');
      if (found != std::string::npos) last = at + found + 1;
    }
    return last;
  }

  static Status Rewrite(File& file, std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t at = begin; at < end; at += kRewriteChunkBytes) {
      const Result<std::string> bytes = file.Read(at, std::min(kRewriteChunkBytes, end - at));
      if (!bytes) return Forward(bytes);
      QUORATE_RETURN_IF_ERROR(file.Write(at, *bytes));
    }
    return {};
  }

  FileSystem& files_;
  const std::string& directory_;
  std::vector<Found> found_;
  RecoveredLog out_;
};

}  // namespace

Result<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory) {
  return Recovery(files, directory).Run();
}

}  // namespace quorate::storage
