#include "storage/log.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "client/proto/frame.h"
#include "raft/assert.h"
#include "storage/configuration_history.h"
#include "storage/entry_codec.h"
#include "storage/live_segments.h"
#include "storage/log_recovery.h"
#include "storage/spare_segment.h"

namespace quorate::storage {
namespace {

static_assert(kMaxPayloadBytes >= wire::kMaxClientFrameBytes + kEntryHeaderBytes,
              "every command that a client can send fits into a record");

Status CheckOptions(const LogOptions& options) {
  if (options.segment_bytes >= kMinSegmentBytes && options.segment_bytes <= kMaxSegmentBytes)
    return {};
  return Fail(ErrorCode::kInvalid, "a log segment of " + std::to_string(options.segment_bytes) +
                                       " bytes is outside the limits of 4 KiB to 1 GiB");
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

// What a segment's header and this configuration take, as a record.
Result<std::size_t> HeaderBytes(const raft::Configuration& configuration) {
  SegmentHeader header;
  header.configuration = configuration;
  const std::size_t payload = header.Encode().size();
  if (payload <= kMaxPayloadBytes) return RecordBytes(payload);
  return Fail(ErrorCode::kInvalid, "the configuration is too large for a log segment's header");
}

// A different one for each segment; none in tests that build segments by hand.
std::uint64_t SaltOf(std::uint32_t sequence, std::uint64_t salt) {
  if (salt == 0) return 0;
  std::uint64_t mixed = salt + sequence * 0x9e3779b97f4a7c15ULL;
  mixed = (mixed ^ (mixed >> 31)) * 0xbf58476d1ce4e5b9ULL;
  return (mixed ^ (mixed >> 29)) | 1;
}

// Which records may use the end of a segment that is kept for want of a spare one.
enum class Reserve { kKept, kUsed };

Reserve ReserveFor(const raft::Entry& entry) {
  return entry.kind == raft::EntryKind::kCommand ? Reserve::kKept : Reserve::kUsed;
}

std::size_t PayloadBytes(const raft::Entry& entry) {
  return kEntryHeaderBytes + entry.data.size();
}

class SegmentedLog final : public Log {
 public:
  SegmentedLog(FileSystem& files, const std::string& directory, const LogOptions& options,
               RecoveredLog recovered)
      : files_(files),
        directory_(directory),
        segment_bytes_(options.segment_bytes),
        salt_(options.salt),
        reserve_(std::min(kReservedBytes, options.segment_bytes / 16)),
        begun_(recovered.begun),
        hard_state_(recovered.recovery.hard_state),
        last_(LastOf(recovered.recovery.contents)),
        configurations_(std::move(recovered.configurations)),
        current_(recovered.segments.back()),
        end_(recovered.end),
        spare_(files, directory, options.segment_bytes),
        live_(std::move(recovered.index), std::move(recovered.segments)) {
    const Result<std::size_t> header = HeaderBytes(configurations_.InForce());
    header_bytes_ = header ? *header : kMaxRecordBytes;
    NoteRoom();
  }

  Status Append(std::span<const raft::AppendBatch> batches) override {
    if (failed_) return Fail(ErrorCode::kIo, "the log has failed before; restart the process");
    Status status = WriteBatches(batches);
    failed_ = !status && status.error().code != ErrorCode::kNoSpace;
    // Without room for another segment, too: all that was written is durable.
    if (!failed_) Publish();
    return status;
  }

  Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                        std::size_t max_bytes) override;

  // Half a segment ahead is early enough, and an idle node keeps only one.
  bool WantsSpare() const override {
    return half_used_.load(std::memory_order_relaxed) && !spare_.Ready();
  }
  Status PrepareSpare() override { return spare_.Prepare(segment_bytes_); }

  raft::Position CutPoint(raft::Index limit) const override { return live_.CutPoint(limit); }
  std::uint64_t BytesAfter(raft::Index index) const override { return live_.BytesAfter(index); }
  Status Cut(raft::Position start) override {
    Result<std::vector<Segment>> old = live_.Cut(start);
    if (!old) return Forward(old);
    return Retire(std::move(*old));
  }

  Status Close() override {
    if (failed_) return Fail(ErrorCode::kIo, "the log has failed before; it is not marked clean");
    failed_ = true;
    QUORATE_RETURN_IF_ERROR(Add(RecordType::kClean, Reserve::kUsed, 0, [](std::string&) {}));
    return Flush();
  }

  LogStats stats() const override;

 private:
  static raft::Position LastOf(const raft::LogContents& contents) {
    return {contents.last,
            contents.terms.empty() ? contents.start.term : contents.terms.back().term};
  }

  Status WriteBatches(std::span<const raft::AppendBatch> batches);
  Status MakeRoom(std::span<const raft::AppendBatch> batches);
  Status AddHardState(const raft::HardState& state);
  Status AddEntry(const raft::Entry& entry);
  Status NoteConfiguration(const raft::Entry& entry);
  // Adds one record, whose payload `fill` appends, to the buffer; makes room for it first.
  template <typename Fill>
  Status Add(RecordType type, Reserve reserve, std::size_t payload_bytes, Fill fill);
  Status Flush();
  Status RollOver(std::size_t record_bytes);
  Status Restart(const raft::SnapshotMark& mark, const raft::HardState& hard_state);
  Status NextSegment(SegmentHeader header);
  Status Retire(std::vector<Segment> old);
  void Publish();
  void NoteRoom();

  // How far such a record may reach into the present segment.
  std::uint64_t Limit(Reserve reserve) const {
    const bool kept = reserve == Reserve::kKept && !spare_.Ready();
    return current_.capacity - (kept ? std::min(reserve_, current_.capacity) : 0);
  }
  // What the next segment takes so that a record of this size fits into it in any case.
  Result<std::uint64_t> CapacityFor(std::size_t record_bytes,
                                    const raft::Configuration& configuration) const {
    const Result<std::size_t> header = HeaderBytes(configuration);
    if (!header) return Forward(header);
    return std::max<std::uint64_t>(segment_bytes_, *header + record_bytes + reserve_);
  }
  // Where the next record goes.
  Place Next() const {
    return {end_.segment, end_.offset + static_cast<std::uint32_t>(buffer_.size())};
  }

  FileSystem& files_;
  const std::string directory_;
  const std::uint64_t segment_bytes_;
  const std::uint64_t salt_;
  const std::uint64_t reserve_;

  // The writer's.
  bool failed_ = false;
  raft::Position begun_;
  raft::HardState hard_state_;
  raft::Position last_;
  ConfigurationHistory configurations_;
  Segment current_;
  Place end_;                                 // everything before is durable
  std::string buffer_;                        // records that go to end_
  std::vector<LiveSegments::Placed> placed_;  // entries written and not yet published

  // Anybody's.
  SpareSegment spare_;
  LiveSegments live_;
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<std::uint64_t> bytes_written_{0};
  std::atomic<std::uint64_t> room_{0};          // in the present segment, but for the reserve
  std::atomic<bool> half_used_{false};          // of the present segment
  std::atomic<std::uint64_t> header_bytes_{0};  // the next segment's header takes no more
};

Status SegmentedLog::WriteBatches(std::span<const raft::AppendBatch> batches) {
  // Of what precedes a reset only the term and vote matter, and they go into the new header.
  raft::HardState hard_state = hard_state_;
  std::size_t first = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (batches[i].reset) first = i;
  }
  for (const raft::AppendBatch& batch : batches.first(std::min(first + 1, batches.size()))) {
    if (batch.hard_state) hard_state = *batch.hard_state;
  }
  batches = batches.subspan(first);
  if (batches.empty()) return {};
  QUORATE_RETURN_IF_ERROR(batches.front().reset ? Restart(*batches.front().reset, hard_state)
                                                : MakeRoom(batches));
  for (const raft::AppendBatch& batch : batches) {
    if (batch.hard_state) QUORATE_RETURN_IF_ERROR(AddHardState(*batch.hard_state));
    for (const raft::Entry& entry : batch.entries) QUORATE_RETURN_IF_ERROR(AddEntry(entry));
  }
  return Flush();
}

// Makes the next segment before anything is written, if it is going to be needed: else each attempt
// on a full disk would write the beginning of the batches once more, and use up what room is left.
Status SegmentedLog::MakeRoom(std::span<const raft::AppendBatch> batches) {
  const auto prepare = [this](std::size_t record_bytes) -> Status {
    const auto capacity = CapacityFor(record_bytes, configurations_.InForce());
    if (!capacity) return Forward(capacity);
    return spare_.Prepare(*capacity);
  };
  std::uint64_t at = Next().offset;
  const auto fits = [this, &at](Reserve reserve, std::size_t bytes) {
    at += bytes;
    return at <= Limit(reserve);
  };
  for (const raft::AppendBatch& batch : batches) {
    if (batch.hard_state && !fits(Reserve::kUsed, RecordBytes(kHardStateBytes))) {
      return prepare(RecordBytes(kHardStateBytes));
    }
    for (const raft::Entry& entry : batch.entries) {
      const std::size_t bytes = RecordBytes(PayloadBytes(entry));
      if (!fits(ReserveFor(entry), bytes)) return prepare(bytes);
    }
  }
  return {};
}

Status SegmentedLog::AddHardState(const raft::HardState& state) {
  if (state == hard_state_) return {};
  QUORATE_RETURN_IF_ERROR(Add(RecordType::kHardState, Reserve::kUsed, kHardStateBytes,
                              [&state](std::string& out) { AppendHardState(state, out); }));
  hard_state_ = state;
  return {};
}

Status SegmentedLog::AddEntry(const raft::Entry& entry) {
  QUORATE_ASSERT(entry.index > begun_.index && entry.index <= last_.index + 1,
                 "entries follow one another without gaps");
  const std::size_t payload = PayloadBytes(entry);
  QUORATE_RETURN_IF_ERROR(Add(RecordType::kEntry, ReserveFor(entry), payload,
                              [&entry](std::string& out) { AppendEntry(entry, out); }));
  const auto bytes = static_cast<std::uint32_t>(RecordBytes(payload));
  placed_.push_back({entry.index, {end_.segment, Next().offset - bytes}});
  last_ = {entry.index, entry.term};
  return NoteConfiguration(entry);
}

// The next segment's header says which one is in force.
Status SegmentedLog::NoteConfiguration(const raft::Entry& entry) {
  configurations_.Truncate(entry.index);
  if (entry.kind != raft::EntryKind::kConfiguration) return {};
  auto configuration = raft::Configuration::Decode(entry.data.view());
  if (!configuration) {
    return Fail(ErrorCode::kInvalid,
                "entry " + std::to_string(entry.index) + " holds a configuration of unknown form");
  }
  const Result<std::size_t> header = HeaderBytes(*configuration);
  if (!header) return Forward(header);
  configurations_.Add(entry.index, std::move(*configuration));
  header_bytes_ = std::max<std::uint64_t>(header_bytes_, *header);
  return {};
}

template <typename Fill>
Status SegmentedLog::Add(RecordType type, Reserve reserve, std::size_t payload_bytes, Fill fill) {
  if (payload_bytes > kMaxPayloadBytes) {
    return Fail(ErrorCode::kInvalid, "a log record of " + std::to_string(payload_bytes) +
                                         " bytes is over the limit of " +
                                         std::to_string(kMaxPayloadBytes));
  }
  const std::size_t bytes = RecordBytes(payload_bytes);
  // What one sync covers is limited, so that recovery knows how far garbage may reach.
  if (buffer_.size() + bytes > kMaxUnsyncedBytes) QUORATE_RETURN_IF_ERROR(Flush());
  if (Next().offset + bytes > Limit(reserve)) QUORATE_RETURN_IF_ERROR(RollOver(bytes));
  const std::size_t begin = BeginRecord(buffer_);
  fill(buffer_);
  FinishRecord(buffer_, begin, type, end_, current_.seed);
  return {};
}

Status SegmentedLog::Flush() {
  if (buffer_.empty()) return {};
  Status written = current_.file->Write(end_.offset, buffer_);
  if (written) written = current_.file->Sync();
  if (!written) return NotForWantOfSpace(written);
  bytes_written_ += buffer_.size();
  ++syncs_;
  end_ = Next();
  buffer_.clear();
  NoteRoom();
  return {};
}

// The next segment says where this one ends, so everything in this one must be durable first.
Status SegmentedLog::RollOver(std::size_t record_bytes) {
  QUORATE_RETURN_IF_ERROR(Flush());
  configurations_.CutTo(live_.extent().start.index);
  const raft::Configuration& configuration = configurations_.InForce();
  const Result<std::uint64_t> capacity = CapacityFor(record_bytes, configuration);
  if (!capacity) return Forward(capacity);
  const std::uint64_t previous_end = end_.offset;
  QUORATE_RETURN_IF_ERROR(
      NextSegment({*capacity, hard_state_, last_, begun_, /*salt=*/0, configuration}));
  live_.Add(current_, previous_end);
  return {};
}

// Until the new segment has its name the old log counts, and from then on nothing of it.
Status SegmentedLog::Restart(const raft::SnapshotMark& mark, const raft::HardState& hard_state) {
  const Result<std::uint64_t> capacity = CapacityFor(0, mark.configuration);
  if (!capacity) return Forward(capacity);
  QUORATE_RETURN_IF_ERROR(NextSegment(
      {*capacity, hard_state, mark.position, mark.position, /*salt=*/0, mark.configuration}));
  begun_ = last_ = mark.position;
  hard_state_ = hard_state;
  configurations_ = ConfigurationHistory(mark.configuration);
  if (Status retired = Retire(live_.Restart(current_)); !retired) return NotForWantOfSpace(retired);
  return {};
}

Status SegmentedLog::NextSegment(SegmentHeader header) {
  header.salt = SaltOf(end_.segment + 1, salt_);
  Result<Segment> next = spare_.Name(end_.segment + 1, std::move(header), end_);
  if (!next) return Forward(next);
  current_ = std::move(*next);
  end_ = {current_.sequence, static_cast<std::uint32_t>(current_.begin)};
  header_bytes_ = current_.begin;
  NoteRoom();
  return {};
}

// Oldest first: whatever a crash leaves of them is without gaps.
Status SegmentedLog::Retire(std::vector<Segment> old) {
  if (old.empty()) return {};
  for (Segment& segment : old) {
    const std::uint32_t sequence = segment.sequence;
    const Result<bool> recycled = spare_.Recycle(std::move(segment));
    if (!recycled) return Forward(recycled);
    if (!*recycled) QUORATE_RETURN_IF_ERROR(RemoveSegment(files_, directory_, sequence));
    // One by one: names that leave together may leave in any order, and a gap would look like
    // damage.
    QUORATE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
  }
  return {};
}

void SegmentedLog::Publish() {
  live_.Publish(placed_, end_.offset);
  placed_.clear();
}

void SegmentedLog::NoteRoom() {
  const std::uint64_t kept = end_.offset + reserve_;
  room_ = current_.capacity > kept ? current_.capacity - kept : 0;
  half_used_ = end_.offset >= current_.capacity / 2;
}

LogStats SegmentedLog::stats() const {
  const LiveSegments::Extent extent = live_.extent();
  const std::uint64_t spare = spare_.capacity();
  LogStats stats;
  stats.syncs = syncs_;
  stats.bytes_written = bytes_written_;
  stats.segments = extent.segments;
  stats.disk_bytes = extent.disk_bytes + spare;
  stats.recycled = spare_.recycled();
  stats.first = extent.start.index + 1;
  stats.room_bytes = room_;
  if (spare > 0) {
    // A record that no longer fits into the present segment leaves the rest of that one unused.
    const std::uint64_t in_present = stats.room_bytes - std::min(stats.room_bytes, kMaxRecordBytes);
    const std::uint64_t kept = std::min(spare, header_bytes_ + reserve_);
    stats.room_bytes = std::max(stats.room_bytes, in_present + spare - kept);
  }
  return stats;
}

Result<std::vector<raft::Entry>> SegmentedLog::Read(raft::Index first, raft::Index last,
                                                    std::size_t max_bytes) {
  std::vector<raft::Entry> entries;
  std::size_t bytes = 0;
  std::uint64_t replacements = 0;
  for (raft::Index next = first; next <= last;) {
    Result<LiveSegments::Run> found = live_.Find(next);
    if (!found && entries.empty()) return Forward(found);
    // Entries of before and after a replacement must not be mixed: what there is, is a consistent
    // prefix.
    if (!found || (!entries.empty() && found->replacements != replacements)) break;
    replacements = found->replacements;
    const raft::Index run_last = std::min({last, found->last, found->run.last});
    RecordReader reader(*found->file, found->run.place.segment, found->salt,
                        found->run.place.offset, kMaxSegmentBytes);
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
                   const raft::SnapshotMark& start) {
  QUORATE_RETURN_IF_ERROR(CheckOptions(options));
  const Result<std::vector<std::string>> names = files.List(directory);
  if (!names) return Forward(names);
  for (const std::string& name : *names) {
    if (ParseSegmentName(name)) return Fail(ErrorCode::kExists, directory + " already holds a log");
  }
  const Result<std::size_t> header_bytes = HeaderBytes(start.configuration);
  if (!header_bytes) return Forward(header_bytes);
  SegmentHeader header;
  header.capacity = std::max<std::uint64_t>(options.segment_bytes, *header_bytes);
  header.hard_state.term = start.position.term;
  header.last = header.start = start.position;
  header.salt = SaltOf(1, options.salt);
  header.configuration = start.configuration;
  Result<std::unique_ptr<File>> file = PrepareSegment(files, directory, header.capacity);
  if (!file) return Forward(file);
  const Result<Segment> segment =
      NameSegment(files, directory, std::move(*file), 1, header, Place{});
  if (!segment) return Forward(segment);
  return {};
}

Result<Log::Opened> Log::Open(FileSystem& files, const std::string& directory,
                              const LogOptions& options) {
  QUORATE_RETURN_IF_ERROR(CheckOptions(options));
  Result<RecoveredLog> recovered = RecoverLog(files, directory, options.control);
  if (!recovered) return Forward(recovered);
  Opened opened;
  opened.recovery = recovered->recovery;
  opened.log = std::make_unique<SegmentedLog>(files, directory, options, std::move(*recovered));
  return opened;
}

}  // namespace quorate::storage
