// Reading a log without changing it: as far as it can be read, and where that ends.
#include <gtest/gtest.h>

#include "storage/entry_codec.h"
#include "storage/log.h"
#include "storage/log_scan.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::storage {
namespace {

constexpr char kDirectory[] = "/log";
constexpr LogOptions kSmall{.segment_bytes = 64 << 10};
constexpr std::size_t kEntries = 30;
constexpr std::size_t kEntryBytes = 10'000;  // a few to a segment

std::string PathOf(std::uint32_t sequence) {
  return std::string(kDirectory) + "/" + SegmentName(sequence);
}

raft::Entry EntryAt(raft::Index index) {
  const std::string data(kEntryBytes, 'x');
  return {index, index, raft::EntryKind::kCommand, Bytes::Copy(data)};
}

class LogScanTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory(kDirectory));
    ASSERT_TRUE(Log::Create(files_, kDirectory, kSmall,
                            {{}, raft::Configuration::Bootstrap({{1, {}, "a:1"}})}));
    auto opened = Log::Open(files_, kDirectory, kSmall);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(opened->log);
    for (raft::Index index = 1; index <= kEntries; ++index) {
      raft::AppendBatch batch;
      batch.hard_state = raft::HardState{index, 1};
      batch.entries.push_back(EntryAt(index));
      ASSERT_TRUE(log_->Append({&batch, 1}));
    }
  }

  // Scans, and notes the entries seen. Nothing may be written.
  LogScan Scan() {
    const std::uint64_t before = files_.operations();
    seen_.clear();
    LogScan scan(files_, kDirectory, OpenMode::kReadOnly, [this](Place, const LogRecord& record) {
      if (record.type != RecordType::kEntry) return;
      std::string_view payload = record.payload;
      seen_.push_back(TakeEntry(payload)->index);
    });
    const Status status = scan.Run();
    EXPECT_TRUE(status) << status.error().message;
    EXPECT_EQ(files_.operations(), before) << "something was written";
    return scan;
  }

  // Changes a byte of the entry in its middle.
  void Damage(raft::Index index) {
    for (std::uint32_t sequence = 1;; ++sequence) {
      ASSERT_TRUE(*files_.Exists(PathOf(sequence)));
      std::string& bytes = files_.Written(PathOf(sequence));
      std::string front;
      AppendEntry(EntryAt(index), front);
      const std::size_t at = bytes.find(front.substr(0, kEntryHeaderBytes));
      if (at == std::string::npos) continue;
      bytes[at + 100] ^= 1;
      return;
    }
  }

  MemoryFileSystem files_;
  std::unique_ptr<Log> log_;
  std::vector<raft::Index> seen_;
};

TEST_F(LogScanTest, SeesEverythingWhileTheLogIsInUse) {
  LogScan scan = Scan();
  EXPECT_FALSE(scan.damage());
  EXPECT_GT(scan.segments().size(), 3u);
  EXPECT_EQ(seen_.size(), kEntries);
  ASSERT_TRUE(scan.replay());
  EXPECT_EQ(scan.replay()->contents().last, kEntries);
  EXPECT_EQ(scan.replay()->hard_state(), (raft::HardState{kEntries, 1}));
  EXPECT_FALSE(scan.replay()->clean());
  ASSERT_TRUE(log_->Close());
  EXPECT_TRUE(Scan().replay()->clean());
}

TEST_F(LogScanTest, ReadsUpToADamagedRecordAndNamesIt) {
  Damage(10);
  LogScan scan = Scan();
  EXPECT_EQ(seen_.size(), 9u);
  ASSERT_TRUE(scan.damage());
  EXPECT_EQ(scan.damage()->place, scan.end());
  EXPECT_EQ(scan.replay()->contents().last, 9u);
  EXPECT_NE(scan.DamageError().message.find(SegmentName(scan.end().segment)), std::string::npos);
  // Recovery finds the same.
  const auto opened = Log::Open(files_, kDirectory, kSmall);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().message, scan.DamageError().message);
}

TEST_F(LogScanTest, ReadsUpToADamagedHeaderAndShowsWhatFollows) {
  const std::size_t all = Scan().segments().size();
  files_.Written(PathOf(3))[30] ^= 1;
  LogScan scan = Scan();
  ASSERT_TRUE(scan.damage());
  EXPECT_EQ(scan.damage()->place, (Place{3, 0}));
  EXPECT_EQ(scan.segments().size(), all);
  EXPECT_FALSE(scan.segments()[2].header);
  EXPECT_TRUE(scan.segments()[3].header);
  EXPECT_EQ(scan.end().segment, 2u);
  EXPECT_FALSE(seen_.empty());
}

TEST_F(LogScanTest, AMissingSegmentIsDamage) {
  ASSERT_TRUE(files_.Remove(PathOf(2)));
  LogScan scan = Scan();
  ASSERT_TRUE(scan.damage());
  EXPECT_EQ(scan.damage()->place, (Place{3, 0}));
  EXPECT_EQ(scan.end().segment, 1u);
}

TEST_F(LogScanTest, ATornTailIsNoDamage) {
  Damage(kEntries);
  LogScan scan = Scan();
  EXPECT_FALSE(scan.damage());
  EXPECT_EQ(scan.replay()->contents().last, kEntries - 1);
  EXPECT_EQ(seen_.size(), kEntries - 1);
}

TEST_F(LogScanTest, WithoutItsFirstHeaderThereIsNothingToRead) {
  ASSERT_TRUE(log_->Close());
  for (std::uint32_t sequence = 2; *files_.Exists(PathOf(sequence)); ++sequence) {
    ASSERT_TRUE(files_.Remove(PathOf(sequence)));
  }
  files_.Written(PathOf(1)).resize(10);
  LogScan scan = Scan();
  ASSERT_TRUE(scan.damage());
  EXPECT_FALSE(scan.replay());
  EXPECT_TRUE(seen_.empty());
}

TEST_F(LogScanTest, ADirectoryWithoutSegmentsIsNotALog) {
  ASSERT_TRUE(files_.CreateDirectory("/empty"));
  LogScan scan(files_, "/empty", OpenMode::kReadOnly);
  const Status status = scan.Run();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace quorate::storage
