// Every byte of a small log damaged, one at a time: exactly what D4 demands. What to expect is
// worked out here from the documented layout, never by asking the code under test.
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "storage/log.h"
#include "tests/unit/memory_file_system.h"
#include "tests/unit/storage_log_model.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr LogOptions kSmall{64 << 10};

std::string SegmentPath(int sequence) {
  return std::string(kDirectory) + "/0000000" + std::to_string(sequence) + ".log";
}

std::size_t Padded(std::size_t bytes) {
  return (bytes + 7) / 8 * 8;
}
std::size_t HeaderBytes() {
  return Padded(24 + 64 + ThreeNodes().Encode().size());
}
std::size_t EntryBytes(const raft::Entry& entry) {
  return Padded(24 + 21 + entry.data.size());
}
constexpr std::size_t kHardStateBytes = 40;
constexpr std::size_t kCleanBytes = 24;

// One record of the log, and what the log holds once it is read.
struct Piece {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t synced_to = 0;  // the end of the append before
  LogModel after;
};

// The last segment of a small log: its records by the layout, and the bytes.
struct SmallLog {
  MemoryFileSystem files;
  LogOptions options = kSmall;
  std::string path = SegmentPath(1);
  std::vector<Piece> pieces;
  std::string before;  // bytes of the file when nothing but the header was written
  std::string bytes;
  std::size_t end = 0;

  void Build(const std::vector<raft::AppendBatch>& batches, bool clean) {
    ASSERT_TRUE(files.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files, kDirectory, options, Founding()));
    auto opened = Log::Open(files, kDirectory, options);
    ASSERT_TRUE(opened) << opened.error().message;
    before = files.Written(path);
    Write(*opened->log, {}, batches, clean);
    ASSERT_EQ(bytes.find_last_not_of('\0') / 8, (end - 1) / 8)
        << "the layout is not what this test thinks";
  }

  // The same in a segment made of an old one, whose bytes lie behind its end: records that were
  // valid there, and values that look like records of this one.
  void BuildRecycled(std::vector<raft::AppendBatch> batches, bool clean) {
    options.segment_bytes = 4 << 10;
    path = SegmentPath(3);
    ASSERT_TRUE(files.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files, kDirectory, options, Founding()));
    auto opened = Log::Open(files, kDirectory, options);
    ASSERT_TRUE(opened) << opened.error().message;
    LogModel model;
    const auto append = [&](raft::Index index, const std::string& data) {
      const auto batch = MakeBatch({}, {MakeEntry(index, 1, data)});
      ASSERT_TRUE(opened->log->Append({&batch, 1}));
      model.Apply(batch);
    };
    for (raft::Index i = 1; i <= 10; ++i) append(i, std::string(20, 'o'));
    append(11, Forged());
    append(12, std::string(3000, 'p'));  // the second segment
    const std::string old = files.Written(SegmentPath(1));
    ASSERT_TRUE(opened->log->Cut(opened->log->CutPoint(11)));
    ASSERT_EQ(opened->log->stats().recycled, 1);
    model.CutTo(11);
    const std::size_t used = HeaderBytes() + EntryBytes(model.entries.back());
    append(13, std::string(options.segment_bytes - used - 24 - 21, 'q'));  // to its end
    for (raft::AppendBatch& batch : batches) {
      for (raft::Entry& entry : batch.entries) entry.index += 13;
    }
    before = old;
    Write(*opened->log, model, batches, clean);
    ASSERT_EQ(opened->log->stats().segments, 2);
    ASSERT_EQ(bytes.substr(end), old.substr(end)) << "the layout is not what this test thinks";
    before.replace(0, pieces[0].end, bytes, 0, pieces[0].end);
  }

  // Headers of records in segment 3, at every eighth byte, with wrong checksums.
  static std::string Forged() {
    std::string header(24, '\0');
    header[4] = 16;
    header[8] = 2;
    header[20] = 3;
    std::string forged(3, '\0');  // to a multiple of 8
    while (forged.size() < 2500) forged += header;
    return forged;
  }

  void Write(Log& log, LogModel model, const std::vector<raft::AppendBatch>& batches, bool clean) {
    Add(HeaderBytes(), 0, model);
    for (const raft::AppendBatch& batch : batches) {
      ASSERT_TRUE(log.Append({&batch, 1}));
      // What is durable when the segment is made is the header.
      const std::size_t synced_to = end;
      if (batch.hard_state) {
        model.Apply(*batch.hard_state);
        Add(kHardStateBytes, synced_to, model);
      }
      for (const raft::Entry& entry : batch.entries) {
        model.Apply(entry);
        Add(EntryBytes(entry), synced_to, model);
      }
    }
    if (clean) {
      ASSERT_TRUE(log.Close());
      Add(kCleanBytes, end, model);
    }
    bytes = files.Written(path);
  }

  void Add(std::size_t size, std::size_t synced_to, const LogModel& model) {
    pieces.push_back({end, end + size, synced_to, model});
    end += size;
  }
};

std::vector<raft::AppendBatch> Batches() {
  return {
      MakeBatch(raft::HardState{1, 2},
                {MakeEntry(1, 1, "", raft::EntryKind::kNoop), MakeEntry(2, 1, "abc")}),
      MakeBatch({}, {MakeEntry(3, 1, std::string(30, 'x')), MakeEntry(4, 1, "d")}),
      MakeBatch(raft::HardState{3, 3}, {}),
      MakeBatch(
          {}, {MakeEntry(3, 3, "C"), MakeEntry(4, 3, std::string(17, '\0')), MakeEntry(5, 3, "E")}),
  };
}

// Opens the log whose records are intact but for those from `bad` to `bad_end`, and checks the
// outcome.
void ExpectOutcome(SmallLog& log, std::size_t bad, std::size_t bad_end, const std::string& what) {
  SCOPED_TRACE(what);
  bool corrupt = bad == 0;  // the header was durable before the segment had its name
  std::size_t valid_behind = 0;
  for (std::size_t i = bad_end; i < log.pieces.size(); ++i) {
    corrupt = corrupt || log.pieces[i].synced_to > log.pieces[bad].begin;
    ++valid_behind;
  }
  auto opened = Log::Open(log.files, kDirectory, log.options);
  ASSERT_EQ(!opened.has_value(), corrupt) << (opened ? "opened" : opened.error().message);
  if (corrupt) {
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(opened.error().message.find("offset " + std::to_string(log.pieces[bad].begin)),
              std::string::npos);
    return;
  }
  EXPECT_EQ(ModelOf(*opened), log.pieces[bad - 1].after);
  EXPECT_EQ(opened->recovery.contents.terms, log.pieces[bad - 1].after.Terms());
  EXPECT_EQ(opened->recovery.cut_records, valid_behind);
  EXPECT_EQ(opened->recovery.cut_bytes,
            valid_behind > 0 ? log.pieces.back().end - log.pieces[bad].begin : 0);
  EXPECT_FALSE(opened->recovery.clean_shutdown);
  // What is reported is on the disk, and behind it nothing.
  const std::string& durable = log.files.Durable(log.path);
  const std::size_t end = log.pieces[bad].begin;
  EXPECT_EQ(durable.substr(0, end), log.bytes.substr(0, end));
  EXPECT_EQ(durable.find_first_not_of('\0', end), std::string::npos);
  EXPECT_EQ(durable.size(), log.bytes.size());
}

// The number of records at the front that are as they were.
std::size_t FirstChanged(const SmallLog& log, const std::string& bytes) {
  for (std::size_t i = 0; i < log.pieces.size(); ++i) {
    const Piece& piece = log.pieces[i];
    const std::size_t size = piece.end - piece.begin;
    if (log.bytes.compare(piece.begin, size, bytes, piece.begin, size) != 0) return i;
  }
  return log.pieces.size();
}

void FlipEveryBit(SmallLog& log) {
  for (std::size_t bad = 0; bad < log.pieces.size(); ++bad) {
    for (std::size_t at = log.pieces[bad].begin; at < log.pieces[bad].end; ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = log.bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
        log.files.Written(log.path) = damaged;
        log.files.Settle();
        ExpectOutcome(log, bad, bad + 1,
                      "byte " + std::to_string(at) + " bit " + std::to_string(bit));
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(StorageLogDamageTest, AFlippedBitAnywhere) {
  SmallLog log;
  log.Build(Batches(), false);
  FlipEveryBit(log);
}

TEST(StorageLogDamageTest, AFlippedBitAnywhereInARecycledSegment) {
  SmallLog log;
  log.BuildRecycled(Batches(), false);
  FlipEveryBit(log);
}

// After a clean mark nothing before it counts as torn: the mark proves that all of it was durable.
TEST(StorageLogDamageTest, AFlippedBitAnywhereBeforeACleanMark) {
  SmallLog log;
  log.Build(Batches(), true);
  FlipEveryBit(log);
}

TEST(StorageLogDamageTest, ABitFlippedBehindTheEndIsCleared) {
  SmallLog log;
  log.Build(Batches(), false);
  for (std::size_t at = log.end; at < log.end + 200; ++at) {
    log.files.Written(log.path) = log.bytes;
    log.files.Written(log.path)[at] ^= 1;
    log.files.Settle();
    auto opened = Log::Open(log.files, kDirectory, log.options);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(ModelOf(*opened), log.pieces.back().after);
    EXPECT_EQ(opened->recovery.cut_bytes, 0) << "an earlier use of the file may have left it";
    EXPECT_EQ(log.files.Durable(log.path), log.bytes);
  }
}

// The rest never reached the disk: the first record that is not whole, and all behind it, are a
// torn tail. Nothing says that they were durable.
void LoseEveryLength(SmallLog& log) {
  for (std::size_t length = log.pieces[0].end; length < log.end; ++length) {
    const std::string damaged = log.bytes.substr(0, length) + log.before.substr(length);
    log.files.Written(log.path) = damaged;
    log.files.Settle();
    // The first record that is not what it was: the bytes it lost may have been zeros anyway.
    const std::size_t bad = FirstChanged(log, damaged);
    if (bad == log.pieces.size()) continue;
    ExpectOutcome(log, bad, log.pieces.size(), "length " + std::to_string(length));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(StorageLogDamageTest, EveryLengthOfWhatWasWritten) {
  SmallLog log;
  log.Build(Batches(), true);
  LoseEveryLength(log);
}

TEST(StorageLogDamageTest, EveryLengthOfWhatWasWrittenToARecycledSegment) {
  SmallLog log;
  log.BuildRecycled(Batches(), true);
  LoseEveryLength(log);
}

// A segment has its full length before it has its name, so that no crash makes a shorter one.
TEST(StorageLogDamageTest, EveryTruncationOfTheFileIsDamage) {
  SmallLog log;
  log.Build(Batches(), false);
  for (std::size_t length = 0; length < log.bytes.size();
       length += length < log.end + 64 ? 1 : 1021) {
    log.files.Written(log.path) = log.bytes.substr(0, length);
    log.files.Settle();
    const auto opened = Log::Open(log.files, kDirectory, log.options);
    ASSERT_FALSE(opened) << length;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  }
}

// Damage is only reported: the next start, or a person, must find the bytes as they are.
TEST(StorageLogDamageTest, ReportingDamageChangesNothing) {
  SmallLog log;
  log.Build(Batches(), true);
  std::string damaged = log.bytes;
  damaged[log.pieces[2].begin + 5] ^= 4;
  log.files.Written(log.path) = damaged;
  ASSERT_FALSE(Log::Open(log.files, kDirectory, log.options));
  EXPECT_EQ(log.files.Written(log.path), damaged);
}

// Several records damaged at once, the sectors of one append in any mixture of old and new.
TEST(StorageLogDamageTest, TornSectorsOfTheLastAppendAreCut) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    SmallLog log;
    std::vector<raft::AppendBatch> batches = Batches();
    std::vector<raft::Entry> last;
    for (raft::Index i = 6; i < 30; ++i)
      last.push_back(MakeEntry(i, 3, std::string(random() % 100, 'z')));
    batches.push_back(MakeBatch(raft::HardState{4, 1}, last));
    if (round % 2 == 0) {
      log.Build(batches, false);
    } else {
      log.BuildRecycled(batches, false);
    }
    const std::size_t durable = log.pieces.back().synced_to;
    std::string torn = log.bytes;
    for (std::size_t at = durable; at < log.end; ++at) {
      const std::size_t sector_end = std::min((at / 512 + 1) * 512, log.end);
      if (random() % 3 == 0) torn.replace(at, sector_end - at, log.before, at, sector_end - at);
      at = sector_end - 1;
    }
    log.files.Written(log.path) = torn;
    log.files.Settle();
    const std::size_t whole = FirstChanged(log, torn);
    auto opened = Log::Open(log.files, kDirectory, log.options);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_EQ(ModelOf(*opened), log.pieces[whole - 1].after);
    // A shorter append over the cut leaves nothing of the old one to be found later.
    const auto batch = MakeBatch({}, {MakeEntry(ModelOf(*opened).last() + 1, 5, "new")});
    ASSERT_TRUE(opened->log->Append({&batch, 1}));
    LogModel expected = log.pieces[whole - 1].after;
    expected.Apply(batch);
    opened = Log::Open(log.files, kDirectory, log.options);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_EQ(ModelOf(*opened), expected);
    EXPECT_EQ(opened->recovery.cut_bytes, 0);
  }
}

// Anything at all in the file: opening ends, in one of the two ways, and what it reports once it
// reports again.
TEST(StorageLogDamageTest, RandomDamageNeverCrashes) {
  SmallLog log;
  log.Build(Batches(), true);
  std::mt19937_64 random(13);
  int opened_count = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = log.bytes;
    const std::size_t first =
        random() % 3 == 0 ? 0 : log.pieces[0].end;  // mostly behind the header
    for (std::size_t hits = random() % 4 + 1; hits > 0; --hits) {
      const std::size_t at = first + random() % (log.end + 64 - first);
      const std::size_t from = random() % log.end;
      const std::size_t size = random() % 64 + 1;
      if (random() % 2 == 0) {
        damaged.replace(at, size, log.bytes, from, size);  // bytes that look like the real thing
      } else {
        for (std::size_t i = at; i < at + size; ++i) damaged[i] = static_cast<char>(random());
      }
    }
    log.files.Written(log.path) = damaged;
    log.files.Settle();
    auto opened = Log::Open(log.files, kDirectory, log.options);
    if (!opened) {
      ASSERT_EQ(opened.error().code, ErrorCode::kCorrupt) << opened.error().message;
      continue;
    }
    ++opened_count;
    const LogModel reported = ModelOf(*opened);
    log.files.PowerCutLosingAll();
    opened = Log::Open(log.files, kDirectory, log.options);
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_EQ(ModelOf(*opened), reported);
  }
  EXPECT_GT(opened_count, 0);
}

// A value full of what looks like long records must not make the search behind a tear slow.
TEST(StorageLogDamageTest, ValuesThatLookLikeRecordsDoNotSlowRecovery) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, {8 << 20}, Founding()));
  auto opened = Log::Open(files, kDirectory, {8 << 20});
  ASSERT_TRUE(opened);
  std::string value;
  while (value.size() < (1 << 20)) value += std::string("\0\0\x10\0\2\0\0\0", 8);
  std::vector<raft::Entry> entries;
  for (raft::Index i = 1; i <= 3; ++i) entries.push_back(MakeEntry(i, 1, value));
  const auto batch = MakeBatch({}, std::move(entries));
  ASSERT_TRUE(opened->log->Append({&batch, 1}));
  files.Written(SegmentPath(1))[HeaderBytes() + 30] ^= 1;
  const auto start = std::chrono::steady_clock::now();
  opened = Log::Open(files, kDirectory, {8 << 20});
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->recovery.cut_records, 2);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

// Those of this very segment would have to be checksummed one by one, each as long as a record may
// be. The search gives up instead, and takes what it has for a torn tail.
TEST(StorageLogDamageTest, TheSearchBehindATearHasItsLimits) {
  constexpr LogOptions kLarge{8 << 20};
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory(kDirectory));
  ASSERT_TRUE(Log::Create(files, kDirectory, kLarge, Founding()));
  auto opened = Log::Open(files, kDirectory, kLarge);
  ASSERT_TRUE(opened);
  std::string header(24, '\0');
  header[6] = 16;  // a length of 1 MiB
  header[8] = 2;
  header[20] = 1;
  std::string value(3, '\0');  // to a multiple of 8
  while (value.size() < (1 << 20)) value += header;
  std::vector<raft::Entry> entries;
  for (raft::Index i = 1; i <= 3; ++i) entries.push_back(MakeEntry(i, 1, value));
  const auto batch = MakeBatch({}, std::move(entries));
  ASSERT_TRUE(opened->log->Append({&batch, 1}));
  files.Written(SegmentPath(1))[HeaderBytes() + 30] ^= 1;
  opened = Log::Open(files, kDirectory, kLarge);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->recovery.contents.last, 0);
  EXPECT_EQ(opened->recovery.cut_records, 0);
}

// ---- Several segments ----

class StorageLogSegmentsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files_, kDirectory, kSmall, Founding()));
    auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_TRUE(opened);
    for (raft::Index i = 1; i <= 5; ++i) {
      const auto batch =
          MakeBatch({}, {MakeEntry(i, 1, std::string(40 << 10, static_cast<char>('a' + i)))});
      ASSERT_TRUE(opened->log->Append({&batch, 1}));
      model_.Apply(batch);
    }
    ASSERT_EQ(opened->log->stats().segments, 5);
    files_.Settle();
  }

  void ExpectCorrupt(const std::string& where) {
    const auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(opened.error().message.find(where), std::string::npos) << opened.error().message;
  }

  MemoryFileSystem files_;
  LogModel model_;
};

TEST_F(StorageLogSegmentsTest, ALaterSegmentProvesThatAnEarlierOneWasWhole) {
  // The last record of its segment: within the segment alone it would look torn.
  files_.Written(SegmentPath(4))[HeaderBytes() + 100] ^= 1;
  ExpectCorrupt("00000004.log");
}

TEST_F(StorageLogSegmentsTest, WhatLiesBehindTheEndOfAFullSegmentIsNotRead) {
  const std::size_t end = HeaderBytes() + EntryBytes(model_.entries[0]);
  files_.Written(SegmentPath(3)).replace(end, 100, 100, 'x');
  auto opened = Log::Open(files_, kDirectory, kSmall);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(ModelOf(*opened), model_);
}

TEST_F(StorageLogSegmentsTest, AMissingMiddleSegmentIsDamage) {
  ASSERT_TRUE(files_.Remove(SegmentPath(3)));
  ExpectCorrupt("00000004.log");
}

// Whether they were cut or lost, only the state machine can tell.
TEST_F(StorageLogSegmentsTest, WithoutItsFirstSegmentsTheLogStartsLater) {
  for (int removed = 1; removed <= 4; ++removed) {
    ASSERT_TRUE(files_.Remove(SegmentPath(removed)));
    model_.CutTo(static_cast<raft::Index>(removed));
    auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(ModelOf(*opened), model_);
  }
}

TEST_F(StorageLogSegmentsTest, EveryDamagedHeaderIsReported) {
  for (int sequence = 1; sequence <= 5; ++sequence) {
    for (std::size_t at = 0; at < HeaderBytes(); ++at) {
      std::string& bytes = files_.Written(SegmentPath(sequence));
      bytes[at] ^= 0x10;
      ExpectCorrupt(SegmentPath(sequence));
      bytes[at] ^= 0x10;
    }
  }
}

TEST_F(StorageLogSegmentsTest, ASegmentUnderAnotherNameIsDamage) {
  files_.Written(SegmentPath(4)) = files_.Written(SegmentPath(3));
  ExpectCorrupt("00000004.log");
}

TEST_F(StorageLogSegmentsTest, AnInterruptedPreparationIsRemoved) {
  ASSERT_TRUE(files_.Open(std::string(kDirectory) + "/prepared.tmp", OpenMode::kCreate));
  auto opened = Log::Open(files_, kDirectory, kSmall);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(ModelOf(*opened), model_);
  EXPECT_EQ(files_.List(kDirectory)->size(), 5);
}

// Disk blocks of an older segment may show through where nothing was written yet: their records are
// valid, but for another segment.
TEST_F(StorageLogSegmentsTest, BytesOfARecycledSegmentNeverValidate) {
  const std::size_t end = HeaderBytes() + EntryBytes(model_.entries[0]);
  const std::string& old = files_.Written(SegmentPath(2));
  std::string& last = files_.Written(SegmentPath(5));
  // An entry, the header, or the middle of a value right where the next record is expected.
  for (const std::size_t from : {HeaderBytes(), std::size_t{0}, std::size_t{4096}}) {
    std::string mixed = last.substr(0, end) + old.substr(from);
    mixed.resize(64 << 10);
    last = mixed;
    files_.Settle();
    auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(ModelOf(*opened), model_);
    EXPECT_EQ(opened->recovery.cut_records, 0);
  }
}

}  // namespace
}  // namespace quorate::storage
