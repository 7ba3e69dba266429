// A log whose process or machine dies at every single operation, its own recoveries included.
#include <gtest/gtest.h>

#include <random>

#include "storage/log.h"
#include "tests/unit/memory_file_system.h"
#include "tests/unit/storage_log_model.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr LogOptions kSmall{64 << 10};

// Random batches, and the state of the log after each of their records.
class Workload {
 public:
  explicit Workload(std::uint64_t seed) : random_(seed) {}

  std::vector<raft::AppendBatch> Next() {
    std::vector<raft::AppendBatch> batches(random_() % 3 + 1);
    for (raft::AppendBatch& batch : batches) {
      if (random_() % 4 == 0) {
        ++term_;
        batch.hard_state = raft::HardState{term_, random_() % 3 + 1};
        Record([&](LogModel& model) { model.Apply(*batch.hard_state); });
      }
      raft::Index next = states_.back().last() + 1;
      if (random_() % 6 == 0) next -= std::min<raft::Index>(next - 1, random_() % 5);
      for (std::size_t i = random_() % 5; i > 0; --i) {
        batch.entries.push_back(
            MakeEntry(next++, term_, std::string(random_() % 6000, static_cast<char>(random_()))));
        Record([&](LogModel& model) { model.Apply(batch.entries.back()); });
      }
    }
    return batches;
  }

  void Acknowledge() { acknowledged_ = states_.size() - 1; }

  // The recovered log must be one of the states since the last acknowledged one; from there it goes
  // on.
  bool Accept(const LogModel& recovered) {
    for (std::size_t i = acknowledged_; i < states_.size(); ++i) {
      if (!(states_[i] == recovered)) continue;
      states_ = {recovered};
      acknowledged_ = 0;
      return true;
    }
    return false;
  }

  std::mt19937_64& random() { return random_; }

 private:
  template <typename Change>
  void Record(Change change) {
    LogModel next = states_.back();
    change(next);
    states_.push_back(std::move(next));
  }

  std::mt19937_64 random_;
  raft::Term term_ = 1;
  std::vector<LogModel> states_ = {LogModel{}};
  std::size_t acknowledged_ = 0;
};

// kill -9 keeps the page cache; a power cut keeps a random part of what was not synced.
void Die(MemoryFileSystem& files, std::mt19937_64& random) {
  if (random() % 2 == 0) {
    files.Kill();
  } else {
    files.PowerCut(random);
  }
}

// Recovers, dying in the middle of it now and then.
Result<Log::Opened> OpenThroughCrashes(MemoryFileSystem& files, std::mt19937_64& random) {
  while (random() % 2 == 0) {
    files.FailAfter(random() % 12);
    const auto opened = Log::Open(files, kDirectory, kSmall);
    if (!opened && opened.error().code != ErrorCode::kIo)
      return Fail(opened.error().code, opened.error().message);
    Die(files, random);
  }
  return Log::Open(files, kDirectory, kSmall);
}

void RunSeed(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  MemoryFileSystem files;
  Workload workload(seed);
  std::mt19937_64& random = workload.random();
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kSmall, Founding()));
  files.Settle();
  for (int life = 0; life < 12; ++life) {
    auto opened = OpenThroughCrashes(files, random);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_TRUE(workload.Accept(ModelOf(*opened)))
        << "an acknowledged record is lost, or one is invented";
    // All of it is durable already: nothing may change if the power goes now.
    if (random() % 4 == 0) {
      const LogModel reported = ModelOf(*opened);
      files.PowerCutLosingAll();
      opened = Log::Open(files, kDirectory, kSmall);
      ASSERT_TRUE(opened) << opened.error().message;
      ASSERT_EQ(ModelOf(*opened), reported);
    }
    if (random() % 5 == 0) files.FailNextSync();
    files.FailAfter(random() % 60);
    while (true) {
      if (opened->log->WantsSpare() && random() % 2 == 0) (void)opened->log->PrepareSpare();
      const std::vector<raft::AppendBatch> batches = workload.Next();
      if (!opened->log->Append(batches)) break;
      workload.Acknowledge();
      if (random() % 20 == 0) {
        if (opened->log->Close()) workload.Acknowledge();
        break;
      }
    }
    Die(files, random);
  }
}

TEST(StorageLogCrashTest, NothingAcknowledgedIsLostWhateverDiesWhen) {
  for (std::uint64_t seed = 1; seed <= 400 && !testing::Test::HasFailure(); ++seed) RunSeed(seed);
}

TEST(StorageLogCrashTest, ACreationThatDiesCanBeDoneAgain) {
  for (std::uint64_t operations = 0; operations < 20; ++operations) {
    for (const bool power : {false, true}) {
      MemoryFileSystem files;
      std::mt19937_64 random(operations);
      ASSERT_TRUE(files.CreateDirectory(kDirectory));
      files.Settle();
      files.FailAfter(operations);
      const bool created = Log::Create(files, kDirectory, kSmall, Founding()).has_value();
      if (power) {
        files.PowerCut(random);
      } else {
        files.Kill();
      }
      auto opened = Log::Open(files, kDirectory, kSmall);
      EXPECT_TRUE(opened || !created);
      if (opened) {
        EXPECT_EQ(ModelOf(*opened), LogModel{});
        continue;
      }
      EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
      EXPECT_TRUE(Log::Create(files, kDirectory, kSmall, Founding()));
      EXPECT_TRUE(Log::Open(files, kDirectory, kSmall));
    }
  }
}

// Roll-over alone, every operation of it in turn.
TEST(StorageLogCrashTest, RollOverMayDieAtAnyOperation) {
  for (std::uint64_t operations = 0; operations < 20; ++operations) {
    for (std::uint64_t variant = 0; variant < 20; ++variant) {
      MemoryFileSystem files;
      std::mt19937_64 random(variant);
      ASSERT_TRUE(files.CreateDirectory(kDirectory));
      ASSERT_TRUE(Log::Create(files, kDirectory, kSmall, Founding()));
      files.Settle();
      auto opened = Log::Open(files, kDirectory, kSmall);
      LogModel before;
      const auto first =
          MakeBatch(raft::HardState{1, 1}, {MakeEntry(1, 1, std::string(50 << 10, 'a'))});
      ASSERT_TRUE(opened->log->Append({&first, 1}));
      before.Apply(first);
      LogModel after = before;
      const auto second = MakeBatch({}, {MakeEntry(2, 1, std::string(50 << 10, 'b'))});
      after.Apply(second);
      files.FailAfter(operations);
      const bool acknowledged = opened->log->Append({&second, 1}).has_value();
      if (variant == 0) {
        files.Kill();
      } else {
        files.PowerCut(random);
      }
      opened = Log::Open(files, kDirectory, kSmall);
      ASSERT_TRUE(opened) << opened.error().message;
      const LogModel recovered = ModelOf(*opened);
      EXPECT_TRUE(recovered == after || (!acknowledged && recovered == before)) << operations;
    }
  }
}

// The page cache reads well after a failed sync, and the disk has nothing of it.
TEST(StorageLogCrashTest, WhatAFailedSyncLeftInThePageCacheIsWrittenAgain) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kSmall, Founding()));
  files.Settle();
  LogModel model;
  {
    auto opened = Log::Open(files, kDirectory, kSmall);
    ASSERT_TRUE(opened);
    files.FailNextSync();
    const auto batch = MakeBatch(raft::HardState{5, 2}, {MakeEntry(1, 5, "a")});
    ASSERT_FALSE(opened->log->Append({&batch, 1}));
    model.Apply(batch);
  }
  files.Kill();
  auto opened = Log::Open(files, kDirectory, kSmall);
  ASSERT_TRUE(opened);
  EXPECT_EQ(ModelOf(*opened), model);
  EXPECT_GT(opened->recovery.rewritten_bytes, 0);
  files.PowerCutLosingAll();
  opened = Log::Open(files, kDirectory, kSmall);
  ASSERT_TRUE(opened);
  EXPECT_EQ(ModelOf(*opened), model);
}

// Zeros in the page cache are no more to be trusted than records: here the disk still has a valid
// record of a torn append behind them, just where the next append will end.
TEST(StorageLogCrashTest, WhatAFailedRecoveryCutIsCutAgain) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kSmall, Founding()));
  auto opened = Log::Open(files, kDirectory, kSmall);
  ASSERT_TRUE(opened);
  LogModel model;
  const auto first = MakeBatch({}, {MakeEntry(1, 1, "a")});
  ASSERT_TRUE(opened->log->Append({&first, 1}));
  model.Apply(first);
  // Entry 2 ends at the end of a sector, so that writing it again leaves the sector of entry 3
  // alone.
  const std::string path = std::string(kDirectory) + "/00000001.log";
  const std::size_t torn = (files.Written(path).find_last_not_of('\0') / 8 + 1) * 8;
  const std::size_t size = 1024 - torn % 512 - 24 - 21;
  const auto second =
      MakeBatch({}, {MakeEntry(2, 1, std::string(size, 'b')), MakeEntry(3, 1, "c")});
  ASSERT_TRUE(opened->log->Append({&second, 1}));
  files.Written(path)[torn + 50] ^= 1;
  files.Settle();

  files.FailNextSync();
  ASSERT_FALSE(Log::Open(files, kDirectory, kSmall));
  files.Kill();
  opened = Log::Open(files, kDirectory, kSmall);
  ASSERT_TRUE(opened) << opened.error().message;
  ASSERT_EQ(ModelOf(*opened), model);
  const auto replacement = MakeBatch({}, {MakeEntry(2, 1, std::string(size, 'B'))});
  ASSERT_TRUE(opened->log->Append({&replacement, 1}));
  model.Apply(replacement);
  files.PowerCutLosingAll();
  opened = Log::Open(files, kDirectory, kSmall);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(ModelOf(*opened), model);
}

}  // namespace
}  // namespace quorate::storage
