// The state machine and its disk: copies of it, a disk without room, bytes that change.
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "storage/state_machine.h"
#include "tests/unit/storage_test_util.h"

namespace quorate::storage {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<StateMachine> Open(const std::string& path, const DatabaseOptions& options = {}) {
  auto db = OpenDatabase(path, options);
  EXPECT_TRUE(db) << db.error().message;
  return db ? std::move(*db) : nullptr;
}

raft::Configuration SomeConfiguration() {
  raft::Configuration configuration = raft::Configuration::Bootstrap({{1, {}, "a:1"}});
  configuration.incarnation = 77;
  return configuration;
}

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(directory)) {
    names.push_back(item.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class DatabaseDiskTest : public testing::Test {
 protected:
  TemporaryDirectory root_{"database_disk"};
};

TEST_F(DatabaseDiskTest, ACheckpointHoldsExactlyItsPosition) {
  const auto db = Open(root_ / "db");
  ApplyNumbers(*db, 1, 100);
  const auto mark = db->Checkpoint(root_ / "copy");
  ASSERT_TRUE(mark) << mark.error().message;
  EXPECT_EQ(mark->position, (raft::Position{100, 1}));
  EXPECT_EQ(mark->configuration, raft::Configuration());
  EXPECT_EQ(db->flushed(), (raft::Position{100, 1})) << "it is flushed on the way";
  ApplyNumbers(*db, 101, 200);
  const auto copy = Open(root_ / "copy");
  EXPECT_EQ(copy->applied(), mark->position);
  EXPECT_EQ(ValueOf(*copy, "k"), "99");
  EXPECT_EQ(ValueOf(*copy, "key 99"), "99");
  EXPECT_EQ(ValueOf(*copy, "key 101"), "(none)");
  EXPECT_EQ(ValueOf(*db, "k"), "199");
}

TEST_F(DatabaseDiskTest, TheConfigurationTravelsAndIsReadBack) {
  {
    const auto db = Open(root_ / "db");
    EXPECT_EQ(db->configuration(), std::nullopt);
    ASSERT_TRUE(db->Apply(std::vector{ConfigurationEntry(1, SomeConfiguration())}));
    EXPECT_EQ(db->configuration(), SomeConfiguration());
    const auto mark = db->Checkpoint(root_ / "copy");
    ASSERT_TRUE(mark);
    EXPECT_EQ(mark->configuration, SomeConfiguration());
    ASSERT_TRUE(db->Flush());
  }
  EXPECT_EQ(Open(root_ / "db")->configuration(), SomeConfiguration());
  EXPECT_EQ(Open(root_ / "copy")->configuration(), SomeConfiguration());
}

TEST_F(DatabaseDiskTest, ACheckpointOfNothing) {
  const auto mark = Open(root_ / "db")->Checkpoint(root_ / "copy");
  ASSERT_TRUE(mark) << mark.error().message;
  EXPECT_EQ(mark->position, raft::Position());
  EXPECT_EQ(Open(root_ / "copy")->applied(), raft::Position());
}

TEST_F(DatabaseDiskTest, LookingAtACheckpointWritesNothingIntoIt) {
  const auto db = Open(root_ / "db");
  ApplyNumbers(*db, 1, 100);
  ASSERT_TRUE(db->Checkpoint(root_ / "copy"));
  for (const std::string& name : NamesIn(root_ / "copy")) {
    EXPECT_FALSE(name.starts_with("LOG") || name == "LOCK") << name;
  }
}

TEST_F(DatabaseDiskTest, ACheckpointThatIsThereIsNotOverwritten) {
  const auto db = Open(root_ / "db");
  ASSERT_TRUE(db->Checkpoint(root_ / "copy"));
  EXPECT_FALSE(db->Checkpoint(root_ / "copy"));
}

// Entries 2n-1 and 2n belong together, and each pair is one batch.
TEST_F(DatabaseDiskTest, CheckpointsBesideTheApplierAreExact) {
  const auto db = Open(root_ / "db", {1 << 20, 1 << 20});
  std::atomic<bool> done{false};
  std::thread applier([&] {
    for (raft::Index i = 1; !done; i += 2) ApplyNumbers(*db, i, i + 1);
  });
  for (int i = 0; i < 5; ++i) {
    const std::string path = root_ / ("copy" + std::to_string(i));
    const raft::Position before = db->applied();
    const auto mark = db->Checkpoint(path);
    ASSERT_TRUE(mark) << mark.error().message;
    EXPECT_GE(mark->position.index, before.index);
    const auto copy = Open(path);
    EXPECT_EQ(copy->applied(), mark->position);
    const raft::Index last = mark->position.index;
    if (last > 0) {
      EXPECT_EQ(ValueOf(*copy, "k"), std::to_string(last - 1));
      EXPECT_EQ(ValueOf(*copy, "key " + std::to_string(last - 1)), std::to_string(last - 1));
      EXPECT_EQ(copy->View()->Scan("", "", 1'000'000, 1 << 30, true)->count, last / 2 + 1);
    }
  }
  done = true;
  applier.join();
}

TEST_F(DatabaseDiskTest, AScanOutlivesTheStateMachine) {
  auto db = Open(root_ / "db");
  ApplyNumbers(*db, 1, 10);
  const auto view = db->View();
  ApplyNumbers(*db, 11, 20);
  db.reset();
  EXPECT_EQ(view->at(), (raft::Position{10, 1}));
  const auto page = view->Scan("", "", 100, 1 << 20, false);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->items.size(), 6);
  EXPECT_EQ(page->items.front().record.value, "9");
}

TEST_F(DatabaseDiskTest, DiskBytesGrowWithWhatIsThere) {
  const auto db = Open(root_ / "db");
  const std::uint64_t empty = db->disk_bytes();
  for (raft::Index i = 1; i <= 100; ++i) {
    // Not compressible, so that the file is as large as what is in it.
    std::string value(10'000, '\0');
    for (std::size_t at = 0; at < value.size(); ++at) {
      value[at] = static_cast<char>((at * 2654435761U + i * 40503U) >> 11);
    }
    ASSERT_TRUE(db->Apply(std::vector{PutEntry(i, std::to_string(i), value)}));
  }
  EXPECT_GT(db->disk_bytes(), empty + 1'000'000) << "in memory, to be flushed";
  ASSERT_TRUE(db->Flush());
  EXPECT_GT(db->disk_bytes(), empty + 100'000);
}

TEST_F(DatabaseDiskTest, AnAdoptedDatabaseHasItsNewConfiguration) {
  {
    const auto db = Open(root_ / "db");
    ASSERT_TRUE(db->Apply(std::vector{ConfigurationEntry(1, SomeConfiguration())}));
    ASSERT_TRUE(db->Flush());
  }
  const auto other = raft::Configuration::Bootstrap({{5, {}, "b:5"}});
  const Status wrong = AdoptDatabase(root_ / "db", {}, {{2, 1}, other});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  ASSERT_TRUE(AdoptDatabase(root_ / "db", {}, {{1, 1}, other}));
  const auto db = Open(root_ / "db");
  EXPECT_EQ(db->configuration(), other);
  EXPECT_EQ(db->applied(), (raft::Position{1, 1}));
}

// --- A disk without room. ---

// The real files, until there is no room: then nothing can be appended.
class FullFiles final : public rocksdb::FileSystemWrapper {
 public:
  FullFiles() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FullFiles"; }

  void SetFull(bool full) { full_ = full; }
  // What is appended meanwhile waits.
  void SetStuck(bool stuck) {
    stuck_ = stuck;
    stuck_.notify_all();
  }
  // Only files with this in their names meet the lack of room.
  void OnlyFor(const std::string& part) { part_ = part; }

  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 std::uint64_t* free, rocksdb::IODebugContext* context) override {
    if (!full_) return target()->GetFreeSpace(path, options, free, context);
    *free = 0;
    return rocksdb::IOStatus::OK();
  }
  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* context) override {
    auto status = target()->NewWritableFile(name, options, result, context);
    if (status.ok()) {
      *result = std::make_unique<WritableFile>(
          std::move(*result), name.find(part_) != std::string::npos, full_, stuck_);
    }
    return status;
  }

 private:
  class WritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    WritableFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, bool concerned,
                 const std::atomic<bool>& full, const std::atomic<bool>& stuck)
        : FSWritableFileOwnerWrapper(std::move(file)),
          concerned_(concerned),
          full_(full),
          stuck_(stuck) {}

    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* context) override {
      if (concerned_ && full_) return rocksdb::IOStatus::NoSpace("no room left");
      if (concerned_) stuck_.wait(true);
      return FSWritableFileOwnerWrapper::Append(data, options, context);
    }

   private:
    const bool concerned_;
    const std::atomic<bool>& full_;
    const std::atomic<bool>& stuck_;
  };

  std::atomic<bool> full_{false};
  std::atomic<bool> stuck_{false};
  std::string part_;
};

class FullDiskTest : public DatabaseDiskTest {
 protected:
  void SetUp() override { OpenDatabase(); }
  void OpenDatabase() {
    db_.reset();
    db_ = Open(root_ / "db", {1 << 20, 1 << 20, env_.get()});
  }
  // Until it is refused for want of room; the index of what was refused.
  raft::Index ApplyUntilFull(raft::Index next) {
    for (; next < 1'000; ++next) {
      const auto applied = db_->Apply(std::vector{Entry(next)});
      if (applied) continue;
      EXPECT_EQ(applied.error().code, ErrorCode::kNoSpace) << applied.error().message;
      break;
    }
    return next;
  }
  static raft::Entry Entry(raft::Index index) {
    return PutEntry(index, "key" + std::to_string(index), std::string(100'000, 'x'));
  }

  std::shared_ptr<FullFiles> files_ = std::make_shared<FullFiles>();
  std::unique_ptr<rocksdb::Env> env_ = rocksdb::NewCompositeEnv(files_);
  std::unique_ptr<StateMachine> db_;
};

TEST_F(FullDiskTest, WhatIsRefusedIsNotAppliedAndGoesThroughOnceThereIsRoom) {
  files_->SetFull(true);
  const raft::Index refused = ApplyUntilFull(1);
  ASSERT_LT(refused, 1'000) << "memory has its limits too";
  EXPECT_EQ(db_->applied().index, refused - 1);
  EXPECT_EQ(db_->flushed().index, 0);
  EXPECT_EQ(ValueOf(*db_, "key1"), std::string(100'000, 'x')) << "reads go on";
  EXPECT_EQ(ValueOf(*db_, "key" + std::to_string(refused)), "(none)");
  EXPECT_EQ(ApplyUntilFull(refused), refused) << "and again";
  files_->SetFull(false);
  const auto applied = db_->Apply(std::vector{Entry(refused)});
  ASSERT_TRUE(applied) << applied.error().message;
  ASSERT_TRUE(db_->Flush());
  EXPECT_EQ(db_->flushed().index, refused);
  OpenDatabase();
  EXPECT_EQ(db_->applied().index, refused);
  EXPECT_EQ(db_->View()->Scan("", "", 2'000, 1 << 30, true)->count, refused);
}

// What a batch did to the sessions in memory is taken back with it.
TEST_F(FullDiskTest, ARefusedBatchLeavesNoTraceInSessions) {
  const auto entry = [](raft::Index index, const wire::Command& command) {
    return raft::Entry{1, index, raft::EntryKind::kCommand,
                       Bytes::Copy(command.SerializeAsString())};
  };
  wire::Command open;
  open.mutable_open_session()->set_ttl_us(1'000'000);
  ASSERT_TRUE(db_->Apply(std::vector{entry(1, open)}));
  const auto write = [&](raft::Index index, const std::string& key) {
    wire::Command command;
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value(std::string(100'000, 'x'));
    command.mutable_session()->set_id(1);
    command.mutable_session()->set_seq(index - 1);
    command.mutable_session()->set_acked_below(index - 1);
    command.set_stamp_us(index);
    return entry(index, command);
  };
  files_->SetFull(true);
  raft::Index next = 2;
  while (next < 1'000 && db_->Apply(std::vector{write(next, "k")})) ++next;
  ASSERT_LT(next, 1'000);
  // Refused once more, together with an opening.
  ASSERT_FALSE(db_->Apply(std::vector{write(next, "k"), entry(next + 1, open)}));
  EXPECT_EQ(db_->sessions().open, 1);
  EXPECT_EQ(db_->sessions().clock_us, next - 1);
  files_->SetFull(false);
  const auto applied = db_->Apply(std::vector{write(next, "k"), entry(next + 1, open)});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_FALSE(applied->front().repeated) << "it was not executed before";
  EXPECT_EQ(applied->front().outcome, Outcome::kDone);
  EXPECT_EQ(db_->sessions().open, 2);
  EXPECT_EQ(db_->sessions().clock_us, next);
}

TEST_F(FullDiskTest, AFlushFailsAndIsDoneAgain) {
  ASSERT_TRUE(db_->Apply(std::vector{Entry(1)}));
  files_->SetFull(true);
  for (int i = 0; i < 3; ++i) {
    const Status flushed = db_->Flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().code, ErrorCode::kNoSpace) << flushed.error().message;
  }
  EXPECT_EQ(db_->flushed().index, 0);
  files_->SetFull(false);
  const Status flushed = db_->Flush();
  ASSERT_TRUE(flushed) << flushed.error().message;
  EXPECT_EQ(db_->flushed().index, 1);
}

TEST_F(FullDiskTest, RoomForTablesButNotForTheirList) {
  files_->OnlyFor("MANIFEST");
  ASSERT_TRUE(db_->Apply(std::vector{Entry(1)}));
  files_->SetFull(true);
  const Status flushed = db_->Flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, ErrorCode::kNoSpace) << flushed.error().message;
  files_->SetFull(false);
  const Status again = db_->Flush();
  ASSERT_TRUE(again) << again.error().message;
  OpenDatabase();
  EXPECT_EQ(db_->applied().index, 1);
}

TEST_F(FullDiskTest, ACheckpointFailsAndTheStateMachineGoesOn) {
  ASSERT_TRUE(db_->Apply(std::vector{Entry(1)}));
  files_->SetFull(true);
  const auto mark = db_->Checkpoint(root_ / "copy");
  ASSERT_FALSE(mark);
  EXPECT_EQ(mark.error().code, ErrorCode::kNoSpace) << mark.error().message;
  files_->SetFull(false);
  ASSERT_TRUE(db_->Apply(std::vector{Entry(2)}));
  fs::remove_all(root_ / "copy");
  const auto again = db_->Checkpoint(root_ / "copy");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->position.index, 2);
}

// --- A RocksDB that waits for ever. ---

class HangTest : public FullDiskTest {
 protected:
  void SetUp() override {
    DatabaseOptions options{.env = env_.get()};
    options.hang = {std::chrono::milliseconds(100), [this](const std::string& what) {
                      what_ = what;
                      hung_ = true;
                      hung_.notify_all();
                    }};
    db_ = Open(root_ / "db", options);
    ASSERT_TRUE(db_->Apply(std::vector{Entry(1)}));
  }

  std::string what_;
  std::atomic<bool> hung_{false};
};

TEST_F(HangTest, IsNoticed) {
  files_->OnlyFor(".sst");
  files_->SetStuck(true);
  std::thread flush([this] { EXPECT_TRUE(db_->Flush()); });
  hung_.wait(false);
  EXPECT_NE(what_.find("waiting for a flush"), std::string::npos) << what_;
  files_->SetStuck(false);
  flush.join();
}

TEST_F(HangTest, AStuckDiskIsNone) {
  files_->SetStuck(true);
  std::thread flush([this] { EXPECT_TRUE(db_->Flush()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_FALSE(hung_) << what_;
  files_->SetStuck(false);
  flush.join();
  EXPECT_FALSE(hung_) << what_;
}

TEST_F(HangTest, AFlushThatEndsIsNone) {
  ASSERT_TRUE(db_->Flush());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_FALSE(hung_) << what_;
}

// --- Bytes that change. ---

class BitRotTest : public DatabaseDiskTest {
 protected:
  void SetUp() override {
    db_ = Open(root_ / "db");
    std::vector<raft::Entry> entries;
    for (raft::Index i = 1; i <= 200; ++i) {
      entries.push_back(PutEntry(i, "key" + std::to_string(1000 + i), std::string(500, 'v')));
    }
    ASSERT_TRUE(db_->Apply(entries));
    ASSERT_TRUE(db_->Flush());
    for (const std::string& name : NamesIn(root_ / "db")) {
      const std::string path = root_ / ("db/" + name);
      if (name.ends_with(".sst") && (table_.empty() || fs::file_size(path) > fs::file_size(table_)))
        table_ = path;
    }
  }
  // In the first block of the keys; the database, open or not, has not read it yet.
  void FlipAByte() const {
    std::fstream file(table_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(100);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(100);
    file.put(byte);
    ASSERT_TRUE(file.flush());
  }

  std::unique_ptr<StateMachine> db_;
  std::string table_;  // the file that holds the keys
};

TEST_F(BitRotTest, IsReportedByReadsAndScansAndNamesTheFile) {
  FlipAByte();
  const auto got = db_->Get("key1001", StateMachine::Cost::kMayReadDisk);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(got.error().message.find(table_), std::string::npos) << got.error().message;
  const auto page = db_->View()->Scan("", "", 1'000, 1 << 20, false);
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, ErrorCode::kCorrupt);
}

TEST_F(BitRotTest, DoesNotTravelInACheckpoint) {
  FlipAByte();
  const auto mark = db_->Checkpoint(root_ / "copy");
  ASSERT_FALSE(mark);
  EXPECT_EQ(mark.error().code, ErrorCode::kCorrupt) << mark.error().message;
}

TEST_F(BitRotTest, AShortenedFileIsReported) {
  db_.reset();
  fs::resize_file(table_, fs::file_size(table_) - 20);
  const auto db = OpenDatabase(root_ / "db", {});
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code, ErrorCode::kCorrupt) << db.error().message;
}

}  // namespace
}  // namespace quorate::storage
