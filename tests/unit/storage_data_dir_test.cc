// The data directory: whose it is, and what a first boot that dies leaves behind. And the real file
// system below.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "storage/crc32c.h"
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
      return Log::Create(files_, path, {64 << 10},
                         {{}, raft::Configuration::Bootstrap({{1, {}, "a"}})});
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

// Every truncation, and every flipped bit.
void DamageEachWay(std::string& bytes, const std::function<void()>& check) {
  const std::string whole = bytes;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    check();
    bytes = whole;
  }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    bytes.resize(size);
    check();
    bytes = whole;
  }
}

TEST_F(DataDirTest, EveryDamageOfTheIdentityOrOfCurrentIsReported) {
  ASSERT_TRUE(Bootstrap());
  for (const char* name : {"/node/IDENTITY", "/node/CURRENT"}) {
    SCOPED_TRACE(name);
    DamageEachWay(files_.Written(name),
                  [this] { ExpectFailure(Open(), ErrorCode::kCorrupt, "checksum"); });
  }
  EXPECT_TRUE(Open());
}

TEST_F(DataDirTest, AMissingCurrentIsReported) {
  ASSERT_TRUE(Bootstrap());
  ASSERT_TRUE(files_.Remove("/node/CURRENT"));
  ExpectFailure(Open(), ErrorCode::kCorrupt, "/node/CURRENT is missing");
}

// As another version might write it.
std::string IdentityOfFormat(int format) {
  const std::string text =
      "quorate data directory\nformat " + std::to_string(format) + "\nanother line\n";
  char checksum[20];
  std::snprintf(checksum, sizeof(checksum), "checksum %08x\n", Crc32c(text));
  return text + checksum;
}

TEST_F(DataDirTest, ANewerOrOlderFormatIsNamed) {
  ASSERT_TRUE(Bootstrap());
  files_.Written("/node/IDENTITY") = IdentityOfFormat(3);
  ExpectFailure(Open(), ErrorCode::kMismatch, "format 3, newer than this version's 2");
  files_.Written("/node/IDENTITY") = IdentityOfFormat(1);
  ExpectFailure(Open(), ErrorCode::kMismatch, "format 1, which this version");
}

TEST_F(DataDirTest, TheOriginOfABackupIsKept) {
  ASSERT_TRUE(DataDir::Bootstrap(
      files_, kPath, kNodeOne, kUuid, [](const std::string&) { return Status(); }, 0xbac));
  const auto opened = Open();
  ASSERT_TRUE(opened);
  EXPECT_EQ((*opened)->identity().origin, 0xbac);
}

TEST_F(DataDirTest, AQuarantinedDirectoryStaysClosed) {
  {
    const auto made = Bootstrap();
    ASSERT_TRUE((*made)->Quarantine("the log is damaged at offset 7"));
  }
  files_.PowerCutLosingAll();
  ExpectFailure(Open(), ErrorCode::kCorrupt, "the log is damaged at offset 7");
  ExpectFailure(Open(), ErrorCode::kCorrupt, "as a new member");
  ExpectFailure(Bootstrap(), ErrorCode::kExists, "already holds");
}

// A database as far as the data directory is concerned: a directory with something in it.
void MakeDatabase(FileSystem& files, const std::string& path) {
  ASSERT_TRUE(files.CreateDirectory(path));
  ASSERT_TRUE(files.Open(path + "/000001.sst", OpenMode::kCreate));
}

TEST_F(DataDirTest, OnlyTheCurrentDatabaseRemains) {
  const auto made = Bootstrap();
  ASSERT_TRUE(made);
  DataDir& directory = **made;
  EXPECT_EQ(directory.database_path(), "/node/" + DataDir::FirstDatabaseName());
  for (const char* name : {"/node/db-00000001", "/node/db-00000002", "/node/db-00000003"}) {
    MakeDatabase(files_, name);
  }
  ASSERT_TRUE(directory.SwitchDatabase({100, 7}));
  EXPECT_EQ(directory.database_path(), "/node/db-00000002");
  EXPECT_EQ(directory.next_database_path(), "/node/db-00000003");
  ASSERT_TRUE(directory.RemoveOtherDatabases(/*keep_next=*/true));
  EXPECT_EQ(files_.Exists("/node/db-00000001"), false);
  EXPECT_EQ(files_.Exists("/node/db-00000002/000001.sst"), true);
  EXPECT_EQ(files_.Exists("/node/db-00000003/000001.sst"), true);
  ASSERT_TRUE(directory.RemoveOtherDatabases(/*keep_next=*/false));
  EXPECT_EQ(files_.Exists("/node/db-00000002/000001.sst"), true);
  EXPECT_EQ(files_.Exists("/node/db-00000003"), false);
}

TEST_F(DataDirTest, AFullDiskLeavesTheOldDatabaseAndNoLitter) {
  const auto made = Bootstrap();
  ASSERT_TRUE(made);
  files_.SetFull(true);
  const std::vector<std::string> names = *files_.List(kPath);
  const Status switched = (*made)->SwitchDatabase({100, 7});
  ASSERT_FALSE(switched);
  EXPECT_EQ(switched.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ((*made)->current(), CurrentDatabase());
  EXPECT_EQ(*files_.List(kPath), names);
  files_.SetFull(false);
  EXPECT_TRUE((*made)->SwitchDatabase({100, 7}));
  EXPECT_EQ((*made)->current(), (CurrentDatabase{2, {100, 7}}));
}

// Whenever it dies, the directory opens, and one of the two databases counts, whole: the new one if
// the switch was reported.
TEST_F(DataDirTest, ASwitchMayDieAtAnyOperation) {
  std::uint64_t operations = 0;
  for (bool finished = false; !finished; ++operations) {
    finished = true;
    for (std::uint64_t variant = 0; variant < 20; ++variant) {
      files_ = MemoryFileSystem();
      std::mt19937_64 random(variant);
      auto directory = Bootstrap();
      ASSERT_TRUE(directory);
      files_.Settle();
      // Not synced into /node: that is for the switch to do.
      MakeDatabase(files_, "/node/db-00000002");
      ASSERT_TRUE(files_.SyncDirectory("/node/db-00000002"));
      files_.FailAfter(operations);
      const bool switched = (*directory)->SwitchDatabase({100, 7}).has_value();
      finished = finished && switched;
      directory->reset();
      if (variant == 0) {
        files_.Kill();
      } else {
        files_.PowerCut(random);
      }
      const auto opened = Open();
      ASSERT_TRUE(opened) << operations << ": " << opened.error().message;
      const CurrentDatabase current = (*opened)->current();
      if (current == CurrentDatabase()) {
        EXPECT_FALSE(switched) << "a switch that was reported is forgotten";
      } else {
        EXPECT_EQ(current, (CurrentDatabase{2, {100, 7}}));
        EXPECT_EQ(files_.Exists("/node/db-00000002/000001.sst"), true);
      }
    }
  }
  EXPECT_GT(operations, 5);
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
  ASSERT_TRUE(files_->CreateDirectory(path_ + "/d"));
  ASSERT_TRUE(files_->Open(path_ + "/d/a", OpenMode::kCreate));
  EXPECT_EQ(files_->RemoveDirectory(path_ + "/d").error().code, ErrorCode::kExists);
  ASSERT_TRUE(files_->Remove(path_ + "/d/a"));
  EXPECT_TRUE(files_->RemoveDirectory(path_ + "/d"));
  EXPECT_EQ(files_->Exists(path_ + "/d"), false);
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
