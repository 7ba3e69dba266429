// The data directory: whose it is, and what a first boot that dies leaves behind. And the real file
// system below.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "storage/data_dir.h"
#include "storage/log.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::storage {
namespace {

constexpr char kPath[] = "/node";
constexpr DataDir::Expected kNodeOne{0xabc, 1};
constexpr raft::Uuid kUuid{0x0123456789abcdef, 0xfedcba9876543210};

class DataDirTest : public testing::Test {
 protected:
  Result<std::unique_ptr<DataDir>> Bootstrap(const DataDir::Expected& expected = kNodeOne) {
    return DataDir::Bootstrap(files_, kPath, expected, kUuid, [this](const std::string& path) {
      return Log::Create(files_, path, {64 << 10}, raft::Configuration::Bootstrap({{1, {}, "a"}}));
    });
  }
  Result<std::unique_ptr<DataDir>> Open(const DataDir::Expected& expected = kNodeOne) {
    return DataDir::Open(files_, kPath, expected);
  }
  void ExpectFailure(const Result<std::unique_ptr<DataDir>>& result, ErrorCode code,
                     const std::string& part) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  }

  MemoryFileSystem files_;
};

TEST_F(DataDirTest, BootstrapThenOpen) {
  {
    const auto made = Bootstrap();
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ((*made)->identity().uuid, kUuid);
    EXPECT_EQ((*made)->log_path(), "/node/log");
  }
  files_.PowerCutLosingAll();
  const auto opened = Open();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->identity().cluster_id, 0xabc);
  EXPECT_EQ((*opened)->identity().node_id, 1);
  EXPECT_EQ((*opened)->identity().uuid, kUuid);
  EXPECT_EQ((*opened)->identity().format_version, kFormatVersion);
  EXPECT_TRUE(Log::Open(files_, (*opened)->log_path(), {64 << 10}));
}

TEST_F(DataDirTest, AnAbsentOrEmptyDirectoryNeedsBootstrap) {
  ExpectFailure(Open(), ErrorCode::kNotFound, "--bootstrap");
  ASSERT_TRUE(files_.CreateDirectory(kPath));
  ExpectFailure(Open(), ErrorCode::kNotFound, "has lost its directory, do not");
}

TEST_F(DataDirTest, BootstrapNeverTakesANodesDirectory) {
  ASSERT_TRUE(Bootstrap());
  ExpectFailure(Bootstrap(), ErrorCode::kExists, "without --bootstrap");
}

TEST_F(DataDirTest, AnotherNodesOrClustersDirectoryIsRefused) {
  ASSERT_TRUE(Bootstrap());
  ExpectFailure(Open({0xabc, 2}), ErrorCode::kMismatch, "belongs to node 1, not to node 2");
  ExpectFailure(Open({0xdef, 1}), ErrorCode::kMismatch, "belongs to cluster 0000000000000abc");
  EXPECT_TRUE(Open()) << "a refusal leaves no lock behind";
}

TEST_F(DataDirTest, OneProcessAtATime) {
  const auto made = Bootstrap();
  ASSERT_TRUE(made);
  ExpectFailure(Open(), ErrorCode::kLocked, "LOCK");
}

TEST_F(DataDirTest, EveryDamagedByteOfTheIdentityIsReported) {
  ASSERT_TRUE(Bootstrap());
  std::string& bytes = files_.Written("/node/IDENTITY");
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    bytes[at] ^= 1;
    ExpectFailure(Open(), ErrorCode::kCorrupt, "checksum");
    bytes[at] ^= 1;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::string whole = bytes;
    bytes.resize(size);
    ExpectFailure(Open(), ErrorCode::kCorrupt, "checksum");
    bytes = whole;
  }
}

TEST_F(DataDirTest, ANewerFormatIsNamed) {
  ASSERT_TRUE(Bootstrap());
  // As a newer version might write it: other lines, and a checksum made elsewhere (python: crc32c).
  files_.Written("/node/IDENTITY") =
      "quorate data directory\nformat 2\nnew line\nchecksum 0a6cc99f\n";
  ExpectFailure(Open(), ErrorCode::kMismatch, "format 2, newer than this version's 1");
}

TEST_F(DataDirTest, ALogWithoutIdentityIsNeitherOpenedNorOverwritten) {
  ASSERT_TRUE(Bootstrap());
  ASSERT_TRUE(files_.Remove("/node/IDENTITY"));
  ExpectFailure(Open(), ErrorCode::kCorrupt, "no IDENTITY");
  ExpectFailure(Bootstrap(), ErrorCode::kExists, "no IDENTITY");
  EXPECT_TRUE(*files_.Exists("/node/log/00000001.log"));
}

TEST_F(DataDirTest, AFirstBootMayDieAtAnyOperationAndBeDoneAgain) {
  std::uint64_t last = 0;
  for (std::uint64_t operations = 0;; ++operations) {
    bool finished = true;
    for (std::uint64_t variant = 0; variant < 10; ++variant) {
      files_ = MemoryFileSystem();
      std::mt19937_64 random(variant);
      files_.FailAfter(operations);
      const bool made = Bootstrap().has_value();
      finished = finished && made;
      if (variant == 0) {
        files_.Kill();
      } else {
        files_.PowerCut(random);
      }
      if (Open()) continue;
      EXPECT_FALSE(made) << "a first boot that was reported is forgotten";
      const auto again = Bootstrap();
      ASSERT_TRUE(again) << operations << ": " << again.error().message;
      EXPECT_TRUE(Log::Open(files_, (*again)->log_path(), {64 << 10}));
    }
    last = operations;
    if (finished) break;
  }
  EXPECT_GT(last, 10);
}

class PosixFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/quorate_posix_" + std::to_string(::getpid());
    ASSERT_TRUE(files_->CreateDirectory(path_));
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -rf '" + path_ + "'").c_str()), 0); }

  std::unique_ptr<FileSystem> files_ = MakePosixFileSystem();
  std::string path_;
};

TEST_F(PosixFilesTest, WritesReadsAndGrows) {
  auto file = files_->Open(path_ + "/a", OpenMode::kCreate);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->Write(4, "abc"));
  ASSERT_TRUE((*file)->Sync());
  EXPECT_EQ((*file)->Size(), 7);
  EXPECT_EQ((*file)->Read(0, 100), std::string("\0\0\0\0abc", 7));
  EXPECT_EQ((*file)->Read(5, 1), "b");
  EXPECT_EQ((*file)->Read(50, 1), "");
  EXPECT_EQ(files_->Open(path_ + "/a", OpenMode::kCreate).error().code, ErrorCode::kExists);
  EXPECT_EQ(files_->Open(path_ + "/b", OpenMode::kReadWrite).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(files_->Rename(path_ + "/a", path_ + "/b"));
  ASSERT_TRUE(files_->SyncDirectory(path_));
  EXPECT_EQ(files_->List(path_), (std::vector<std::string>{"b"}));
  EXPECT_EQ(files_->Exists(path_ + "/a"), false);
  ASSERT_TRUE(files_->Remove(path_ + "/b"));
  EXPECT_EQ(files_->Remove(path_ + "/b").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(files_->CreateDirectory(path_)) << "fine if it exists";
}

TEST_F(PosixFilesTest, AFullDiskIsNamed) {
  const auto full = files_->Open("/dev/full", OpenMode::kReadWrite);
  ASSERT_TRUE(full);
  EXPECT_EQ((*full)->Write(0, "x").error().code, ErrorCode::kNoSpace);
}

TEST_F(PosixFilesTest, ALockDiesWithItsProcess) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = files_->Lock(path_ + "/LOCK");
    const char c = lock ? 'y' : 'n';
    if (::write(ready[1], &c, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  ASSERT_EQ(c, 'y');
  const auto taken = files_->Lock(path_ + "/LOCK");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kLocked);
  EXPECT_NE(taken.error().message.find("pid " + std::to_string(child)), std::string::npos);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(files_->Lock(path_ + "/LOCK"));
}

}  // namespace
}  // namespace quorate::storage
