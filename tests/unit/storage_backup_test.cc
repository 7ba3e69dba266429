// Backups: every byte is checked, and a directory is made from one whole or not at all.
#include <gtest/gtest.h>

#include <climits>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>

#include "storage/backup.h"
#include "storage/recover.h"
#include "storage/snapshot.h"
#include "tests/unit/storage_test_util.h"

namespace quorate::storage {
namespace {

namespace fs = std::filesystem;

constexpr DataDir::Expected kNodeTwo{0xdef, 2};
constexpr raft::Uuid kUuid{5, 6};
constexpr LogOptions kLogOptions{64 << 10};
const DatabaseOptions kDatabase{1 << 20, 1 << 20};
constexpr std::uint64_t kBackupId = 0xbac;

const raft::Configuration kOld = raft::Configuration::Bootstrap({{1, {}, "old:1"}});
const raft::Configuration kNew =
    raft::Configuration::Bootstrap({{1, {}, "new:1"}, {2, {}, "new:2"}});

// The real files, until the process dies: after some more changes everything fails.
class DyingFiles final : public FileSystem {
 public:
  void FailAfter(int changes) { left_ = changes; }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::kCreate && Dies()) return Forward(Dying());
    auto file = files_->Open(path, mode);
    if (!file) return file;
    return std::make_unique<DyingFile>(std::move(*file), *this);
  }
  Result<bool> Exists(const std::string& path) override { return files_->Exists(path); }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return files_->List(directory);
  }
  Status CreateDirectory(const std::string& path) override {
    return Dies() ? Dying() : files_->CreateDirectory(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return Dies() ? Dying() : files_->Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    return Dies() ? Dying() : files_->Remove(path);
  }
  Status RemoveDirectory(const std::string& path) override {
    return Dies() ? Dying() : files_->RemoveDirectory(path);
  }
  Status SyncDirectory(const std::string& path) override {
    return Dies() ? Dying() : files_->SyncDirectory(path);
  }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return files_->Lock(path);
  }

 private:
  class DyingFile final : public File {
   public:
    DyingFile(std::unique_ptr<File> file, DyingFiles& files)
        : file_(std::move(file)), files_(files) {}
    Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
      return file_->Read(offset, size);
    }
    Status Write(std::uint64_t offset, std::string_view data) override {
      return files_.Dies() ? Dying() : file_->Write(offset, data);
    }
    Status Sync() override { return files_.Dies() ? Dying() : file_->Sync(); }
    Result<std::uint64_t> Size() const override { return file_->Size(); }

   private:
    std::unique_ptr<File> file_;
    DyingFiles& files_;
  };

  bool Dies() {
    if (left_ >= 0) --left_;
    return left_ < 0;
  }
  static Status Dying() { return Fail(ErrorCode::kIo, "the process is dying"); }

  std::unique_ptr<FileSystem> files_ = MakePosixFileSystem();
  int left_ = INT_MAX;
};

// Bytes as a file.
class StringFile final : public File {
 public:
  explicit StringFile(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::string> Read(std::uint64_t offset, std::size_t size) const override {
    return offset < bytes_.size() ? bytes_.substr(offset, size) : std::string();
  }
  Status Write(std::uint64_t /*offset*/, std::string_view /*data*/) override {
    return Fail(ErrorCode::kInvalid, "only to be read");
  }
  Status Sync() override { return {}; }
  Result<std::uint64_t> Size() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

Status OpenAndVerify(const std::string& bytes) {
  const StringFile file(bytes);
  const auto contents = OpenBackup(file);
  if (!contents) return Forward(contents);
  return VerifyBackup(file, *contents);
}

class BackupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto state = OpenDatabase(root_ / "source", kDatabase);
    ASSERT_TRUE(state);
    ASSERT_TRUE((*state)->Apply(std::vector{ConfigurationEntry(1, kOld)}));
    ApplyNumbers(**state, 2, 101);
    SnapshotStore store(files_, root_ / "snapshots", 0xabc);
    const auto taken = store.Take(**state, {}, kBackupId);
    ASSERT_TRUE(taken) << taken.error().message;
    manifest_ = *taken;
    bytes_ = BackupHeader(manifest_);
    for (std::size_t i = 0; i < manifest_.files.size(); ++i) {
      bytes_ += *store.Read(kBackupId, i, 0, manifest_.files[i].bytes);
    }
    WriteBackup(bytes_);
  }
  void WriteBackup(const std::string& bytes) const {
    std::ofstream(root_ / "backup", std::ios::binary | std::ios::trunc) << bytes;
  }
  Result<std::unique_ptr<DataDir>> Restore() {
    return RestoreBackup(files_, root_ / "backup", root_ / "node", kNodeTwo, kUuid, kLogOptions,
                         kNew, kDatabase);
  }
  // That `directory` is a node with the backup's state, and nothing of its old life.
  void ExpectRestored(DataDir& directory) {
    EXPECT_EQ(directory.identity().origin, kBackupId);
    EXPECT_EQ(directory.identity().uuid, kUuid);
    const auto node = RecoverNode(files_, directory, kLogOptions, [](const std::string& path) {
      return OpenDatabase(path, kDatabase);
    });
    ASSERT_TRUE(node) << node.error().message;
    EXPECT_EQ(node->state->applied(), (raft::Position{101, 1}));
    EXPECT_EQ(node->state->configuration(), kNew);
    EXPECT_EQ(ValueOf(*node->state, "k"), "100");
    EXPECT_EQ(ValueOf(*node->state, "key 2"), "2");
    const LogRecovery& log = node->log.recovery;
    EXPECT_EQ(log.contents.start, (raft::Position{101, 1}));
    EXPECT_EQ(log.contents.last, 101);
    EXPECT_EQ(log.base_configuration, kNew);
    EXPECT_EQ(log.hard_state, (raft::HardState{1, raft::kNoNode}));
    EXPECT_FALSE(node->finished_install);
  }

  TemporaryDirectory root_{"backup"};
  DyingFiles files_;
  Manifest manifest_;
  std::string bytes_;
};

TEST_F(BackupTest, IsReadBack) {
  const StringFile file(bytes_);
  const auto contents = OpenBackup(file);
  ASSERT_TRUE(contents) << contents.error().message;
  EXPECT_EQ(contents->manifest, manifest_);
  EXPECT_EQ(contents->files_begin, BackupHeader(manifest_).size());
  EXPECT_TRUE(VerifyBackup(file, *contents));
}

TEST_F(BackupTest, EveryTruncationIsRefused) {
  const std::size_t header = BackupHeader(manifest_).size();
  for (std::size_t size = 0; size < bytes_.size(); size += size < header + 50 ? 1 : 97) {
    ASSERT_FALSE(OpenAndVerify(bytes_.substr(0, size))) << size;
  }
  const Status longer = OpenAndVerify(bytes_ + "x");
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::kCorrupt);
}

TEST_F(BackupTest, EveryFlippedBitIsRefused) {
  const std::size_t header = BackupHeader(manifest_).size();
  for (std::size_t at = 0; at < bytes_.size(); at += at < header + 50 ? 1 : 97) {
    for (int bit = 0; bit < (at < header ? 8 : 1); ++bit) {
      std::string damaged = bytes_;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      ASSERT_FALSE(OpenAndVerify(damaged)) << "bit " << bit << " of byte " << at;
    }
  }
}

TEST_F(BackupTest, WhatIsNoBackupAndWhatIsNewerAreNamed) {
  const Status other = OpenAndVerify("something else, and quite long enough to hold a header");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kMismatch);
  EXPECT_NE(other.error().message.find("not a backup"), std::string::npos);
  std::string newer = bytes_;
  newer[newer.find('1')] = '2';
  const Status refused = OpenAndVerify(newer);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kMismatch);
  EXPECT_NE(refused.error().message.find("newer"), std::string::npos);
}

TEST_F(BackupTest, RestoresANodeUnderANewConfiguration) {
  {
    const auto restored = Restore();
    ASSERT_TRUE(restored) << restored.error().message;
    ExpectRestored(**restored);
  }
  const auto opened = DataDir::Open(files_, root_ / "node", kNodeTwo);
  ASSERT_TRUE(opened) << opened.error().message;
  ExpectRestored(**opened);
}

// What is in `directory`, by path.
std::map<std::string, std::string> TreeOf(const std::string& directory) {
  std::map<std::string, std::string> tree;
  for (const auto& item : fs::recursive_directory_iterator(directory)) {
    if (!item.is_regular_file()) continue;
    std::ostringstream bytes;
    bytes << std::ifstream(item.path(), std::ios::binary).rdbuf();
    tree[item.path()] = bytes.str();
  }
  return tree;
}

TEST_F(BackupTest, ADirectoryInUseIsLeftAlone) {
  {
    const auto live = Restore();
    ASSERT_TRUE(live);
    const auto before = TreeOf(root_ / "node");
    const auto refused = Restore();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kExists) << refused.error().message;
    EXPECT_EQ(TreeOf(root_ / "node"), before);
  }
  const auto before = TreeOf(root_ / "node");
  EXPECT_EQ(Restore().error().code, ErrorCode::kExists);
  EXPECT_EQ(TreeOf(root_ / "node"), before);
}

TEST_F(BackupTest, ADamagedBackupMakesNothing) {
  std::string damaged = bytes_;
  damaged.back() ^= 1;
  WriteBackup(damaged);
  const auto refused = Restore();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(fs::exists(root_ / "node"));
}

TEST_F(BackupTest, ARestoreMayDieAtAnyChangeAndBeDoneAgain) {
  const auto expect_whole = [this](const DataDir& directory) {
    const auto mark = ReadDatabaseMark(directory.database_path(), kDatabase);
    ASSERT_TRUE(mark) << mark.error().message;
    EXPECT_EQ(*mark, (raft::SnapshotMark{{101, 1}, kNew}));
    const auto log = Log::Open(files_, directory.log_path(), kLogOptions);
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ(log->recovery.contents.start, (raft::Position{101, 1}));
  };
  int changes = 0;
  for (bool finished = false; !finished; ++changes) {
    fs::remove_all(root_ / "node");
    files_.FailAfter(changes);
    finished = Restore().has_value();
    files_.FailAfter(INT_MAX);
    if (const auto opened = DataDir::Open(files_, root_ / "node", kNodeTwo)) {
      expect_whole(**opened);
      continue;
    }
    ASSERT_FALSE(finished) << "a restore that was reported is forgotten";
    const auto again = Restore();
    ASSERT_TRUE(again) << changes << ": " << again.error().message;
    expect_whole(**again);
  }
  EXPECT_GT(changes, 20);
}

}  // namespace
}  // namespace quorate::storage
