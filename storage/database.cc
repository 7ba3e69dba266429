#include <rocksdb/db.h>
#include <rocksdb/snapshot.h>
#include <rocksdb/utilities/checkpoint.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "raft/assert.h"
#include "storage/change_set.h"
#include "storage/engine.h"
#include "storage/execute.h"
#include "storage/page_cache.h"
#include "storage/published_position.h"
#include "storage/sessions.h"
#include "storage/state_machine.h"
#include "storage/stored_record.h"

// The state machine on RocksDB. What lies where: engine.h.
namespace quorate::storage {
namespace {

// Of one batch, what it writes and what it answers: short commands may have long effects, as an
// append to a long value has, so that the entries' own length bounds nothing.
constexpr std::size_t kMaxBatchBytes = 4 << 20;

class DatabaseView final : public StateView {
 public:
  explicit DatabaseView(std::shared_ptr<const Engine> engine)
      : engine_(std::move(engine)), snapshot_(engine_->db.get()) {
    read_.snapshot = snapshot_.snapshot();
    const Result<std::optional<raft::Position>> at = engine_->Position(read_);
    if (at) {
      at_ = **at;
    } else {
      status_ = Forward(at);
    }
  }

  raft::Position at() const override { return at_; }

  Result<Page> Scan(std::string_view first, std::string_view last, std::size_t max_items,
                    std::size_t max_bytes, bool count_only) const override {
    if (!status_) return Forward(status_);
    rocksdb::ReadOptions read = read_;
    const rocksdb::Slice bound(last);
    if (!last.empty()) read.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> it(
        engine_->db->NewIterator(read, engine_->data.get()));
    Page page;
    std::size_t bytes = 0;
    for (it->Seek(rocksdb::Slice(first)); it->Valid(); it->Next()) {
      if (page.count >= max_items || (page.count > 0 && bytes >= max_bytes)) {
        page.next = it->key().ToString();
        break;
      }
      ++page.count;
      bytes += it->key().size() + it->value().size();
      if (count_only) continue;
      std::optional<Record> record = DecodeRecord(it->value().ToStringView());
      if (!record) return FailForm();
      page.items.push_back({it->key().ToString(), std::move(*record)});
    }
    if (!it->status().ok()) return FailRocksDb(it->status(), "scanning");
    return page;
  }

 private:
  const std::shared_ptr<const Engine> engine_;  // beyond the snapshot
  rocksdb::ManagedSnapshot snapshot_;
  rocksdb::ReadOptions read_;
  raft::Position at_;
  Status status_;  // of reading the position: Scan() reports it
};

// Those of sessions, from `first` on, in order of their names; as they were when it began.
template <typename Visit>
Status ForEachRow(const Engine& engine, std::string_view first, Visit visit) {
  const rocksdb::Slice bound(Sessions::RowsEnd());
  rocksdb::ReadOptions read;
  read.iterate_upper_bound = &bound;
  const std::unique_ptr<rocksdb::Iterator> row(engine.db->NewIterator(read, engine.meta.get()));
  for (row->Seek(rocksdb::Slice(first)); row->Valid(); row->Next()) {
    QUORATE_RETURN_IF_ERROR(visit(row->key().ToStringView(), row->value().ToStringView()));
  }
  if (!row->status().ok()) return FailRocksDb(row->status(), "reading the sessions");
  return {};
}

Status LoadSessions(const Engine& engine, Sessions& sessions) {
  sessions.Clear();
  return ForEachRow(engine, Sessions::RowsBegin(),
                    [&](std::string_view name, std::string_view value) -> Status {
                      if (!sessions.LoadRow(name, value)) return FailForm();
                      return {};
                    });
}

// The raft log is the log.
rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return options;
}

class Database final : public StateMachine {
 public:
  Database(std::unique_ptr<Engine> engine, const DatabaseOptions& options, raft::Position applied,
           std::optional<raft::Configuration> configuration, Sessions sessions)
      : options_(options),
        engine_(std::move(engine)),
        changes_(*engine_->db, *engine_->data, *engine_->meta),
        sessions_(std::move(sessions)),
        applied_(applied),
        configuration_(std::move(configuration)) {
    PublishSessions();
  }

  Result<std::vector<Applied>> Apply(std::span<const raft::Entry> entries) override;
  raft::Position applied() const override { return applied_.Get(); }
  raft::Position flushed() const override;
  Result<std::optional<ReadOutcome>> Get(std::string_view key, Cost cost) const override;
  std::unique_ptr<StateView> View() const override {
    return std::make_unique<DatabaseView>(engine_);
  }
  SessionStats sessions() const override {
    return {open_sessions_.load(std::memory_order_relaxed),
            ending_sessions_.load(std::memory_order_relaxed),
            clock_us_.load(std::memory_order_relaxed)};
  }
  std::vector<std::uint64_t> DueSessions(std::uint64_t clock_us, std::size_t max) const override {
    // Until they are loaded again they are ahead of the rows.
    return sessions_valid_ ? sessions_.Due(clock_us, max) : std::vector<std::uint64_t>();
  }
  Status Flush() override { return engine_->Flush(); }
  std::optional<raft::Configuration> configuration() const override {
    const std::lock_guard lock(configuration_mutex_);
    return configuration_;
  }
  std::uint64_t disk_bytes() const override;
  Result<raft::SnapshotMark> Checkpoint(const std::string& directory) override;

 private:
  Result<std::vector<Applied>> ApplyBatch(std::span<const raft::Entry> entries);
  Status Write(raft::Position position);
  void PublishSessions();
  Result<std::optional<ReadOutcome>> GetAtSnapshot(std::string_view key,
                                                   rocksdb::ReadOptions read) const;
  // Fills `out.record`. False if that needs the disk and must not wait for it.
  Result<bool> GetRecord(std::string_view key, const rocksdb::ReadOptions& read,
                         ReadOutcome& out) const;

  const DatabaseOptions options_;
  const std::shared_ptr<const Engine> engine_;
  ChangeSet changes_;           // the applier's, kept for its memory
  wire::Command command_;       // likewise
  Sessions sessions_;           // likewise
  bool sessions_valid_ = true;  // they are those of the rows
  std::atomic<std::uint64_t> open_sessions_{0};
  std::atomic<std::uint64_t> ending_sessions_{0};
  std::atomic<std::uint64_t> clock_us_{0};
  PublishedPosition applied_;
  std::atomic<std::uint64_t> writes_{0};  // odd while one is under way
  mutable std::mutex flushed_mutex_;
  mutable raft::Position flushed_;
  mutable std::mutex configuration_mutex_;
  std::optional<raft::Configuration> configuration_;
};

Result<std::vector<Applied>> Database::Apply(std::span<const raft::Entry> entries) {
  if (entries.empty()) return std::vector<Applied>();
  QUORATE_ASSERT(entries.front().index == applied().index + 1,
                 "entries are applied once and in order");
  QUORATE_RETURN_IF_ERROR(engine_->GoOn());
  // A batch that could not be written has changed the sessions in memory all the same.
  if (!sessions_valid_) QUORATE_RETURN_IF_ERROR(LoadSessions(*engine_, sessions_));
  sessions_valid_ = false;
  Result<std::vector<Applied>> results = ApplyBatch(entries);
  sessions_valid_ = results.has_value();
  if (results) PublishSessions();
  return results;
}

void Database::PublishSessions() {
  const SessionStats stats = sessions_.stats();
  open_sessions_.store(stats.open, std::memory_order_relaxed);
  ending_sessions_.store(stats.ending, std::memory_order_relaxed);
  clock_us_.store(stats.clock_us, std::memory_order_relaxed);
}

Result<std::vector<Applied>> Database::ApplyBatch(std::span<const raft::Entry> entries) {
  std::vector<Applied> results;
  results.reserve(entries.size());
  changes_.Clear();
  const raft::Entry* configuration = nullptr;
  std::size_t answered = 0;
  for (const raft::Entry& entry : entries) {
    QUORATE_ASSERT(entry.index == entries.front().index + results.size(),
                   "entries are consecutive");
    Result<Applied> applied = Execute(entry, command_, changes_, sessions_);
    if (!applied) return Forward(applied);
    answered += applied->result.size();
    results.push_back(std::move(*applied));
    if (entry.kind == raft::EntryKind::kConfiguration) {
      changes_.batch().Put(engine_->meta.get(), kConfigurationKey,
                           rocksdb::Slice(entry.data.view()));
      configuration = &entry;
    }
    if (answered + changes_.batch().GetDataSize() >= kMaxBatchBytes) break;
  }
  sessions_.WriteRows(changes_);
  QUORATE_RETURN_IF_ERROR(Write({results.back().index, results.back().term}));
  if (configuration != nullptr) {
    auto decoded = raft::Configuration::Decode(configuration->data.view());
    const std::lock_guard lock(configuration_mutex_);
    configuration_ = std::move(decoded);
  }
  return results;
}

Status Database::Write(raft::Position position) {
  changes_.batch().Put(engine_->meta.get(), kAppliedKey, EncodePosition(position));
  const std::uint64_t before = writes_.load(std::memory_order_relaxed);
  writes_.store(before + 1, std::memory_order_relaxed);
  const auto status = engine_->db->Write(WithoutLog(), &changes_.batch());
  if (status.ok()) applied_.Set(position);
  writes_.store(before + 2, std::memory_order_release);
  if (!status.ok()) return FailRocksDb(status, "applying entries");
  return {};
}

// The fast path is a sequence lock around the writes: if none began or ended between the two looks,
// the value is that of the published position. It needs no fences of its own: RocksDB publishes a
// write with a release store that Get() acquires, so a reader that saw any of it also sees that the
// count is odd or has moved on.
Result<std::optional<ReadOutcome>> Database::Get(std::string_view key, Cost cost) const {
  const rocksdb::ReadOptions read;
  std::optional<NoWaiting> no_waiting;
  if (cost == Cost::kMemoryOnly) no_waiting.emplace();
  const std::uint64_t before = writes_.load(std::memory_order_acquire);
  if (before % 2 == 0) {
    ReadOutcome out;
    out.at = applied_.Get();
    const Result<bool> known = GetRecord(key, read, out);
    if (!known) return Forward(known);
    if (!*known) return std::nullopt;
    if (writes_.load(std::memory_order_acquire) == before) return out;
  }
  return GetAtSnapshot(key, read);
}

// The slow path never waits for the writer: a snapshot holds the value and the position of one
// instant.
Result<std::optional<ReadOutcome>> Database::GetAtSnapshot(std::string_view key,
                                                           rocksdb::ReadOptions read) const {
  rocksdb::ManagedSnapshot snapshot(engine_->db.get());
  read.snapshot = snapshot.snapshot();
  const Result<std::optional<raft::Position>> at = engine_->Position(read);
  if (!at) return Forward(at);
  if (!*at) return std::nullopt;
  ReadOutcome out;
  out.at = **at;
  const Result<bool> known = GetRecord(key, read, out);
  if (!known) return Forward(known);
  if (!*known) return std::nullopt;
  return out;
}

Result<bool> Database::GetRecord(std::string_view key, const rocksdb::ReadOptions& read,
                                 ReadOutcome& out) const {
  rocksdb::PinnableSlice stored;
  const auto status = engine_->db->Get(read, engine_->data.get(), rocksdb::Slice(key), &stored);
  if (status.IsNotFound()) return true;
  if (status.IsBusy()) return false;
  if (!status.ok()) return FailRocksDb(status, "reading a key");
  out.record = DecodeRecord(stored.ToStringView());
  if (!out.record) return FailForm();
  return true;
}

raft::Position Database::flushed() const {
  const std::lock_guard lock(flushed_mutex_);
  if (!engine_->listener->TakeFlush()) return flushed_;
  rocksdb::ReadOptions read;
  read.read_tier = rocksdb::kPersistedTier;
  if (const Result<std::optional<raft::Position>> position = engine_->Position(read);
      position && *position) {
    flushed_ = **position;
  } else {
    engine_->listener->NoteFlush();  // the old answer is still true, only late; ask again next time
  }
  return flushed_;
}

std::uint64_t Database::disk_bytes() const {
  std::uint64_t sum = 0;
  for (const auto* property : {&rocksdb::DB::Properties::kLiveSstFilesSize,
                               &rocksdb::DB::Properties::kCurSizeAllMemTables}) {
    std::uint64_t bytes = 0;
    if (engine_->db->GetAggregatedIntProperty(*property, &bytes)) sum += bytes;
  }
  return sum;
}

Result<raft::SnapshotMark> Database::Checkpoint(const std::string& directory) {
  QUORATE_RETURN_IF_ERROR(engine_->Flush());
  rocksdb::Checkpoint* made = nullptr;
  auto status = rocksdb::Checkpoint::Create(engine_->db.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (status.ok()) status = checkpoint->CreateCheckpoint(directory);
  engine_->listener->NoteFlush();
  if (!status.ok()) return FailRocksDb(status, "making a checkpoint");
  // Damage must not travel: a node that fetches this would hold it too, with good checksums.
  QUORATE_RETURN_IF_ERROR(VerifyDatabase(directory, options_));
  // Flushes go on beside this, so only the copy itself knows what it holds.
  return ReadDatabaseMark(directory, options_);
}

}  // namespace

Result<std::unique_ptr<StateMachine>> OpenDatabase(const std::string& path,
                                                   const DatabaseOptions& options) {
  Result<std::unique_ptr<Engine>> engine = OpenEngine(path, options);
  if (!engine) return Forward(engine);
  const Result<std::optional<raft::Position>> applied = (*engine)->Position(rocksdb::ReadOptions());
  if (!applied) return Forward(applied);
  Result<std::optional<raft::Configuration>> configuration = (*engine)->Configuration();
  if (!configuration) return Forward(configuration);
  Sessions sessions(options.control);
  QUORATE_RETURN_IF_ERROR(LoadSessions(**engine, sessions));
  return std::make_unique<Database>(std::move(*engine), options, **applied,
                                    std::move(*configuration), std::move(sessions));
}

Result<raft::SnapshotMark> ReadDatabaseMark(const std::string& path,
                                            const DatabaseOptions& options) {
  const Result<std::unique_ptr<Engine>> engine = OpenEngineToRead(path, options);
  if (!engine) return Forward(engine);
  const Result<std::optional<raft::Position>> at = (*engine)->Position(rocksdb::ReadOptions());
  if (!at) return Forward(at);
  const Result<std::optional<raft::Configuration>> recorded = (*engine)->Configuration();
  if (!recorded) return Forward(recorded);
  return raft::SnapshotMark{**at, recorded->value_or(raft::Configuration())};
}

Status VerifyDatabase(const std::string& path, const DatabaseOptions& options) {
  const Result<std::unique_ptr<Engine>> engine = OpenEngineToRead(path, options);
  if (!engine) return Forward(engine);
  const auto status = (*engine)->db->VerifyChecksum();
  if (!status.ok()) return FailRocksDb(status, "checking " + path);
  return {};
}

namespace {

// The rows of sessions and the keys attached to them, in steps that bound the memory.
Status RemoveSessions(const Engine& engine) {
  constexpr std::size_t kStep = 1'000;
  ChangeSet changes(*engine.db, *engine.data, *engine.meta);
  const auto write = [&]() -> Status {
    const auto status = engine.db->Write(WithoutLog(), &changes.batch());
    changes.Clear();
    return status.ok() ? Status() : FailRocksDb(status, "removing sessions");
  };
  std::size_t rows = 0;
  const auto remove = [&](std::string_view name, std::string_view /*value*/) -> Status {
    QUORATE_RETURN_IF_ERROR(Sessions::RemoveRow(name, changes));
    return ++rows % kStep == 0 ? write() : Status();
  };
  QUORATE_RETURN_IF_ERROR(ForEachRow(engine, Sessions::kAllRows, remove));
  return write();
}

}  // namespace

Status AdoptDatabase(const std::string& path, const DatabaseOptions& options,
                     const raft::SnapshotMark& start) {
  const Result<std::unique_ptr<Engine>> engine = OpenEngine(path, options);
  if (!engine) return Forward(engine);
  const Result<std::optional<raft::Position>> at = (*engine)->Position(rocksdb::ReadOptions());
  if (!at) return Forward(at);
  if (**at != start.position) {
    return Fail(ErrorCode::kCorrupt, path + " holds the state at index " +
                                         std::to_string((*at)->index) + ", not at index " +
                                         std::to_string(start.position.index) +
                                         " as its manifest says; use another copy");
  }
  QUORATE_RETURN_IF_ERROR(RemoveSessions(**engine));
  const auto status = (*engine)->db->Put(WithoutLog(), (*engine)->meta.get(), kConfigurationKey,
                                         start.configuration.Encode());
  if (!status.ok()) return FailRocksDb(status, "recording the configuration");
  return (*engine)->Flush();
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace quorate::storage
