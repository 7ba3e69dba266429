#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/snapshot.h>
#include <rocksdb/sst_file_manager.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "raft/assert.h"
#include "storage/change_set.h"
#include "storage/execute.h"
#include "storage/little_endian.h"
#include "storage/published_position.h"
#include "storage/state_machine.h"
#include "storage/stored_record.h"

// The state machine on RocksDB.
//
//   column family   key              value
//   default         the key          stored_record.h
//   meta            "applied"        index u64 | term u64
//   meta            "configuration"  the last applied one, encoded
//
// RocksDB's own log is off. Both families are flushed together (atomic_flush), so that after a
// crash the data is that of exactly the position beside it, and the raft log replays what follows.
namespace quorate::storage {
namespace {

constexpr char kMetaFamily[] = "meta";
constexpr char kAppliedKey[] = "applied";
constexpr char kConfigurationKey[] = "configuration";

// Notes that something was flushed, so that flushed() asks RocksDB only then.
class FlushListener final : public rocksdb::EventListener {
 public:
  void OnFlushCompleted(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) override {
    Note();
  }
  void Note() { flushed_.store(true, std::memory_order_release); }
  bool Take() { return flushed_.exchange(false, std::memory_order_acq_rel); }

 private:
  std::atomic<bool> flushed_{true};
};

rocksdb::CompressionType BestCompression() {
  for (const auto type : rocksdb::GetSupportedCompressions()) {
    if (type == rocksdb::kLZ4Compression) return type;
  }
  return rocksdb::kNoCompression;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const DatabaseOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  // Indexes and filters count against the cache too: memory stays bounded however many keys there
  // are.
  table.block_cache = rocksdb::NewLRUCache(options.cache_bytes, /*num_shard_bits=*/2);
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  rocksdb::ColumnFamilyOptions family;
  family.write_buffer_size = options.memtable_bytes;
  family.max_write_buffer_number = 3;  // one being flushed need not stop writes
  family.compression = BestCompression();
  family.level_compaction_dynamic_level_bytes = true;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

// Tuned for little CPU and memory: one writer, two background threads, no statistics.
rocksdb::DBOptions EngineOptions(std::shared_ptr<FlushListener> listener) {
  rocksdb::DBOptions db;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.atomic_flush = true;
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;
  db.max_background_jobs = 2;
  db.max_open_files = 512;
  db.bytes_per_sync = 1 << 20;  // or a flush would hold up the log's own syncs
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.info_log_level = rocksdb::WARN_LEVEL;
  db.keep_log_file_num = 2;
  db.max_log_file_size = 1 << 20;
  db.listeners.push_back(std::move(listener));
  // Watches the disk after a flush has found no room, and goes on by itself once there is some.
  db.sst_file_manager.reset(rocksdb::NewSstFileManager(rocksdb::Env::Default()));
  return db;
}

// RocksDB's own log of what it does; a copy that is only looked at must not get one.
class NoLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

std::string EncodePosition(raft::Position position) {
  std::string out;
  AppendInt(out, position.index);
  AppendInt(out, position.term);
  return out;
}

tl::unexpected<Error> FailRocksDb(const rocksdb::Status& status, std::string_view doing) {
  return tl::make_unexpected(FromRocksDb(status, doing));
}

tl::unexpected<Error> FailForm() {
  return Fail(ErrorCode::kCorrupt, "the database holds a record of unknown form; check the disk");
}

// An open RocksDB with its two families.
struct Engine {
  std::shared_ptr<FlushListener> listener = std::make_shared<FlushListener>();
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> data;
  std::unique_ptr<rocksdb::ColumnFamilyHandle> meta;

  Engine() = default;
  Engine(Engine&&) = default;
  ~Engine() {
    data.reset();  // handles before their database
    meta.reset();
  }

  // The position that `read` sees; nothing if that might need the disk and `read` forbids it.
  Result<std::optional<raft::Position>> Position(const rocksdb::ReadOptions& read) const {
    rocksdb::PinnableSlice value;
    const auto status = db->Get(read, meta.get(), kAppliedKey, &value);
    if (status.IsNotFound()) return raft::Position{};
    if (status.IsIncomplete()) return std::nullopt;
    if (!status.ok()) return FailRocksDb(status, "reading the applied position");
    if (value.size() != 16) return FailForm();
    const std::string_view bytes = value.ToStringView();
    return raft::Position{LoadInt<raft::Index>(bytes), LoadInt<raft::Term>(bytes, 8)};
  }

  // Both families together, so that data and position stay those of one moment.
  rocksdb::Status Flush() { return db->Flush(rocksdb::FlushOptions(), {data.get(), meta.get()}); }

  // The last configuration applied; nothing if there is none.
  Result<std::optional<raft::Configuration>> Configuration() const {
    rocksdb::PinnableSlice value;
    const auto status = db->Get(rocksdb::ReadOptions(), meta.get(), kConfigurationKey, &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return FailRocksDb(status, "reading the configuration");
    auto configuration = raft::Configuration::Decode(value.ToStringView());
    if (!configuration) return FailForm();
    return configuration;
  }
};

void SetHandles(Engine& engine, rocksdb::DB* db,
                const std::vector<rocksdb::ColumnFamilyHandle*>& handles) {
  engine.db.reset(db);
  engine.data.reset(handles[0]);
  engine.meta.reset(handles[1]);
}

Result<std::shared_ptr<Engine>> OpenEngine(const std::string& path,
                                           const DatabaseOptions& options) {
  auto engine = std::make_shared<Engine>();
  const rocksdb::ColumnFamilyOptions family = FamilyOptions(options);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::Open(
      EngineOptions(engine->listener), path,
      {{rocksdb::kDefaultColumnFamilyName, family}, {kMetaFamily, family}}, &handles, &db);
  if (!status.ok()) return FailRocksDb(status, "opening " + path);
  SetHandles(*engine, db, handles);
  return engine;
}

// What a copy is the state of. Nothing is written to it.
Result<raft::SnapshotMark> MarkOf(const std::string& directory) {
  rocksdb::DBOptions options;
  options.info_log = std::make_shared<NoLogger>();
  const rocksdb::ColumnFamilyOptions family;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::OpenForReadOnly(
      options, directory, {{rocksdb::kDefaultColumnFamilyName, family}, {kMetaFamily, family}},
      &handles, &db);
  if (!status.ok()) return FailRocksDb(status, "opening " + directory);
  Engine copy;
  SetHandles(copy, db, handles);
  const Result<std::optional<raft::Position>> position = copy.Position(rocksdb::ReadOptions());
  if (!position) return Forward(position);
  Result<std::optional<raft::Configuration>> configuration = copy.Configuration();
  if (!configuration) return Forward(configuration);
  return raft::SnapshotMark{**position, configuration->value_or(raft::Configuration{})};
}

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
  const std::shared_ptr<const Engine> engine_;  // outlives the snapshot in it
  rocksdb::ManagedSnapshot snapshot_;
  rocksdb::ReadOptions read_;
  raft::Position at_;
  Status status_;  // of reading the position: Scan() reports it
};

class Database final : public StateMachine {
 public:
  Database(std::shared_ptr<Engine> engine, raft::Position applied)
      : engine_(std::move(engine)), changes_(*engine_->db, *engine_->data), applied_(applied) {}

  Result<std::vector<Applied>> Apply(std::span<const raft::Entry> entries) override;
  raft::Position applied() const override { return applied_.Get(); }
  raft::Position flushed() const override;
  Result<std::optional<ReadOutcome>> Get(std::string_view key, Cost cost) const override;
  std::unique_ptr<StateView> View() const override {
    return std::make_unique<DatabaseView>(engine_);
  }
  std::optional<raft::Configuration> configuration() const override {
    const Result<std::optional<raft::Configuration>> found = engine_->Configuration();
    return found ? *found : std::nullopt;
  }
  std::uint64_t disk_bytes() const override;
  Result<raft::SnapshotMark> Checkpoint(const std::string& directory) override;

  Status Flush() override {
    const auto status = engine_->Flush();
    if (!status.ok()) return FailRocksDb(status, "flushing");
    engine_->listener->Note();
    return {};
  }

 private:
  Status GoOn();
  Status Write(raft::Position position);
  Result<std::optional<ReadOutcome>> GetAtSnapshot(std::string_view key,
                                                   rocksdb::ReadOptions read) const;
  // Fills `out.record`. False if that might need the disk and `read` forbids it.
  Result<bool> GetRecord(std::string_view key, const rocksdb::ReadOptions& read,
                         ReadOutcome& out) const;

  const std::shared_ptr<Engine> engine_;
  ChangeSet changes_;      // the applier's, kept for its memory
  wire::Command command_;  // likewise
  PublishedPosition applied_;
  bool stopped_ = false;                  // by a full disk
  std::atomic<std::uint64_t> writes_{0};  // odd while one is under way
  mutable std::mutex flushed_mutex_;
  mutable raft::Position flushed_;
};

Result<std::vector<Applied>> Database::Apply(std::span<const raft::Entry> entries) {
  std::vector<Applied> results;
  if (entries.empty()) return results;
  QUORATE_ASSERT(entries.front().index == applied().index + 1,
                 "entries are applied once and in order");
  results.reserve(entries.size());
  QUORATE_RETURN_IF_ERROR(GoOn());
  changes_.Clear();
  for (const raft::Entry& entry : entries) {
    QUORATE_ASSERT(entry.index == entries.front().index + results.size(),
                   "entries are consecutive");
    Result<Applied> applied = Execute(entry, command_, changes_);
    if (!applied) return Forward(applied);
    results.push_back(*applied);
    if (entry.kind == raft::EntryKind::kConfiguration) {
      changes_.batch().Put(engine_->meta.get(), kConfigurationKey,
                           rocksdb::Slice(entry.data.view()));
    }
  }
  QUORATE_RETURN_IF_ERROR(Write({entries.back().index, entries.back().term}));
  return results;
}

std::uint64_t Database::disk_bytes() const {
  std::uint64_t total = 0;
  for (const auto& property : {rocksdb::DB::Properties::kLiveSstFilesSize,
                               rocksdb::DB::Properties::kCurSizeAllMemTables}) {
    std::uint64_t bytes = 0;
    if (engine_->db->GetAggregatedIntProperty(property, &bytes)) total += bytes;
  }
  return total;
}

Result<raft::SnapshotMark> Database::Checkpoint(const std::string& directory) {
  rocksdb::Checkpoint* made = nullptr;
  auto status = rocksdb::Checkpoint::Create(engine_->db.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  // Flushes both families first: without a log of RocksDB's own, what is in memory is in no file.
  if (status.ok()) status = checkpoint->CreateCheckpoint(directory, /*log_size_for_flush=*/0);
  engine_->listener->Note();
  if (!status.ok()) return FailRocksDb(status, "copying itself to " + directory);
  return MarkOf(directory);
}

// After a flush that found no room RocksDB takes no writes until it is told, or finds out, that
// there is some.
Status Database::GoOn() {
  if (!stopped_) return {};
  const auto status = engine_->db->Resume();
  if (!status.ok()) return FailRocksDb(status, "going on after its disk was full");
  stopped_ = false;
  return {};
}

Status Database::Write(raft::Position position) {
  changes_.batch().Put(engine_->meta.get(), kAppliedKey, EncodePosition(position));
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  const std::uint64_t before = writes_.load(std::memory_order_relaxed);
  writes_.store(before + 1, std::memory_order_relaxed);
  const auto status = engine_->db->Write(write, &changes_.batch());
  if (status.ok()) applied_.Set(position);
  writes_.store(before + 2, std::memory_order_release);
  stopped_ = status.IsNoSpace();
  if (!status.ok()) return FailRocksDb(status, "applying entries");
  return {};
}

// The fast path is a sequence lock around the writes: if none began or ended between the two looks,
// the value is that of the published position. It needs no fences of its own: RocksDB publishes a
// write with a release store that Get() acquires, so a reader that saw any of it also sees that the
// count is odd or has moved on.
Result<std::optional<ReadOutcome>> Database::Get(std::string_view key, Cost cost) const {
  rocksdb::ReadOptions read;
  if (cost == Cost::kMemoryOnly) read.read_tier = rocksdb::kBlockCacheTier;
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
  if (status.IsIncomplete()) return false;
  if (!status.ok()) return FailRocksDb(status, "reading a key");
  out.record = DecodeRecord(stored.ToStringView());
  if (!out.record) return FailForm();
  return true;
}

raft::Position Database::flushed() const {
  const std::lock_guard lock(flushed_mutex_);
  if (!engine_->listener->Take()) return flushed_;
  rocksdb::ReadOptions read;
  read.read_tier = rocksdb::kPersistedTier;
  if (const Result<std::optional<raft::Position>> position = engine_->Position(read);
      position && *position) {
    flushed_ = **position;
  } else {
    engine_->listener->Note();  // the old answer is still true, only late; ask again next time
  }
  return flushed_;
}

}  // namespace

Result<std::unique_ptr<StateMachine>> OpenDatabase(const std::string& path,
                                                   const DatabaseOptions& options) {
  const Result<std::shared_ptr<Engine>> engine = OpenEngine(path, options);
  if (!engine) return Forward(engine);
  const Result<std::optional<raft::Position>> applied = (*engine)->Position(rocksdb::ReadOptions());
  if (!applied) return Forward(applied);
  return std::make_unique<Database>(*engine, **applied);
}
Status AdoptDatabase(const std::string& path, const DatabaseOptions& options,
                     const raft::SnapshotMark& start) {
  const Result<std::shared_ptr<Engine>> engine = OpenEngine(path, options);
  if (!engine) return Forward(engine);
  const Result<std::optional<raft::Position>> at = (*engine)->Position(rocksdb::ReadOptions());
  if (!at) return Forward(at);
  if (**at != start.position) {
    return Fail(ErrorCode::kCorrupt, path + " is not the state that its manifest says it is");
  }
  rocksdb::WriteOptions write;
  write.disableWAL = true;
  auto status = (*engine)->db->Put(write, (*engine)->meta.get(), kConfigurationKey,
                                   start.configuration.Encode());
  if (status.ok()) status = (*engine)->Flush();
  if (!status.ok()) return FailRocksDb(status, "taking over " + path);
  return {};
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

}  // namespace quorate::storage
