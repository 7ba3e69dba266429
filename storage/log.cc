#include "storage/log.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "client/proto/frame.h"
#include "raft/assert.h"
#include "storage/entry_codec.h"
#include "storage/log_recovery.h"

namespace quorate::storage {
namespace {

static_assert(kMaxPayloadBytes >= wire::kMaxClientFrameBytes + kEntryHeaderBytes,
              "every command that a client can send fits into a record");

Status CheckOptions(const LogOptions& options) {
  if (options.segment_bytes >= kMinSegmentBytes && options.segment_bytes <= kMaxSegmentBytes)
    return {};
  return Fail(ErrorCode::kInvalid, "a log segment of " + std::to_string(options.segment_bytes) +
                                       " bytes is outside the limits of 64 KiB to 1 GiB");
}

// The next entry from the reader, whose index must be `expected`.
Result<raft::Entry> ReadEntry(RecordReader& reader, raft::Index expected) {
  while (true) {
    const Result<std::optional<LogRecord>> record = reader.Next();
    if (!record) return Forward(record);
    if (*record && (*record)->type != RecordType::kEntry) continue;
    std::string_view payload = *record ? (*record)->payload : std::string_view();
    std::optional<raft::Entry> entry = TakeEntry(payload);
    if (entry && entry->index == expected) return std::move(*entry);
    return Fail(ErrorCode::kCorrupt,
                "entry " + std::to_string(expected) +
                    " was durable and cannot be read back: the log is damaged, check the disk");
  }
}

class SegmentedLog final : public Log {
 public:
  SegmentedLog(FileSystem& files, std::string directory, const LogOptions& options,
               RecoveredLog recovered)
      : files_(files),
        directory_(std::move(directory)),
        options_(options),
        base_configuration_(std::move(recovered.recovery.base_configuration)),
        start_(recovered.recovery.contents.start),
        hard_state_(recovered.recovery.hard_state),
        last_(LastOf(recovered.recovery.contents)),
        end_(recovered.end),
        index_(std::move(recovered.index)),
        segments_(std::move(recovered.segments)) {
    current_ = segments_.back();
    stats_.segments = segments_.size();
    NoteRoom();
  }

  Status Append(std::span<const raft::AppendBatch> batches) override {
    if (failed_) return Fail(ErrorCode::kIo, "the log has failed before; restart the process");
    Status status = WriteBatches(batches);
    failed_ = !status;
    return status;
  }

  Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                        std::size_t max_bytes) override;

  bool WantsSpare() const override { return wants_spare_.load(std::memory_order_relaxed); }

  Status PrepareSpare() override {
    const std::lock_guard lock(spare_mutex_);
    if (spare_ != nullptr) return {};
    Result<std::unique_ptr<File>> file = PrepareSegment(files_, directory_, options_.segment_bytes);
    if (!file) return Forward(file);
    spare_ = std::move(*file);
    wants_spare_ = false;
    return {};
  }

  Status Close() override {
    if (failed_) return Fail(ErrorCode::kIo, "the log has failed before; it is not marked clean");
    failed_ = true;
    QUORATE_RETURN_IF_ERROR(Add(RecordType::kClean, 0, [](std::string&) {}));
    return Flush();
  }

  LogStats stats() const override { return stats_; }

 private:
  static raft::Position LastOf(const raft::LogContents& contents) {
    return {contents.last,
            contents.terms.empty() ? contents.start.term : contents.terms.back().term};
  }

  Status WriteBatches(std::span<const raft::AppendBatch> batches);
  Status AddEntry(const raft::Entry& entry);
  // Adds one record, whose payload `fill` appends, to the buffer; makes room for it first.
  template <typename Fill>
  Status Add(RecordType type, std::size_t payload_bytes, Fill fill);
  Status Flush();
  Status RollOver();
  void Publish();
  void NoteRoom();
  // Where the next record goes.
  Place Next() const {
    return {end_.segment, end_.offset + static_cast<std::uint32_t>(buffer_.size())};
  }

  struct RunToRead {
    EntryIndex::Run run;
    std::uint64_t replacements = 0;
    raft::Index last = 0;  // of the log
    std::shared_ptr<File> file;
  };
  Result<RunToRead> FindRun(raft::Index index) const;

  FileSystem& files_;
  const std::string directory_;
  const LogOptions options_;
  const raft::Configuration base_configuration_;
  const raft::Position start_;

  // The writer's.
  bool failed_ = false;
  raft::HardState hard_state_;
  raft::Position last_;
  Segment current_;
  Place end_;           // everything before is durable
  std::string buffer_;  // records that go to end_
  struct Placed {
    raft::Index index = 0;
    Place place;
  };
  std::vector<Placed> placed_;  // entries written and not yet published
  LogStats stats_;

  std::mutex
      spare_mutex_;  // also held while a segment gets its name, which frees the temporary one
  std::unique_ptr<File> spare_;
  std::atomic<bool> wants_spare_{false};

  mutable std::mutex index_mutex_;  // what readers see: only what is durable
  EntryIndex index_;
  std::vector<Segment> segments_;
};

Status SegmentedLog::WriteBatches(std::span<const raft::AppendBatch> batches) {
  for (const raft::AppendBatch& batch : batches) {
    if (batch.hard_state) {
      QUORATE_RETURN_IF_ERROR(Add(RecordType::kHardState, 16, [&batch](std::string& out) {
        AppendHardState(*batch.hard_state, out);
      }));
      hard_state_ = *batch.hard_state;
    }
    for (const raft::Entry& entry : batch.entries) QUORATE_RETURN_IF_ERROR(AddEntry(entry));
  }
  QUORATE_RETURN_IF_ERROR(Flush());
  Publish();
  return {};
}

Status SegmentedLog::AddEntry(const raft::Entry& entry) {
  QUORATE_ASSERT(entry.index > start_.index && entry.index <= last_.index + 1,
                 "entries follow one another without gaps");
  const std::size_t payload = kEntryHeaderBytes + entry.data.size();
  QUORATE_RETURN_IF_ERROR(
      Add(RecordType::kEntry, payload, [&entry](std::string& out) { AppendEntry(entry, out); }));
  const std::size_t bytes = RecordBytes(payload);
  placed_.push_back(
      {entry.index, {end_.segment, Next().offset - static_cast<std::uint32_t>(bytes)}});
  last_ = {entry.index, entry.term};
  return {};
}

template <typename Fill>
Status SegmentedLog::Add(RecordType type, std::size_t payload_bytes, Fill fill) {
  if (payload_bytes > kMaxPayloadBytes) {
    return Fail(ErrorCode::kInvalid, "a log record of " + std::to_string(payload_bytes) +
                                         " bytes is over the limit of " +
                                         std::to_string(kMaxPayloadBytes));
  }
  const std::size_t bytes = RecordBytes(payload_bytes);
  // What one sync covers is limited, so that recovery knows how far garbage may reach.
  if (buffer_.size() + bytes > kMaxUnsyncedBytes) QUORATE_RETURN_IF_ERROR(Flush());
  if (Next().offset + bytes > current_.capacity && Next().offset > current_.begin) {
    QUORATE_RETURN_IF_ERROR(RollOver());
  }
  const std::size_t begin = BeginRecord(buffer_);
  fill(buffer_);
  FinishRecord(buffer_, begin, type, end_, current_.seed);
  return {};
}

Status SegmentedLog::Flush() {
  if (buffer_.empty()) return {};
  QUORATE_RETURN_IF_ERROR(current_.file->Write(end_.offset, buffer_));
  QUORATE_RETURN_IF_ERROR(current_.file->Sync());
  stats_.bytes_written += buffer_.size();
  ++stats_.syncs;
  end_ = Next();
  buffer_.clear();
  NoteRoom();
  return {};
}

// The next segment says where this one ends, so everything in this one must be durable first. A
// record that is larger than a whole segment goes to a fresh one all the same, which then grows.
Status SegmentedLog::RollOver() {
  QUORATE_RETURN_IF_ERROR(Flush());
  const std::lock_guard lock(spare_mutex_);
  if (spare_ == nullptr) {
    Result<std::unique_ptr<File>> file = PrepareSegment(files_, directory_, options_.segment_bytes);
    if (!file) return Forward(file);
    spare_ = std::move(*file);
  }
  SegmentHeader header{options_.segment_bytes, hard_state_, last_, start_, base_configuration_};
  Result<Segment> next =
      NameSegment(files_, directory_, std::move(spare_), end_.segment + 1, header, end_);
  if (!next) return Forward(next);
  current_ = std::move(*next);
  end_ = {current_.sequence, static_cast<std::uint32_t>(current_.begin)};
  wants_spare_ = false;
  const std::lock_guard index_lock(index_mutex_);
  segments_.push_back(current_);
  stats_.segments = segments_.size();
  return {};
}

void SegmentedLog::Publish() {
  const std::lock_guard lock(index_mutex_);
  for (const Placed& placed : placed_) index_.Add(placed.index, placed.place);
  placed_.clear();
}

// Half a segment ahead is early enough, and an idle node keeps only one.
void SegmentedLog::NoteRoom() {
  if (end_.offset < current_.capacity / 2 || wants_spare_.load(std::memory_order_relaxed)) return;
  const std::unique_lock lock(spare_mutex_, std::try_to_lock);
  wants_spare_ = lock.owns_lock() && spare_ == nullptr;
}

Result<SegmentedLog::RunToRead> SegmentedLog::FindRun(raft::Index index) const {
  const std::lock_guard lock(index_mutex_);
  if (index < index_.first() || index > index_.last()) {
    return Fail(ErrorCode::kNotFound,
                "entry " + std::to_string(index) + " is not in the log, which holds " +
                    std::to_string(index_.first()) + " to " + std::to_string(index_.last()));
  }
  RunToRead found;
  found.run = index_.Find(index);
  found.replacements = index_.replacements();
  found.last = index_.last();
  const Segment& segment = segments_[found.run.place.segment - segments_.front().sequence];
  found.file = segment.file;
  return found;
}

Result<std::vector<raft::Entry>> SegmentedLog::Read(raft::Index first, raft::Index last,
                                                    std::size_t max_bytes) {
  std::vector<raft::Entry> entries;
  std::size_t bytes = 0;
  std::uint64_t replacements = 0;
  for (raft::Index next = first; next <= last;) {
    Result<RunToRead> found = FindRun(next);
    if (!found && entries.empty()) return Forward(found);
    // Entries of before and after a replacement must not be mixed: what there is, is a consistent
    // prefix.
    if (!found || (!entries.empty() && found->replacements != replacements)) break;
    replacements = found->replacements;
    const raft::Index run_last = std::min({last, found->last, found->run.last});
    // Oversize segments end one record beyond the limit; the run ends before.
    RecordReader reader(*found->file, found->run.place.segment, found->run.place.offset,
                        kMaxSegmentBytes + kMaxRecordBytes);
    for (raft::Index at = found->run.first; at <= run_last;) {
      Result<raft::Entry> entry = ReadEntry(reader, at);
      if (!entry) return Forward(entry);
      if (at++ < next) continue;
      if (!entries.empty() && bytes + entry->ByteSize() > max_bytes) return entries;
      bytes += entry->ByteSize();
      entries.push_back(std::move(*entry));
      ++next;
    }
    if (run_last == found->last) break;
  }
  return entries;
}

}  // namespace

Status Log::Create(FileSystem& files, const std::string& directory, const LogOptions& options,
                   const raft::Configuration& base_configuration) {
  QUORATE_RETURN_IF_ERROR(CheckOptions(options));
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    if (ParseSegmentName(name)) return Fail(ErrorCode::kExists, directory + " already holds a log");
  }
  SegmentHeader header;
  header.capacity = options.segment_bytes;
  header.configuration = base_configuration;
  if (header.Encode().size() > kMaxPayloadBytes) {
    return Fail(ErrorCode::kInvalid, "the configuration is too large for a log segment's header");
  }
  Result<std::unique_ptr<File>> file = PrepareSegment(files, directory, options.segment_bytes);
  if (!file) return Forward(file);
  const Result<Segment> segment =
      NameSegment(files, directory, std::move(*file), 1, header, Place{});
  if (!segment) return Forward(segment);
  return {};
}

Result<Log::Opened> Log::Open(FileSystem& files, const std::string& directory,
                              const LogOptions& options) {
  QUORATE_RETURN_IF_ERROR(CheckOptions(options));
  Result<RecoveredLog> recovered = RecoverLog(files, directory);
  if (!recovered) return Forward(recovered);
  Opened opened;
  opened.recovery = recovered->recovery;
  opened.log = std::make_unique<SegmentedLog>(files, directory, options, std::move(*recovered));
  return opened;
}

}  // namespace quorate::storage
