// What quorate-inspect says of backups and of a snapshot on its way in; the rest is tested on a
// real node's directory (tests/integration/inspect_test.py).
#include <gtest/gtest.h>

#include "storage/backup.h"
#include "storage/crc32c.h"
#include "storage/data_dir.h"
#include "tests/unit/memory_file_system.h"
#include "tools/inspect/directory_report.h"
#include "tools/inspect/log_report.h"
#include "tools/inspect/snapshot_report.h"

namespace quorate::inspect {
namespace {

using storage::DataDir;
using storage::Manifest;
using storage::MemoryFileSystem;
using storage::OpenMode;

const std::string kTable = "a table";
const std::string kCurrent = "MANIFEST-000004\n";

Manifest Example() {
  Manifest manifest;
  manifest.id = 0x1122334455667788;
  manifest.mark.position = {1000, 4};
  manifest.mark.configuration = raft::Configuration::Bootstrap({{1, {}, "a:1"}});
  manifest.files = {{"000012.sst", kTable.size(), storage::Crc32c(kTable)},
                    {"CURRENT", kCurrent.size(), storage::Crc32c(kCurrent)}};
  return manifest;
}

void Write(MemoryFileSystem& files, const std::string& path, std::string_view bytes) {
  const auto file = files.Open(path, OpenMode::kCreate);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE((*file)->Write(0, bytes));
}

class BackupReport : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory("/b"));
    Write(files_, kPath, storage::BackupHeader(Example()) + kTable + kCurrent);
  }

  static constexpr char kPath[] = "/b/backup";
  MemoryFileSystem files_;
};

TEST_F(BackupReport, SaysWhatItIsOfAndWhetherItIsWhole) {
  Report report;
  ASSERT_TRUE(ReportBackup(files_, kPath, /*verify=*/true, report));
  const Json json = report.ToJson();
  EXPECT_FALSE(report.damaged());
  EXPECT_EQ(json["id"], "1122334455667788");
  EXPECT_EQ(json["position"]["index"], 1000);
  EXPECT_EQ(json["files"].size(), 2u);
  EXPECT_EQ(json["verified"], "every checksum matches");
  const std::string text = ToText(json);
  for (const char* part : {"000012.sst", "1122334455667788", "index 1000, term 4"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST_F(BackupReport, FindsDamageInItsFilesOnlyWhenItVerifies) {
  files_.Written(kPath).back() ^= 1;
  Report quick;
  ASSERT_TRUE(ReportBackup(files_, kPath, /*verify=*/false, quick));
  EXPECT_FALSE(quick.damaged());
  Report thorough;
  ASSERT_TRUE(ReportBackup(files_, kPath, /*verify=*/true, thorough));
  EXPECT_TRUE(thorough.damaged());
  EXPECT_FALSE(thorough.ToJson().contains("verified"));
}

TEST_F(BackupReport, OneThatIsCutShortIsDamaged) {
  files_.Written(kPath).pop_back();
  Report report;
  ASSERT_TRUE(ReportBackup(files_, kPath, /*verify=*/false, report));
  EXPECT_TRUE(report.damaged());
}

TEST_F(BackupReport, AnotherFileIsNone) {
  files_.Written(kPath)[0] ^= 1;
  Report report;
  const storage::Status status = ReportBackup(files_, kPath, /*verify=*/false, report);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, storage::ErrorCode::kMismatch);
}

class IncomingReport : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.CreateDirectory("/parent"));
    const auto directory = DataDir::Bootstrap(files_, kPath, {7, 1}, {1, 2},
                                              [](const std::string&) { return storage::Status(); });
    ASSERT_TRUE(directory) << directory.error().message;
    Write(files_, (*directory)->incoming_manifest_path(), Example().Encode());
    next_ = (*directory)->next_database_path();
    ASSERT_TRUE(files_.CreateDirectory(next_));
  }

  Json Incoming(bool verify) {
    report_ = Report();
    ReportSnapshots(files_, kPath, verify, report_);
    return report_.ToJson()["incoming_snapshot"];
  }

  static constexpr char kPath[] = "/parent/data";
  MemoryFileSystem files_;
  std::string next_;
  Report report_;
};

TEST_F(IncomingReport, SaysHowFarItHasCome) {
  Write(files_, next_ + "/000012.sst", kTable.substr(0, 3));
  const Json json = Incoming(/*verify=*/false);
  EXPECT_EQ(json["received"], 3);
  EXPECT_EQ(json["bytes"], kTable.size() + kCurrent.size());
  EXPECT_EQ(json["position"]["index"], 1000);
  EXPECT_EQ(json["files"][0]["state"], "partial");
  EXPECT_EQ(json["files"][1]["state"], "missing");
}

TEST_F(IncomingReport, ChecksWhatIsThere) {
  Write(files_, next_ + "/000012.sst", kTable);
  Write(files_, next_ + "/CURRENT", std::string(kCurrent.size(), '?'));
  EXPECT_EQ(Incoming(/*verify=*/false)["files"][1]["state"], "whole");
  const Json json = Incoming(/*verify=*/true);
  EXPECT_EQ(json["files"][0]["state"], "right");
  EXPECT_EQ(json["files"][1]["state"], "wrong");
  EXPECT_FALSE(report_.damaged()) << "it is fetched again, and nothing is lost";
}

TEST_F(IncomingReport, AManifestThatCannotBeReadIsDamage) {
  files_.Written(std::string(kPath) + "/INCOMING")[20] ^= 1;
  Incoming(/*verify=*/false);
  EXPECT_TRUE(report_.damaged());
}

TEST(EntryRange, TakesTheFormsThatTheHelpNames) {
  const auto bounds = [](const char* text) {
    const auto range = ParseEntryRange(text);
    return range ? std::pair(range->first, range->last) : std::pair(raft::Index{0}, raft::Index{0});
  };
  constexpr raft::Index kAll = ~raft::Index{0};
  EXPECT_EQ(bounds("5..10"), std::pair(raft::Index{5}, raft::Index{10}));
  EXPECT_EQ(bounds("5.."), std::pair(raft::Index{5}, kAll));
  EXPECT_EQ(bounds("..10"), std::pair(raft::Index{1}, raft::Index{10}));
  EXPECT_EQ(bounds("5"), std::pair(raft::Index{5}, raft::Index{5}));
  EXPECT_EQ(bounds(""), std::pair(raft::Index{1}, kAll));
  for (const char* wrong : {"x", "5..x", "-1", "5...10", "5 .. 10", "99999999999999999999"}) {
    EXPECT_FALSE(ParseEntryRange(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace quorate::inspect
