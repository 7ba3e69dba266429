// A log whose process or machine dies at every single operation, its own recoveries included.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <span>

#include "storage/log.h"
#include "tests/unit/memory_file_system.h"
#include "tests/unit/storage_log_model.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr LogOptions kTiny{4 << 10};

// Random batches, and the state of the log after each of their records.
class Workload {
 public:
  explicit Workload(std::uint64_t seed) : random_(seed) {}

  std::vector<raft::AppendBatch> Next() {
    std::vector<raft::AppendBatch> batches(random_() % 3 + 1);
    for (raft::AppendBatch& batch : batches) {
      if (random_() % 40 == 0) AddReset(batch);
      if (random_() % 4 == 0) {
        ++term_;
        batch.hard_state = raft::HardState{term_, random_() % 3 + 1};
        Record([&](LogModel& model) { model.Apply(*batch.hard_state); });
      }
      const LogModel& now = states_.back();
      raft::Index next = now.last() + 1;
      const raft::Index keep = std::max(committed_, now.start.index);
      if (random_() % 6 == 0) next -= std::min<raft::Index>(next - 1 - keep, random_() % 5);
      for (std::size_t i = random_() % 5; i > 0; --i) {
        batch.entries.push_back(NextEntry(next++));
        Record([&](LogModel& model) { model.Apply(batch.entries.back()); });
      }
    }
    return batches;
  }

  // Some of the batches may have been written before, and all are now written again.
  void Repeat(std::span<const raft::AppendBatch> batches) {
    const std::vector<LogModel> before(states_.begin() + static_cast<std::ptrdiff_t>(acknowledged_),
                                       states_.end());
    for (const LogModel& written : before) {
      states_.push_back(written);
      RepeatFrom(batches);
    }
  }

  void Acknowledge() {
    acknowledged_ = states_.size() - 1;
    const LogModel& now = states_.back();
    committed_ = std::max(committed_, now.start.index);
    committed_ += random_() % (now.last() - committed_ + 1);
  }
  // The log may be cut up to here, once acknowledged. Nothing before is ever replaced.
  raft::Index committed() const { return committed_; }

  // The recovered log must be one of the states since the last acknowledged one, cut anywhere up to
  // what was asked for; from there it goes on.
  bool Accept(const LogModel& recovered, raft::Index cut_limit) {
    for (std::size_t i = acknowledged_; i < states_.size(); ++i) {
      LogModel state = states_[i];
      const raft::Index start = recovered.start.index;
      if (start > state.start.index && start <= std::min(cut_limit, state.last())) {
        state.CutTo(start);
      }
      if (!(state == recovered)) continue;
      states_ = {recovered};
      acknowledged_ = 0;
      return true;
    }
    return false;
  }

  std::mt19937_64& random() { return random_; }

 private:
  raft::Entry NextEntry(raft::Index index) {
    if (random_() % 10 == 0) {
      return MakeEntry(index, term_, Numbered(random_()).Encode(), raft::EntryKind::kConfiguration);
    }
    return MakeEntry(index, term_, std::string(random_() % 1500, static_cast<char>(random_())));
  }

  // A log is emptied with term and vote in one step.
  void AddReset(raft::AppendBatch& batch) {
    const LogModel& now = states_.back();
    const raft::Index committed = std::max(committed_, now.start.index);
    const raft::Index index = committed + 1 + random_() % (now.last() - committed + 5);
    batch.reset = raft::SnapshotMark{{index, term_}, Numbered(index)};
    batch.hard_state = raft::HardState{++term_, 0};
    Record([&](LogModel& model) {
      model.Apply(*batch.reset);
      model.Apply(*batch.hard_state);
    });
  }

  void RepeatFrom(std::span<const raft::AppendBatch> batches) {
    std::size_t first = 0;
    for (std::size_t i = 0; i < batches.size(); ++i) {
      if (batches[i].reset) first = i;
    }
    if (batches[first].reset) {
      Record([&](LogModel& model) {
        for (const auto& batch : batches.first(first + 1)) {
          if (batch.hard_state) model.Apply(*batch.hard_state);
        }
        model.Apply(*batches[first].reset);
      });
    }
    for (const raft::AppendBatch& batch : batches.subspan(first)) {
      if (batch.hard_state) Record([&](LogModel& model) { model.Apply(*batch.hard_state); });
      for (const raft::Entry& entry : batch.entries) {
        Record([&](LogModel& model) { model.Apply(entry); });
      }
    }
  }

  template <typename Change>
  void Record(Change change) {
    LogModel next = states_.back();
    change(next);
    states_.push_back(std::move(next));
  }

  std::mt19937_64 random_;
  raft::Term term_ = 1;
  raft::Index committed_ = 0;
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
    const auto opened = Log::Open(files, kDirectory, kTiny);
    if (!opened && opened.error().code != ErrorCode::kIo)
      return Fail(opened.error().code, opened.error().message);
    Die(files, random);
  }
  return Log::Open(files, kDirectory, kTiny);
}

// Appends, now and then on a disk that is full for a while; false if the log has died.
bool Append(MemoryFileSystem& files, Log& log, Workload& workload) {
  std::mt19937_64& random = workload.random();
  const std::vector<raft::AppendBatch> batches = workload.Next();
  if (random() % 8 == 0) files.SetRoom(random() % 3 * kTiny.segment_bytes);
  Status status = log.Append(batches);
  files.SetFull(false);
  if (!status && status.error().code == ErrorCode::kNoSpace && random() % 4 != 0) {
    workload.Repeat(batches);
    status = log.Append(batches);
  }
  if (status) workload.Acknowledge();
  return status.has_value();
}

// Until the disk fails, or the log is closed. Returns up to where it was cut.
raft::Index Live(MemoryFileSystem& files, Log& log, Workload& workload) {
  std::mt19937_64& random = workload.random();
  raft::Index cut = 0;
  while (true) {
    if (log.WantsSpare() && random() % 2 == 0) (void)log.PrepareSpare();
    if (!Append(files, log, workload)) return cut;
    if (random() % 6 == 0) {
      const raft::Position start = log.CutPoint(workload.committed());
      cut = std::max(cut, start.index);
      if (!log.Cut(start)) return cut;
    }
    if (random() % 20 == 0) {
      if (log.Close()) workload.Acknowledge();
      return cut;
    }
  }
}

void RunSeed(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  MemoryFileSystem files;
  Workload workload(seed);
  std::mt19937_64& random = workload.random();
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kTiny, Founding()));
  files.Settle();
  raft::Index cut = 0;
  for (int life = 0; life < 12; ++life) {
    auto opened = OpenThroughCrashes(files, random);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_TRUE(workload.Accept(ModelOf(*opened), cut))
        << "an acknowledged record is lost, or one is invented";
    // All of it is durable already: nothing may change if the power goes now.
    if (random() % 4 == 0) {
      const LogModel reported = ModelOf(*opened);
      files.PowerCutLosingAll();
      opened = Log::Open(files, kDirectory, kTiny);
      ASSERT_TRUE(opened) << opened.error().message;
      ASSERT_EQ(ModelOf(*opened), reported);
    }
    if (random() % 5 == 0) files.FailNextSync();
    files.FailAfter(random() % 100);
    cut = Live(files, *opened->log, workload);
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
      const bool created = Log::Create(files, kDirectory, kTiny, Founding()).has_value();
      if (power) {
        files.PowerCut(random);
      } else {
        files.Kill();
      }
      auto opened = Log::Open(files, kDirectory, kTiny);
      EXPECT_TRUE(opened || !created);
      if (opened) {
        EXPECT_EQ(ModelOf(*opened), LogModel{});
        continue;
      }
      EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
      EXPECT_TRUE(Log::Create(files, kDirectory, kTiny, Founding()));
      EXPECT_TRUE(Log::Open(files, kDirectory, kTiny));
    }
  }
}

// ---- Every operation of one step in turn ----

// A log of a few segments, opened.
class LogUnderTest {
 public:
  LogUnderTest() {
    EXPECT_TRUE(files_.CreateDirectory(kDirectory));
    EXPECT_TRUE(Log::Create(files_, kDirectory, kTiny, Founding()));
    files_.Settle();
    opened_ = std::move(*Log::Open(files_, kDirectory, kTiny));
  }

  // Three entries to a segment.
  raft::AppendBatch Batch(raft::HardState hard_state) const {
    const raft::Term term = hard_state.term;
    return MakeBatch(hard_state, {MakeEntry(model_.last() + 1, term,
                                            std::string(1000, static_cast<char>(term)))});
  }
  void Append(const raft::AppendBatch& batch) {
    ASSERT_TRUE(opened_.log->Append({&batch, 1}));
    model_.Apply(batch);
  }
  void Append(int entries) {
    for (; entries > 0; --entries) Append(Batch({term_++, 1}));
  }
  void Cut(raft::Index limit) {
    const raft::Position start = log().CutPoint(limit);
    ASSERT_TRUE(log().Cut(start));
    model_.CutTo(start.index);
  }

  // Dies (variant 0: is killed; others: the power goes) and comes back.
  void Recover(std::uint64_t variant) {
    std::mt19937_64 random(variant);
    opened_.log.reset();
    if (variant == 0) {
      files_.Kill();
    } else {
      files_.PowerCut(random);
    }
    auto opened = Log::Open(files_, kDirectory, kTiny);
    ASSERT_TRUE(opened) << opened.error().message;
    opened_ = std::move(*opened);
  }

  // The log works: over more segments, once more without its front, and after a power cut.
  void ExpectToGoOn() {
    model_ = ModelOf(opened_);
    term_ = 60;  // beyond whatever the test wrote
    Append(5);
    Cut(model_.last());
    Append(5);
    files_.PowerCutLosingAll();
    Recover(0);
    EXPECT_EQ(ModelOf(opened_), model_);
    EXPECT_EQ(opened_.recovery.cut_records, 0);
  }

  MemoryFileSystem& files() { return files_; }
  Log& log() { return *opened_.log; }
  Log::Opened& opened() { return opened_; }
  const LogModel& model() const { return model_; }

 private:
  MemoryFileSystem files_;
  Log::Opened opened_;
  LogModel model_;
  raft::Term term_ = 1;
};

// How a step may find the log.
enum class Spare { kNone, kPrepared, kRecycled };

void Arrange(LogUnderTest& log, Spare spare) {
  log.Append(9);
  if (spare == Spare::kPrepared) {
    ASSERT_TRUE(log.log().PrepareSpare());
  }
  if (spare == Spare::kRecycled) {
    log.Cut(6);
    ASSERT_EQ(log.log().stats().recycled, 1);
  }
}

// Runs `step`, which appends this batch, with each of its operations the last one.
void ExpectAllOrNothing(Spare spare, const std::function<raft::AppendBatch(LogUnderTest&)>& make) {
  bool done = false;
  for (std::uint64_t operations = 0; !done; ++operations) {
    for (std::uint64_t variant = 0; variant < 20 && !testing::Test::HasFailure(); ++variant) {
      SCOPED_TRACE("operation " + std::to_string(operations) + " variant " +
                   std::to_string(variant));
      LogUnderTest log;
      Arrange(log, spare);
      const raft::AppendBatch batch = make(log);
      const LogModel before = log.model();
      LogModel after = before;
      after.Apply(batch);
      log.files().FailAfter(operations);
      const bool acknowledged = log.log().Append({&batch, 1}).has_value();
      log.Recover(variant);
      const LogModel recovered = ModelOf(log.opened());
      EXPECT_TRUE(recovered == after || (!acknowledged && recovered == before));
      log.ExpectToGoOn();
      done = acknowledged;
    }
    ASSERT_LT(operations, 100);
    if (testing::Test::HasFailure()) return;
  }
}

class StorageLogStepTest : public testing::TestWithParam<Spare> {};

TEST_P(StorageLogStepTest, RollOverMayDieAtAnyOperation) {
  ExpectAllOrNothing(GetParam(), [](LogUnderTest& log) {
    return MakeBatch({}, {MakeEntry(log.model().last() + 1, 50, std::string(1000, 'b'))});
  });
}

TEST_P(StorageLogStepTest, ResetMayDieAtAnyOperation) {
  ExpectAllOrNothing(GetParam(), [](LogUnderTest&) {
    return MakeReset({20, 49}, 7, raft::HardState{50, 2});
  });
}

INSTANTIATE_TEST_SUITE_P(All, StorageLogStepTest,
                         testing::Values(Spare::kNone, Spare::kPrepared, Spare::kRecycled));

TEST(StorageLogCrashTest, CutMayDieAtAnyOperation) {
  bool done = false;
  for (std::uint64_t operations = 0; !done; ++operations) {
    for (std::uint64_t variant = 0; variant < 20 && !HasFailure(); ++variant) {
      SCOPED_TRACE("operation " + std::to_string(operations) + " variant " +
                   std::to_string(variant));
      LogUnderTest log;
      log.Append(17);
      const raft::Position start = log.log().CutPoint(14);
      ASSERT_EQ(start.index, 12);
      log.files().FailAfter(operations);
      done = log.log().Cut(start).has_value();
      log.files().Kill();
      if (done) log.Append(2);  // over what was cut
      log.Recover(variant);
      LogModel expected = log.model();
      const raft::Index recovered = log.opened().recovery.contents.start.index;
      ASSERT_EQ(recovered % 3, 0);
      ASSERT_LE(recovered, start.index);
      if (done) {
        ASSERT_EQ(recovered, start.index);
      }
      expected.CutTo(recovered);
      EXPECT_EQ(ModelOf(log.opened()), expected);
      log.ExpectToGoOn();
    }
    ASSERT_LT(operations, 100);
    if (HasFailure()) return;
  }
}

// Recovery removes what a reset left, and may die there as well.
TEST(StorageLogCrashTest, WhatAResetLeavesGoesAtTheNextStart) {
  for (std::uint64_t operations = 0; operations < 20; ++operations) {
    LogUnderTest log;
    log.Append(9);
    const auto reset = MakeReset({20, 40}, 7);
    log.files().FailAfter(8);  // made, named durably, and nothing removed durably
    ASSERT_FALSE(log.log().Append({&reset, 1}));
    log.files().Kill();
    LogModel expected = log.model();
    expected.Apply(reset);
    log.files().FailAfter(operations);
    (void)Log::Open(log.files(), kDirectory, kTiny);
    log.Recover(operations);
    EXPECT_EQ(ModelOf(log.opened()), expected);
    EXPECT_EQ(log.files().List(kDirectory)->size(), 1);
    log.ExpectToGoOn();
  }
}

// The page cache reads well after a failed sync, and the disk has nothing of it.
TEST(StorageLogCrashTest, WhatAFailedSyncLeftInThePageCacheIsWrittenAgain) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kTiny, Founding()));
  files.Settle();
  LogModel model;
  {
    auto opened = Log::Open(files, kDirectory, kTiny);
    ASSERT_TRUE(opened);
    files.FailNextSync();
    const auto batch = MakeBatch(raft::HardState{5, 2}, {MakeEntry(1, 5, "a")});
    ASSERT_FALSE(opened->log->Append({&batch, 1}));
    model.Apply(batch);
  }
  files.Kill();
  auto opened = Log::Open(files, kDirectory, kTiny);
  ASSERT_TRUE(opened);
  EXPECT_EQ(ModelOf(*opened), model);
  EXPECT_GT(opened->recovery.rewritten_bytes, 0);
  files.PowerCutLosingAll();
  opened = Log::Open(files, kDirectory, kTiny);
  ASSERT_TRUE(opened);
  EXPECT_EQ(ModelOf(*opened), model);
}

// Zeros in the page cache are no more to be trusted than records: here the disk still has a valid
// record of a torn append behind them, just where the next append will end.
TEST(StorageLogCrashTest, WhatAFailedRecoveryCutIsCutAgain) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kTiny, Founding()));
  auto opened = Log::Open(files, kDirectory, kTiny);
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
  ASSERT_FALSE(Log::Open(files, kDirectory, kTiny));
  files.Kill();
  opened = Log::Open(files, kDirectory, kTiny);
  ASSERT_TRUE(opened) << opened.error().message;
  ASSERT_EQ(ModelOf(*opened), model);
  const auto replacement = MakeBatch({}, {MakeEntry(2, 1, std::string(size, 'B'))});
  ASSERT_TRUE(opened->log->Append({&replacement, 1}));
  model.Apply(replacement);
  files.PowerCutLosingAll();
  opened = Log::Open(files, kDirectory, kTiny);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(ModelOf(*opened), model);
}

}  // namespace
}  // namespace quorate::storage
