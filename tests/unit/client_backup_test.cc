// The file of a backup: nothing but a whole one ever has its name, and nothing else is left behind.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "storage/backup.h"
#include "storage/crc32c.h"
#include "tests/unit/memory_file_system.h"
#include "tools/backup_file.h"

namespace quorate::tools {
namespace {

using storage::ErrorCode;
using storage::Manifest;
using storage::MemoryFileSystem;

// Three files, one of them empty.
const std::string kContents = std::string(1000, 'a') + std::string(70'000, 'b');

Manifest MakeManifest() {
  Manifest manifest;
  manifest.id = 7;
  manifest.cluster_id = 42;
  manifest.mark.position = {.index = 9, .term = 2};
  manifest.files = {
      {.name = "CURRENT", .bytes = 1000, .crc32c = storage::Crc32c(kContents.substr(0, 1000))},
      {.name = "EMPTY", .bytes = 0, .crc32c = storage::Crc32c("")},
      {.name = "x.sst", .bytes = 70'000, .crc32c = storage::Crc32c(kContents.substr(1000))}};
  return manifest;
}

storage::Status WriteAll(BackupFile& file, const std::string& contents, std::size_t piece) {
  for (std::size_t at = 0; at < contents.size(); at += piece) {
    const auto status = file.Append(std::string_view(contents).substr(at, piece));
    if (!status) return status;
  }
  return file.Finish();
}

class BackupFiles : public ::testing::Test {
 protected:
  BackupFiles()
      : directory_(std::filesystem::temp_directory_path() /
                   ("quorate-backup-" + std::to_string(::getpid()))),
        path_((directory_ / "backup").string()) {
    std::filesystem::create_directories(directory_);
  }
  ~BackupFiles() override { std::filesystem::remove_all(directory_); }

  std::size_t Names() const {
    const std::filesystem::directory_iterator all(directory_);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  const std::filesystem::path directory_;
  const std::string path_;
  const std::unique_ptr<storage::FileSystem> files_ = storage::MakePosixFileSystem();
  const Manifest manifest_ = MakeManifest();
};

TEST_F(BackupFiles, HoldWhatTheManifestSaysHoweverItComes) {
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{999}, std::size_t{1000}, std::size_t{1 << 20}}) {
    auto file = BackupFile::Create(*files_, path_, /*replace=*/true, manifest_);
    ASSERT_TRUE(file) << file.error().message;
    const auto written = WriteAll(**file, kContents, piece);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(Names(), 1U);
    const auto opened = files_->Open(path_, storage::OpenMode::kReadOnly);
    ASSERT_TRUE(opened);
    const auto contents = storage::OpenBackup(**opened);
    ASSERT_TRUE(contents) << contents.error().message;
    EXPECT_EQ(contents->manifest, manifest_);
    EXPECT_TRUE(storage::VerifyBackup(**opened, *contents));
    EXPECT_EQ((*file)->bytes(), std::filesystem::file_size(path_));
  }
}

TEST_F(BackupFiles, AreNotReplacedUnlessThatIsWanted) {
  std::ofstream(path_) << "precious";
  const auto refused = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_NE(refused.error().message.find("--force"), std::string::npos);
  EXPECT_EQ(Names(), 1U);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(BackupFiles, OneThatCameMeanwhileStays) {
  auto file = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->Append(kContents));
  std::ofstream(path_) << "precious";
  EXPECT_EQ((*file)->Finish().error().code, ErrorCode::kExists);
  file->reset();
  EXPECT_EQ(Names(), 1U);
  EXPECT_EQ(std::filesystem::file_size(path_), 8U);
}

TEST_F(BackupFiles, OfTwoWritersOneGivesWay) {
  auto first = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
  ASSERT_TRUE(first);
  const auto second = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("under way"), std::string::npos);
  EXPECT_TRUE(WriteAll(**first, kContents, 5000));
}

TEST_F(BackupFiles, WhatAKilledWriterLeftIsWrittenOver) {
  std::ofstream(path_ + ".tmp") << std::string(200'000, 'x');
  auto file = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
  ASSERT_TRUE(file);
  EXPECT_TRUE(WriteAll(**file, kContents, 5000));
  EXPECT_EQ(Names(), 1U);
}

TEST_F(BackupFiles, DamageAndWrongLengthsLeaveNothing) {
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{999}, std::size_t{1000}, kContents.size() - 1}) {
    auto file = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
    ASSERT_TRUE(file);
    std::string damaged = kContents;
    damaged[at] ^= 1;
    const auto written = WriteAll(**file, damaged, 300);
    ASSERT_FALSE(written) << at;
    EXPECT_EQ(written.error().code, ErrorCode::kCorrupt);
    file->reset();
    EXPECT_EQ(Names(), 0U);
  }
  for (const std::string& wrong :
       {kContents.substr(1), kContents + "x", kContents.substr(0, 1000)}) {
    auto file = BackupFile::Create(*files_, path_, /*replace=*/false, manifest_);
    ASSERT_TRUE(file);
    EXPECT_FALSE(WriteAll(**file, wrong, 300));
    file->reset();
    EXPECT_EQ(Names(), 0U);
  }
}

TEST_F(BackupFiles, ADirectoryThatIsNotThereIsNamed) {
  const std::string path = (directory_ / "none" / "backup").string();
  const auto refused = BackupFile::Create(*files_, path, /*replace=*/false, manifest_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("none"), std::string::npos) << refused.error().message;
}

TEST(BackupOnAFullDisk, SaysHowMuchItNeedsAndLeavesNothing) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectory("/d"));
  auto file = BackupFile::Create(files, "/d/backup", /*replace=*/false, MakeManifest());
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE((*file)->Append(kContents.substr(0, 2000)));
  files.SetFull(true);
  const auto written = (*file)->Append(kContents.substr(2000));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kNoSpace);
  EXPECT_NE(written.error().message.find(std::to_string((*file)->bytes())), std::string::npos)
      << written.error().message;
  file->reset();
  EXPECT_TRUE(files.List("/d")->empty());
}

TEST(BackupOnAFailingDisk, EveryFailureLeavesTheOldBackupAlone) {
  for (std::uint64_t operations = 0;; ++operations) {
    MemoryFileSystem files;
    ASSERT_TRUE(files.CreateDirectory("/d"));
    ASSERT_TRUE((*files.Open("/d/backup", storage::OpenMode::kCreate))->Write(0, "precious"));
    files.FailAfter(operations);
    bool done = false;
    {
      auto file = BackupFile::Create(files, "/d/backup", /*replace=*/true, MakeManifest());
      done = file && WriteAll(**file, kContents, 20'000);
    }
    files.Kill();
    const auto now = files.Open("/d/backup", storage::OpenMode::kReadOnly);
    ASSERT_TRUE(now);
    const bool old = *(*now)->Read(0, 100) == "precious";
    if (!old) {
      EXPECT_TRUE(storage::VerifyBackup(**now, *storage::OpenBackup(**now)));
    }
    if (done) {
      EXPECT_FALSE(old);
      return;
    }
  }
}

}  // namespace
}  // namespace quorate::tools
