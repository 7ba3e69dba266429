// The log in fair weather: what goes in comes out, through reopening, roll-over and replacement.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "storage/crc32c.h"
#include "storage/entry_codec.h"
#include "storage/log.h"
#include "tests/unit/memory_file_system.h"
#include "tests/unit/storage_log_model.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr LogOptions kSmall{64 << 10};

class StorageLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files_, kDirectory, kSmall, Founding()));
    files_.Settle();
    Reopen();
  }

  void Reopen() {
    opened_.log.reset();
    auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_TRUE(opened) << opened.error().message;
    opened_ = std::move(*opened);
  }

  void Append(const raft::AppendBatch& batch) {
    const Status status = opened_.log->Append({&batch, 1});
    ASSERT_TRUE(status) << status.error().message;
    model_.Apply(batch);
  }

  void ExpectModel() {
    EXPECT_EQ(ModelOf(opened_), model_);
    EXPECT_EQ(opened_.recovery.contents.terms, model_.Terms());
    EXPECT_EQ(opened_.recovery.contents.last, model_.last());
  }

  MemoryFileSystem files_;
  Log::Opened opened_;
  LogModel model_;
};

TEST(Crc32cTest, MatchesPublishedValuesAndBothWaysAgree) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);  // RFC 3720, B.4
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), Crc32c("123456789"));
  std::mt19937_64 random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    std::string data(size, '\0');
    for (char& c : data) c = static_cast<char>(random());
    const auto seed = static_cast<std::uint32_t>(random());
    EXPECT_EQ(Crc32c(data, seed), Crc32cPortable(data, seed));
  }
}

TEST(EntryCodecTest, RoundTripsAndRefusesWhatIsNotWhole) {
  std::string bytes;
  const raft::Entry entry = MakeEntry(7, 3, std::string("a\0b", 3));
  AppendEntry(entry, bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    std::string_view in(bytes.data(), size);
    EXPECT_FALSE(TakeEntry(in));
    EXPECT_EQ(in.size(), size);
  }
  std::string_view in = bytes;
  EXPECT_EQ(TakeEntry(in), entry);
  EXPECT_TRUE(in.empty());
  bytes[16] = 9;
  in = bytes;
  EXPECT_FALSE(TakeEntry(in)) << "an unknown kind";
}

TEST_F(StorageLogTest, CreateRefusesADirectoryThatHoldsALog) {
  const Status status = Log::Create(files_, kDirectory, kSmall, Founding());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kExists);
}

TEST_F(StorageLogTest, OpenReportsAnEmptyDirectory) {
  ASSERT_TRUE(files_.CreateDirectory("/other"));
  const auto opened = Log::Open(files_, "/other", kSmall);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
}

TEST_F(StorageLogTest, SegmentSizeHasLimits) {
  EXPECT_EQ(Log::Open(files_, kDirectory, {1024}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(Log::Open(files_, kDirectory, {2ULL << 30}).error().code, ErrorCode::kInvalid);
}

TEST_F(StorageLogTest, EntriesTermsAndVotesSurviveReopening) {
  Append(MakeBatch(raft::HardState{1, 2},
                   {MakeEntry(1, 1, "", raft::EntryKind::kNoop), MakeEntry(2, 1, "a")}));
  Append(MakeBatch(raft::HardState{4, 3}, {}));  // a vote alone
  Append(MakeBatch({}, {MakeEntry(3, 4, std::string(5000, 'x'))}));
  Reopen();
  ExpectModel();
  EXPECT_FALSE(opened_.recovery.clean_shutdown);
  EXPECT_EQ(opened_.recovery.cut_bytes, 0);
}

TEST_F(StorageLogTest, AnEntryReplacesEverythingFromItsIndexOn) {
  Append(MakeBatch({}, {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b"), MakeEntry(3, 1, "c"),
                        MakeEntry(4, 2, "d")}));
  Append(MakeBatch(raft::HardState{3, 0}, {MakeEntry(2, 3, "B")}));
  EXPECT_EQ(opened_.log->Read(3, 3, 100).error().code, ErrorCode::kNotFound);
  Reopen();
  ExpectModel();
  Append(MakeBatch({}, {MakeEntry(1, 5, "A")}));
  Reopen();
  ExpectModel();
}

TEST_F(StorageLogTest, ConfigurationsInTheLogAreReportedUnlessReplaced) {
  raft::Configuration one = ThreeNodes();
  one.incarnation = 7;
  raft::Configuration two = one;
  two.members[0].uuid = {1, 2};
  Append(MakeBatch(
      {}, {MakeEntry(1, 1, one.Encode(), raft::EntryKind::kConfiguration), MakeEntry(2, 1, "a"),
           MakeEntry(3, 1, two.Encode(), raft::EntryKind::kConfiguration)}));
  Reopen();
  using Expected = std::vector<std::pair<raft::Index, raft::Configuration>>;
  EXPECT_EQ(opened_.recovery.configurations, (Expected{{1, one}, {3, two}}));
  Append(MakeBatch({}, {MakeEntry(3, 2, "x")}));
  Reopen();
  EXPECT_EQ(opened_.recovery.configurations, (Expected{{1, one}}));
}

TEST_F(StorageLogTest, RollsOverAndReadsFromAnyPoint) {
  std::mt19937_64 random(3);
  raft::Term term = 1;
  for (int i = 0; i < 200; ++i) {
    std::vector<raft::Entry> entries;
    raft::Index next = model_.entries.size() + 1;
    if (i % 20 == 19) {
      ++term;
      next -= std::min<raft::Index>(next - 1, random() % 30);  // a new leader replaces a tail
    }
    for (std::size_t k = random() % 8 + 1; k > 0; --k) {
      entries.push_back(
          MakeEntry(next++, term, std::string(random() % 3000, static_cast<char>('a' + term))));
    }
    Append(MakeBatch({}, std::move(entries)));
  }
  EXPECT_GT(opened_.log->stats().segments, 10);
  for (const bool reopened : {false, true}) {
    if (reopened) Reopen();
    opened_.recovery.contents.last = model_.entries.size();
    const raft::Index last = model_.entries.size();
    for (raft::Index first = 1; first <= last; ++first) {
      const auto read = opened_.log->Read(first, last, 4000);
      ASSERT_TRUE(read) << read.error().message;
      ASSERT_FALSE(read->empty());
      for (std::size_t i = 0; i < read->size(); ++i)
        ASSERT_EQ((*read)[i], model_.entries[first - 1 + i]);
    }
    EXPECT_EQ(opened_.log->Read(last, last + 10, 4000)->size(), 1);
    EXPECT_FALSE(opened_.log->Read(last + 1, last + 1, 1));
    EXPECT_FALSE(opened_.log->Read(0, 1, 1));
  }
  ExpectModel();
}

TEST_F(StorageLogTest, ReadKeepsToItsBytesButReturnsAtLeastOneEntry) {
  Append(MakeBatch(
      {}, {MakeEntry(1, 1, std::string(1000, 'a')), MakeEntry(2, 1, std::string(1000, 'b')),
           MakeEntry(3, 1, std::string(1000, 'c'))}));
  EXPECT_EQ(opened_.log->Read(1, 3, 1)->size(), 1);
  EXPECT_EQ(opened_.log->Read(1, 3, 2100)->size(), 2);
  EXPECT_EQ(opened_.log->Read(1, 3, 1 << 20)->size(), 3);
  EXPECT_EQ(opened_.log->Read(2, 2, 1 << 20)->size(), 1);
}

// Entries of before and after a replacement must not be mixed in one answer.
TEST_F(StorageLogTest, ReadGivesAConsistentPrefixWhenEntriesAreReplacedMeanwhile) {
  const auto entry = [](raft::Index index, raft::Term term) {
    return MakeEntry(index, term, std::string(20 << 10, 'x'));
  };
  Append(MakeBatch({}, {entry(1, 1), entry(2, 1), entry(3, 1), entry(4, 1), entry(5, 1)}));
  ASSERT_EQ(opened_.log->stats().segments, 2);
  files_.OnNextRead([&] {
    Append(MakeBatch({}, {entry(2, 2), entry(3, 2), entry(4, 2), entry(5, 2)}));
  });
  const auto read = opened_.log->Read(1, 5, 1 << 20);
  ASSERT_TRUE(read);
  ASSERT_FALSE(read->empty());
  for (const raft::Entry& got : *read) EXPECT_EQ(got.term, 1);
  const auto again = opened_.log->Read(1, 5, 1 << 20);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, model_.entries);
}

TEST_F(StorageLogTest, ARecordLargerThanASegmentHasOneOfItsOwn) {
  Append(MakeBatch({}, {MakeEntry(1, 1, "small")}));
  Append(MakeBatch({}, {MakeEntry(2, 1, std::string(1100 << 10, 'x')),
                        MakeEntry(3, 1, std::string(1 << 20, 'y'))}));
  Append(MakeBatch({}, {MakeEntry(4, 1, "small")}));
  EXPECT_EQ(opened_.log->stats().segments, 3);
  Reopen();
  ExpectModel();
}

TEST_F(StorageLogTest, RefusesARecordOverTheLimit) {
  const auto batch = MakeBatch({}, {MakeEntry(1, 1, std::string(3 << 20, 'x'))});
  const Status status = opened_.log->Append({&batch, 1});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
}

TEST_F(StorageLogTest, OneSyncForManyBatches) {
  const std::vector<raft::AppendBatch> batches = {
      MakeBatch(raft::HardState{1, 1}, {MakeEntry(1, 1, "a")}),
      MakeBatch({}, {MakeEntry(2, 1, "b")}), MakeBatch({}, {MakeEntry(3, 1, "c")})};
  ASSERT_TRUE(opened_.log->Append(batches));
  EXPECT_EQ(opened_.log->stats().syncs, 1);
}

TEST_F(StorageLogTest, TheSpareIsTakenAtRollOver) {
  EXPECT_FALSE(opened_.log->WantsSpare()) << "an idle node keeps one segment";
  Append(MakeBatch({}, {MakeEntry(1, 1, std::string(40 << 10, 'x'))}));
  ASSERT_TRUE(opened_.log->WantsSpare());
  files_.SetFull(true);
  EXPECT_EQ(opened_.log->PrepareSpare().error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(files_.List(kDirectory)->size(), 1) << "nothing is left behind";
  files_.SetFull(false);
  ASSERT_TRUE(opened_.log->PrepareSpare());
  EXPECT_FALSE(opened_.log->WantsSpare());
  files_.SetFull(true);
  Append(MakeBatch({}, {MakeEntry(2, 1, std::string(40 << 10, 'y'))}));  // no new block is needed
  EXPECT_EQ(opened_.log->stats().segments, 2);
  files_.SetFull(false);
  Reopen();
  ExpectModel();
}

TEST_F(StorageLogTest, AFailedLogRefusesEverythingAfter) {
  files_.FailNextSync();
  const auto batch = MakeBatch({}, {MakeEntry(1, 1, "a")});
  EXPECT_FALSE(opened_.log->Append({&batch, 1}));
  EXPECT_FALSE(opened_.log->Append({&batch, 1})) << "a sync is never retried";
  EXPECT_FALSE(opened_.log->Close());
}

TEST_F(StorageLogTest, CloseLeavesACleanMark) {
  Append(MakeBatch({}, {MakeEntry(1, 1, "a")}));
  ASSERT_TRUE(opened_.log->Close());
  Reopen();
  EXPECT_TRUE(opened_.recovery.clean_shutdown);
  ExpectModel();
  Append(MakeBatch({}, {MakeEntry(2, 1, "b")}));
  Reopen();
  EXPECT_FALSE(opened_.recovery.clean_shutdown);
  ExpectModel();
}

TEST_F(StorageLogTest, ANewerVersionsRecordIsNotCalledDamage) {
  // A valid record of type 9, built from the documented form.
  std::string record(24, '\0');
  record[8] = 9;
  record[20] = 1;  // synced_to: in segment 1
  const std::string sequence("\1\0\0\0", 4);
  const std::uint32_t crc = Crc32c(std::string_view(record).substr(4), Crc32c(sequence));
  for (int i = 0; i < 4; ++i) record[i] = static_cast<char>(crc >> (8 * i));
  Append(MakeBatch(raft::HardState{1, 1}, {}));
  const std::size_t header = (24 + 64 + ThreeNodes().Encode().size() + 7) / 8 * 8;
  opened_.log.reset();
  files_.Written(std::string(kDirectory) + "/00000001.log")
      .replace(header + 40, record.size(), record);
  const auto opened = Log::Open(files_, kDirectory, kSmall);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kMismatch);
}

// On real files, so that threads really meet.
TEST(StorageLogThreadsTest, ReadsSparesAndCutsRunBesideAppends) {
  const auto files = MakePosixFileSystem();
  const std::string directory = testing::TempDir() + "/quorate_log_threads";
  ASSERT_EQ(std::system(("rm -rf '" + directory + "'").c_str()), 0);
  ASSERT_TRUE(files->CreateDirectory(directory));
  ASSERT_TRUE(Log::Create(*files, directory, kSmall, Founding()));
  auto opened = Log::Open(*files, directory, kSmall);
  ASSERT_TRUE(opened) << opened.error().message;
  Log& log = *opened->log;
  std::atomic<raft::Index> durable{0};
  std::atomic<bool> done{false};
  std::thread spare([&] {
    while (!done) {
      if (log.WantsSpare()) {
        EXPECT_TRUE(log.PrepareSpare());
      }
      const raft::Index last = durable;
      EXPECT_TRUE(log.Cut(log.CutPoint(last - std::min<raft::Index>(last, 500))));
      std::this_thread::yield();
    }
  });
  std::thread reader([&] {
    std::mt19937_64 random(5);
    while (!done) {
      const raft::Index last = durable;
      if (last == 0) continue;
      const raft::Index first = random() % last + 1;
      const auto read = log.Read(first, last, 10000);
      if (!read) {
        ASSERT_EQ(read.error().code, ErrorCode::kNotFound) << read.error().message;
        ASSERT_LT(first, log.stats().first);
        continue;
      }
      for (std::size_t i = 0; i < read->size(); ++i) {
        ASSERT_EQ((*read)[i].data.view(), std::to_string(first + i) + std::string(200, 'x'));
      }
    }
  });
  for (raft::Index next = 1; next < 3000;) {
    std::vector<raft::Entry> entries;
    for (int i = 0; i < 10; ++i, ++next)
      entries.push_back(MakeEntry(next, 1, std::to_string(next) + std::string(200, 'x')));
    const auto batch = MakeBatch({}, std::move(entries));
    EXPECT_TRUE(log.Append({&batch, 1}));
    durable = next - 1;
  }
  done = true;
  reader.join();
  spare.join();
  EXPECT_TRUE(log.Cut(log.CutPoint(durable - 500)));
  EXPECT_GT(log.stats().first, 1);
}

}  // namespace
}  // namespace quorate::storage
