// The log loses its front: cut, recycled, emptied for a snapshot; and what it does on a full disk.
#include <gtest/gtest.h>

#include <random>

#include "storage/log.h"
#include "tests/unit/memory_file_system.h"
#include "tests/unit/storage_log_model.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr std::uint64_t kSegmentBytes = 4 << 10;
constexpr LogOptions kTiny{kSegmentBytes};

class StorageLogCutTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files_, kDirectory, kTiny, Founding()));
    files_.Settle();
    Reopen();
  }

  void Reopen() {
    opened_.log.reset();
    auto opened = Log::Open(files_, kDirectory, kTiny);
    ASSERT_TRUE(opened) << opened.error().message;
    opened_ = std::move(*opened);
  }

  Log& log() { return *opened_.log; }

  Status TryAppend(const raft::AppendBatch& batch) { return log().Append({&batch, 1}); }
  void Append(const raft::AppendBatch& batch) {
    const Status status = TryAppend(batch);
    ASSERT_TRUE(status) << status.error().message;
    model_.Apply(batch);
  }
  void AppendEntry(raft::Term term, std::size_t bytes) {
    Append(MakeBatch({}, {MakeEntry(model_.last() + 1, term, std::string(bytes, 'x'))}));
  }
  // Three to a segment.
  void AppendEntries(int count) {
    for (int i = 0; i < count; ++i) AppendEntry(1, 1000);
  }

  void Cut(raft::Index limit) {
    const raft::Position start = log().CutPoint(limit);
    ASSERT_LE(start.index, limit);
    const Status status = log().Cut(start);
    ASSERT_TRUE(status) << status.error().message;
    model_.CutTo(start.index);
    ASSERT_EQ(model_.start, start);
  }

  void ExpectModel() {
    Reopen();
    EXPECT_EQ(ModelOf(opened_), model_);
    EXPECT_EQ(opened_.recovery.contents.terms, model_.Terms());
    EXPECT_EQ(log().stats().first, model_.start.index + 1);
  }

  MemoryFileSystem files_;
  Log::Opened opened_;
  LogModel model_;
};

// ---- Cutting ----

TEST_F(StorageLogCutTest, WholeSegmentsLeaveUpToTheLimit) {
  AppendEntries(10);
  ASSERT_EQ(log().stats().segments, 4);
  EXPECT_EQ(log().CutPoint(2), raft::Position{}) << "no segment ends there";
  EXPECT_EQ(log().CutPoint(3), (raft::Position{3, 1}));
  EXPECT_EQ(log().CutPoint(8), (raft::Position{6, 1}));
  Cut(8);
  EXPECT_EQ(log().stats().segments, 2);
  EXPECT_EQ(log().stats().first, 7);
  EXPECT_EQ(log().Read(6, 6, 1).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(*log().Read(7, 10, 1 << 20), model_.entries);
  EXPECT_EQ(log().CutPoint(8), (raft::Position{6, 1})) << "the present start";
  ExpectModel();
  AppendEntries(5);
  Cut(model_.last());
  ExpectModel();
}

TEST_F(StorageLogCutTest, CuttingWhereTheLogStartsOrBeforeDoesNothing) {
  AppendEntries(10);
  Cut(6);
  EXPECT_TRUE(log().Cut({6, 1}));
  EXPECT_TRUE(log().Cut({3, 1}));
  EXPECT_EQ(log().Cut({8, 1}).error().code, ErrorCode::kInvalid);
  ExpectModel();
}

TEST_F(StorageLogCutTest, TheFirstHeaderKnowsTermVoteAndConfiguration) {
  Append(MakeBatch(raft::HardState{3, 2},
                   {MakeEntry(1, 3, Numbered(1).Encode(), raft::EntryKind::kConfiguration),
                    MakeEntry(2, 3, Numbered(2).Encode(), raft::EntryKind::kConfiguration)}));
  // One that is replaced is not in force.
  Append(MakeBatch({}, {MakeEntry(3, 3, Numbered(3).Encode(), raft::EntryKind::kConfiguration)}));
  Append(MakeBatch(raft::HardState{4, 1}, {MakeEntry(3, 4, "")}));
  AppendEntries(0);
  for (int i = 0; i < 8; ++i) AppendEntry(4, 1000);
  Cut(model_.last());
  ASSERT_GT(model_.start.index, 3);
  EXPECT_EQ(model_.base, Numbered(2));
  ExpectModel();
  EXPECT_EQ(opened_.recovery.hard_state, (raft::HardState{4, 1}));
}

TEST_F(StorageLogCutTest, EntriesThatReplacedOthersStayWhereTheyFollow) {
  AppendEntries(9);  // segments end behind 3, 6, 9
  Append(MakeBatch({}, {MakeEntry(5, 2, std::string(1000, 'y'))}));
  ASSERT_EQ(log().stats().segments, 4);
  // 5 lies behind where the log once ended with 6, and 9: it would not follow those.
  EXPECT_EQ(log().CutPoint(5), (raft::Position{3, 1}));
  for (int i = 0; i < 4; ++i) AppendEntry(2, 1000);
  EXPECT_EQ(log().CutPoint(6), (raft::Position{3, 1}));
  EXPECT_EQ(log().CutPoint(7), (raft::Position{7, 2})) << "the next boundary works";
  Cut(7);
  ExpectModel();
}

TEST_F(StorageLogCutTest, AnyHistoryCanBeCutAndGoesOn) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    raft::Term term = model_.hard_state.term + 1;
    raft::Index committed = model_.last();
    for (int i = 0; i < 40; ++i) {
      std::optional<raft::HardState> hard_state;
      raft::Index next = model_.last() + 1;
      if (random() % 4 == 0) {
        hard_state = raft::HardState{++term, random() % 3};
        next -= random() % (next - committed);
      }
      std::vector<raft::Entry> entries;
      for (std::size_t k = random() % 6 + 1; k > 0; --k) {
        const bool configuration = random() % 8 == 0;
        entries.push_back(configuration
                              ? MakeEntry(next++, term, Numbered(random()).Encode(),
                                          raft::EntryKind::kConfiguration)
                              : MakeEntry(next++, term, std::string(random() % 1500, 'x')));
      }
      Append(MakeBatch(hard_state, std::move(entries)));
      committed += random() % (model_.last() - committed + 1);
      if (random() % 3 == 0) Cut(committed - random() % (committed - model_.start.index + 1));
      if (random() % 5 == 0) ExpectModel();
    }
    Cut(committed);
    ExpectModel();
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(model_.start.index, 100);
}

TEST_F(StorageLogCutTest, BytesAfterShrinkToNothing) {
  AppendEntries(10);
  std::uint64_t before = log().BytesAfter(0);
  EXPECT_GE(before, 10 * 1000);
  EXPECT_LE(before, 4 * kSegmentBytes);
  for (raft::Index index = 1; index <= 10; ++index) {
    const std::uint64_t bytes = log().BytesAfter(index);
    EXPECT_LE(bytes, before);
    EXPECT_GE(bytes, (10 - index) * 1000);
    before = bytes;
  }
  EXPECT_EQ(before, 0);
  Cut(6);
  EXPECT_EQ(log().BytesAfter(0), log().BytesAfter(6));
  Reopen();
  EXPECT_EQ(log().BytesAfter(0), log().BytesAfter(6));
  EXPECT_GE(log().BytesAfter(6), 4 * 1000);
}

// ---- Recycling ----

TEST_F(StorageLogCutTest, ACutSegmentBecomesTheSpareOne) {
  AppendEntries(9);
  ASSERT_TRUE(log().WantsSpare());
  Cut(6);
  EXPECT_FALSE(log().WantsSpare());
  EXPECT_EQ(log().stats().recycled, 1) << "and the other one is unlinked";
  EXPECT_EQ(log().stats().disk_bytes, 2 * kSegmentBytes);
  EXPECT_EQ(files_.List(kDirectory)->size(), 2);
  files_.SetFull(true);
  AppendEntries(3);  // needs no new block
  EXPECT_EQ(log().stats().segments, 2);
  files_.SetFull(false);
  ExpectModel();
  EXPECT_EQ(opened_.recovery.cut_records, 0) << "what was there before is nothing";
}

TEST_F(StorageLogCutTest, TheSpareStaysIfThereIsOne) {
  AppendEntries(9);
  ASSERT_TRUE(log().PrepareSpare());
  Cut(6);
  EXPECT_EQ(log().stats().recycled, 0);
  EXPECT_EQ(log().stats().disk_bytes, 2 * kSegmentBytes);
  AppendEntries(4);
  ExpectModel();
}

TEST_F(StorageLogCutTest, ALargeSegmentIsNotRecycled) {
  AppendEntry(1, 10 * kSegmentBytes);
  AppendEntries(4);
  Cut(1);
  Cut(3);
  EXPECT_EQ(log().stats().recycled, 1) << "the first, which was empty";
  EXPECT_LE(log().stats().disk_bytes, 3 * kSegmentBytes);
  ExpectModel();
}

TEST_F(StorageLogCutTest, ASpareDoesNotOutliveAStop) {
  AppendEntries(9);
  Cut(6);
  Reopen();
  EXPECT_EQ(files_.List(kDirectory)->size(), 1);
  ExpectModel();
}

// What a reader has open is not written over.
TEST_F(StorageLogCutTest, AReaderKeepsWhatIsCutMeanwhile) {
  AppendEntries(9);
  const std::vector<raft::Entry> all = model_.entries;
  files_.OnNextRead([&] {
    Cut(6);
    EXPECT_EQ(log().stats().recycled, 1) << "the second segment: the first is being read";
    for (int i = 0; i < 6; ++i) AppendEntry(2, 1000);
  });
  const auto read = log().Read(1, 9, 1 << 20);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), 3) << "what follows is gone";
  for (std::size_t i = 0; i < read->size(); ++i) EXPECT_EQ((*read)[i], all[i]);
  ExpectModel();
}

// ---- Reset ----

TEST_F(StorageLogCutTest, AResetEmptiesTheLog) {
  Append(MakeBatch(raft::HardState{2, 3}, {}));
  AppendEntries(7);
  Append(MakeReset({100, 2}, 5));
  EXPECT_EQ(log().stats().segments, 1);
  EXPECT_EQ(log().stats().first, 101);
  EXPECT_EQ(log().Read(7, 7, 1).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(log().BytesAfter(0), 0);
  EXPECT_EQ(log().CutPoint(200), (raft::Position{100, 2}));
  ExpectModel();
  EXPECT_EQ(opened_.recovery.hard_state, (raft::HardState{2, 3}));
  AppendEntry(2, 10);
  EXPECT_EQ(*log().Read(101, 101, 1), model_.entries);
  ExpectModel();
}

TEST_F(StorageLogCutTest, AResetBeginsABatch) {
  AppendEntries(7);
  // Below the end of the log: what was there is not what the snapshot holds.
  Append(MakeReset({5, 3}, 2, raft::HardState{4, 1},
                   {MakeEntry(6, 3, "a"), MakeEntry(7, 4, std::string(3500, 'b'))}));
  ExpectModel();
  for (int i = 0; i < 9; ++i) AppendEntry(4, 1000);
  Cut(model_.last());
  EXPECT_EQ(model_.base, Numbered(2));
  ExpectModel();
}

TEST_F(StorageLogCutTest, OnlyTheLastResetOfManyBatchesCounts) {
  AppendEntries(2);
  const std::vector<raft::AppendBatch> batches = {
      MakeBatch(raft::HardState{2, 1}, {MakeEntry(3, 2, "a")}),
      MakeReset({50, 2}, 1, {}, {MakeEntry(51, 2, "b")}),
      MakeBatch(raft::HardState{5, 3}, {}),
      MakeReset({90, 4}, 2),
      MakeBatch({}, {MakeEntry(91, 5, "c")}),
  };
  ASSERT_TRUE(log().Append(batches));
  for (const raft::AppendBatch& batch : batches) model_.Apply(batch);
  EXPECT_EQ(*log().Read(91, 91, 1), model_.entries);
  ExpectModel();
}

TEST_F(StorageLogCutTest, AReadAcrossAResetMixesNothing) {
  AppendEntries(9);
  files_.OnNextRead([&] {
    Append(MakeReset({3, 1}, 1));
    for (int i = 0; i < 6; ++i) AppendEntry(2, 1000);
  });
  const auto read = log().Read(1, 9, 1 << 20);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_FALSE(read->empty());
  for (const raft::Entry& entry : *read) EXPECT_EQ(entry.term, 1);
  ExpectModel();
}

// ---- A full disk ----

TEST_F(StorageLogCutTest, WithoutRoomForASegmentNothingIsWrittenAndTheLogGoesOn) {
  AppendEntries(2);
  files_.SetFull(true);
  std::vector<raft::Entry> entries;
  for (raft::Index i = 3; i <= 9; ++i) entries.push_back(MakeEntry(i, 2, std::string(1000, 'z')));
  const auto batch = MakeBatch(raft::HardState{2, 1}, entries);
  const std::uint64_t before = log().stats().bytes_written;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(TryAppend(batch).error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(log().stats().bytes_written, before) << "attempts must not use up what is left";
  EXPECT_EQ(files_.List(kDirectory)->size(), 1);
  Append(MakeBatch(raft::HardState{3, 2}, {}));
  Append(MakeBatch({}, {MakeEntry(3, 3, "", raft::EntryKind::kNoop)}));
  ExpectModel();
  files_.SetFull(false);
  Append(batch);
  ExpectModel();
}

TEST_F(StorageLogCutTest, TheEndOfASegmentIsKeptForTermVoteAndANewLeadersFirstEntry) {
  files_.SetFull(true);
  while (true) {
    const auto batch = MakeBatch({}, {MakeEntry(model_.last() + 1, 1, "x")});
    if (!TryAppend(batch)) break;
    model_.Apply(batch);
  }
  EXPECT_GT(model_.last(), 50);
  EXPECT_EQ(log().stats().room_bytes / 64, 0) << "what is left is kept";
  Append(MakeBatch(raft::HardState{2, 1}, {}));
  Append(MakeBatch(raft::HardState{3, 3},
                   {MakeEntry(model_.last() + 1, 3, "", raft::EntryKind::kNoop)}));
  EXPECT_FALSE(TryAppend(MakeBatch({}, {MakeEntry(model_.last() + 1, 3, "x")})));
  // A spare one lifts the limit.
  files_.SetRoom(kSegmentBytes);
  ASSERT_TRUE(log().PrepareSpare());
  AppendEntry(3, 1);
  EXPECT_EQ(log().stats().segments, 1);
  files_.SetFull(false);
  ExpectModel();
}

TEST_F(StorageLogCutTest, WhatIsDurableAlreadyMayBeWrittenAgain) {
  AppendEntries(2);
  // Needs three more segments, and there is room for one.
  const std::vector<raft::AppendBatch> batches = {
      MakeBatch(raft::HardState{2, 1},
                {MakeEntry(3, 2, Numbered(7).Encode(), raft::EntryKind::kConfiguration),
                 MakeEntry(4, 2, std::string(3000, 'a'))}),
      MakeBatch(raft::HardState{3, 2}, {MakeEntry(4, 3, std::string(3000, 'b'))}),
      MakeBatch({}, {MakeEntry(5, 3, std::string(3000, 'c'))}),
  };
  files_.SetRoom(kSegmentBytes);
  EXPECT_EQ(log().Append(batches).error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(log().stats().segments, 2);
  EXPECT_EQ(log().Append(batches).error().code, ErrorCode::kNoSpace);
  files_.SetFull(false);
  ASSERT_TRUE(log().Append(batches));
  for (const raft::AppendBatch& batch : batches) model_.Apply(batch);
  EXPECT_EQ(*log().Read(1, 5, 1 << 20), model_.entries);
  ExpectModel();
  Cut(4);
  ExpectModel();
}

TEST_F(StorageLogCutTest, AResetWithoutRoomLeavesTheLog) {
  AppendEntries(2);
  const std::vector<raft::AppendBatch> batches = {
      MakeBatch(raft::HardState{2, 1}, {MakeEntry(3, 2, "a")}),
      MakeReset(
          {50, 2}, 1, raft::HardState{5, 2},
          {MakeEntry(51, 5, std::string(3000, 'a')), MakeEntry(52, 5, std::string(3000, 'b'))})};
  files_.SetFull(true);
  EXPECT_EQ(log().Append(batches).error().code, ErrorCode::kNoSpace);
  Append(MakeBatch(raft::HardState{1, 2}, {}));
  ExpectModel();
  // With a spare segment the reset is done, and no room is left for the second entry.
  files_.SetRoom(kSegmentBytes);
  ASSERT_TRUE(log().PrepareSpare());
  files_.SetFull(true);
  // The old segment becomes the next one: room enough.
  ASSERT_TRUE(log().Append(batches));
  for (const raft::AppendBatch& batch : batches) model_.Apply(batch);
  files_.SetFull(false);
  ExpectModel();
}

TEST_F(StorageLogCutTest, AResetCutShortForWantOfRoomIsDoneAgain) {
  AppendEntries(2);
  std::vector<raft::Entry> entries;
  for (raft::Index i = 51; i <= 56; ++i) entries.push_back(MakeEntry(i, 5, std::string(3000, 'a')));
  const std::vector<raft::AppendBatch> batches = {
      MakeBatch(raft::HardState{2, 1}, {MakeEntry(3, 2, "a")}),
      MakeReset({50, 2}, 1, raft::HardState{5, 2}, entries)};
  files_.SetRoom(kSegmentBytes);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(log().Append(batches).error().code, ErrorCode::kNoSpace);
    EXPECT_EQ(log().stats().first, 51);
  }
  files_.SetFull(false);
  ASSERT_TRUE(log().Append(batches));
  for (const raft::AppendBatch& batch : batches) model_.Apply(batch);
  EXPECT_EQ(*log().Read(51, 56, 1 << 20), model_.entries);
  ExpectModel();
}

TEST_F(StorageLogCutTest, CuttingMakesRoomOnAFullDisk) {
  AppendEntries(9);
  files_.SetFull(true);
  const auto batch = MakeBatch({}, {MakeEntry(10, 1, std::string(1000, 'y'))});
  EXPECT_EQ(TryAppend(batch).error().code, ErrorCode::kNoSpace);
  Cut(3);
  Append(batch);
  files_.SetFull(false);
  ExpectModel();
}

// However the records are sized, as much as it says finds room.
TEST_F(StorageLogCutTest, TheRoomThatIsReportedIsThere) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    std::mt19937_64 random(seed);
    files_.SetFull(false);
    for (std::size_t i = random() % 8; i > 0; --i) AppendEntry(1, random() % 1500);
    if (random() % 2 == 0) {
      ASSERT_TRUE(log().PrepareSpare());
    }
    files_.SetFull(true);
    std::uint64_t room = log().stats().room_bytes;
    while (true) {
      const std::size_t size = random() % 1500;
      const std::uint64_t record = (24 + 21 + size + 7) / 8 * 8;
      if (record > room) break;
      room -= record;
      AppendEntry(1, size);
      ASSERT_FALSE(HasFailure());
    }
  }
}

}  // namespace
}  // namespace quorate::storage
