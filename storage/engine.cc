#include "storage/engine.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <sys/resource.h>

#include <chrono>
#include <utility>
#include <vector>

#include "storage/change_set.h"
#include "storage/engine_log.h"
#include "storage/flush_watch.h"
#include "storage/little_endian.h"
#include "storage/memtable.h"
#include "storage/page_cache.h"

namespace quorate::storage {
namespace {

constexpr char kMetaFamily[] = "meta";
// Left free by GoOn() at least: for RocksDB's lists of its files.
constexpr std::uint64_t kRoomToGoOn = 8 << 20;
// A flush is not announced if it had nothing left to write.
constexpr std::chrono::milliseconds kLongestWait{100};

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
  family.memtable_factory = NewMemtableFactory();
  family.compression = BestCompression();
  family.level_compaction_dynamic_level_bytes = true;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return family;
}

// Tuned for little CPU and memory: one writer, two background threads, no statistics.
rocksdb::DBOptions EngineOptions(std::shared_ptr<EngineListener> listener, rocksdb::Env* env) {
  rocksdb::DBOptions db;
  db.env = env != nullptr ? env : PageCacheEnv();
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
  // An error of the disk is final; running out of room is gone on from by GoOn().
  db.max_bgerror_resume_count = 0;
  db.listeners.push_back(std::move(listener));
  return db;
}

// Calls `open`, one of RocksDB's ways to open, with where to put what it opens.
template <typename Open>
Result<std::unique_ptr<Engine>> OpenWith(const std::string& path, const DatabaseOptions& options,
                                         Open open) {
  auto engine = std::make_unique<Engine>();
  const rocksdb::ColumnFamilyOptions family = FamilyOptions(options);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      open(EngineOptions(engine->listener, options.env),
           {{rocksdb::kDefaultColumnFamilyName, family}, {kMetaFamily, family}}, &handles, &db);
  if (!status.ok()) return FailRocksDb(status, "opening " + path);
  engine->db.reset(db);
  engine->data.reset(handles[0]);
  engine->meta.reset(handles[1]);
  engine->hang = options.hang;
  return engine;
}

using Families = std::vector<rocksdb::ColumnFamilyDescriptor>;
using Handles = std::vector<rocksdb::ColumnFamilyHandle*>;

// On RocksDB's own threads: where cores are short, what clients wait for comes first. Not so far
// back that flushes could not keep up with the writes that make them.
void StepBack() {
  constexpr int kNice = 5;
  thread_local const int stepped = ::setpriority(PRIO_PROCESS, 0, kNice);
  static_cast<void>(stepped);
}

}  // namespace

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

void EngineListener::OnFlushBegin(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) {
  StepBack();
}

void EngineListener::OnCompactionBegin(rocksdb::DB* /*db*/,
                                       const rocksdb::CompactionJobInfo& /*info*/) {
  StepBack();
}

void EngineListener::OnFlushCompleted(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& /*info*/) {
  NoteFlush();
  AddEvent();
}

void EngineListener::OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                                       rocksdb::Status* /*error*/) {
  NoteFailure();
  AddEvent();
}

void EngineListener::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/,
                                          rocksdb::Status /*error*/, bool* by_itself) {
  *by_itself = false;
}

void EngineListener::AddEvent() {
  const std::lock_guard lock(mutex_);
  ++events_;
  changed_.notify_all();
}

std::uint64_t EngineListener::events() const {
  const std::lock_guard lock(mutex_);
  return events_;
}

void EngineListener::WaitForEventAfter(std::uint64_t events) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLongestWait, [this, events] { return events_ > events; });
}

Result<std::optional<raft::Position>> Engine::Position(const rocksdb::ReadOptions& read) const {
  rocksdb::PinnableSlice value;
  const auto status = db->Get(read, meta.get(), kAppliedKey, &value);
  if (status.IsNotFound()) return raft::Position{};
  if (status.IsBusy()) return std::nullopt;
  if (!status.ok()) return FailRocksDb(status, "reading the applied position");
  if (value.size() != 16) return FailForm();
  const std::string_view bytes = value.ToStringView();
  return raft::Position{LoadInt<raft::Index>(bytes), LoadInt<raft::Term>(bytes, 8)};
}

Result<std::optional<raft::Configuration>> Engine::Configuration() const {
  rocksdb::PinnableSlice value;
  const auto status = db->Get(rocksdb::ReadOptions(), meta.get(), kConfigurationKey, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return FailRocksDb(status, "reading the configuration");
  std::optional<raft::Configuration> configuration =
      raft::Configuration::Decode(value.ToStringView());
  if (!configuration) return FailForm();
  return configuration;
}

Status Engine::Flush() const {
  QUORATE_RETURN_IF_ERROR(GoOn());
  const Result<std::optional<raft::Position>> now = Position(rocksdb::ReadOptions());
  if (!now) return Forward(now);
  const FlushWatch watch(*this);
  const auto status = db->Flush(rocksdb::FlushOptions(), {data.get(), meta.get()});
  if (!status.ok()) return FailRocksDb(status, "flushing");
  return WaitUntilFlushed((*now)->index);
}

// RocksDB 7.8 no longer waits for its flushes once one has failed and it has gone on: Flush() then
// reports success before anything is on the disk.
Status Engine::WaitUntilFlushed(raft::Index index) const {
  rocksdb::ReadOptions read;
  read.read_tier = rocksdb::kPersistedTier;
  while (true) {
    const std::uint64_t events = listener->events();
    QUORATE_RETURN_IF_ERROR(GoOn());
    const Result<std::optional<raft::Position>> flushed = Position(read);
    if (!flushed) return Forward(flushed);
    if ((*flushed)->index >= index) break;
    listener->WaitForEventAfter(events);
  }
  listener->NoteFlush();
  return {};
}

Status Engine::GoOn() const {
  // One at a time: a second Resume() while one is under way is refused as busy.
  const std::lock_guard lock(go_on_mutex);
  if (!listener->failed()) return {};
  // The disk is asked before RocksDB is: each attempt to resume writes all that is in memory.
  std::uint64_t room = 0;
  if (db->GetEnv()->GetFreeSpace(db->GetName(), &room).ok() && room < RoomToGoOn()) {
    return Fail(ErrorCode::kNoSpace, "the database in " + db->GetName() +
                                         " has failed for want of room, and needs " +
                                         std::to_string(RoomToGoOn()) + " bytes to go on, of " +
                                         std::to_string(room) + " that are free");
  }
  listener->ForgetFailure();
  const auto status = [this] {
    const FlushWatch watch(*this);  // Resume() flushes
    return db->Resume();
  }();
  if (status.ok()) return {};
  listener->NoteFailure();
  if (status.IsBusy()) return Fail(ErrorCode::kNoSpace, "the database is already trying to go on");
  return FailRocksDb(status, "going on after an error");
}

// For what is in memory, and for a compaction of as much again.
std::uint64_t Engine::RoomToGoOn() const {
  std::uint64_t bytes = 0;
  db->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &bytes);
  return kRoomToGoOn + 2 * bytes;
}

Result<std::unique_ptr<Engine>> OpenEngine(const std::string& path,
                                           const DatabaseOptions& options) {
  return OpenWith(
      path, options,
      [&](rocksdb::DBOptions engine, const Families& families, Handles* handles, rocksdb::DB** db) {
        engine.info_log = MakeEngineLog(path);
        return rocksdb::DB::Open(engine, path, families, handles, db);
      });
}

Result<std::unique_ptr<Engine>> OpenEngineToRead(const std::string& path,
                                                 const DatabaseOptions& options) {
  return OpenWith(
      path, options,
      [&](rocksdb::DBOptions engine, const Families& families, Handles* handles, rocksdb::DB** db) {
        engine.create_if_missing = false;
        engine.create_missing_column_families = false;
        return rocksdb::DB::OpenForReadOnly(engine, path, families, handles, db);
      });
}

}  // namespace quorate::storage
