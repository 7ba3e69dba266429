// A log and a state machine that fit together, whatever the last stop left behind.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "storage/files.h"
#include "storage/manifest.h"
#include "storage/recover.h"
#include "tests/unit/fake_state_machine.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::storage {
namespace {

constexpr char kPath[] = "/node";
constexpr DataDir::Expected kNodeOne{0xabc, 1};
constexpr LogOptions kLogOptions{64 << 10};
constexpr raft::HardState kHardState{6, 2};

const raft::Configuration kFounding = raft::Configuration::Bootstrap({{1, {}, "a"}});
const raft::Configuration kLater = raft::Configuration::Bootstrap({{1, {}, "a"}, {2, {}, "b"}});

class RecoverTest : public testing::Test {
 protected:
  void SetUp() override { MakeNode(); }

  // A log with entries 1 to 5 of term 1 and 6 to 10 of term 4, and the vote of a later term.
  void MakeNode() {
    directory_.reset();
    files_ = MemoryFileSystem();
    auto made =
        DataDir::Bootstrap(files_, kPath, kNodeOne, {1, 2}, [this](const std::string& path) {
          return Log::Create(files_, path, kLogOptions, {{}, kFounding});
        });
    ASSERT_TRUE(made) << made.error().message;
    directory_ = std::move(*made);
    auto log = Log::Open(files_, directory_->log_path(), kLogOptions);
    ASSERT_TRUE(log);
    raft::AppendBatch batch;
    batch.hard_state = kHardState;
    for (raft::Index i = 1; i <= 10; ++i) {
      batch.entries.push_back({i <= 5 ? raft::Term{1} : raft::Term{4}, i, raft::EntryKind::kCommand,
                               Bytes::Copy("entry")});
    }
    ASSERT_TRUE(log->log->Append({&batch, 1}));
    files_.Settle();
  }
  void Reopen() {
    directory_.reset();
    auto opened = DataDir::Open(files_, kPath, kNodeOne);
    ASSERT_TRUE(opened) << opened.error().message;
    directory_ = std::move(*opened);
  }
  // With a state machine that is there.
  Result<RecoveredNode> Recover(raft::Position applied,
                                const raft::Configuration& configuration = kLater) {
    return RecoverNode(files_, *directory_, kLogOptions,
                       [&](const std::string& path) -> Result<std::unique_ptr<StateMachine>> {
                         opened_ = path;
                         return std::make_unique<FakeStateMachine>(
                             files_, raft::SnapshotMark{applied, configuration});
                       });
  }
  void ExpectCorrupt(raft::Position applied) {
    const auto node = Recover(applied);
    ASSERT_FALSE(node);
    EXPECT_EQ(node.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(node.error().message.find("as a new member"), std::string::npos)
        << node.error().message;
  }
  // The log stands empty behind `position`, with term and vote as they were.
  static void ExpectInstalled(const RecoveredNode& node, raft::Position position) {
    EXPECT_EQ(node.log.recovery.contents.start, position);
    EXPECT_EQ(node.log.recovery.contents.last, position.index);
    EXPECT_TRUE(node.log.recovery.contents.terms.empty());
    EXPECT_EQ(node.log.recovery.base_configuration, kLater);
    EXPECT_TRUE(node.log.recovery.configurations.empty());
    EXPECT_EQ(node.log.recovery.hard_state, kHardState);
  }
  void MakeFile(const std::string& directory, const std::string& name) {
    ASSERT_TRUE(files_.CreateDirectory(directory));
    ASSERT_TRUE(files_.Open(directory + "/" + name, OpenMode::kCreate));
  }

  MemoryFileSystem files_;
  std::unique_ptr<DataDir> directory_;
  std::string opened_;
};

TEST_F(RecoverTest, AStateWithinTheLogIsGoneOnWith) {
  for (const raft::Position applied : {raft::Position{0, 0}, {1, 1}, {5, 1}, {6, 4}, {10, 4}}) {
    const auto node = Recover(applied);
    ASSERT_TRUE(node) << node.error().message;
    EXPECT_EQ(opened_, "/node/db-00000001");
    EXPECT_EQ(node->state->applied(), applied);
    EXPECT_EQ(node->log.recovery.contents.last, 10);
    EXPECT_EQ(node->log.recovery.hard_state, kHardState);
    EXPECT_FALSE(node->finished_install);
  }
}

TEST_F(RecoverTest, AStateThatDoesNotFitIsRefused) {
  ExpectCorrupt({11, 4});  // ahead of the log
  ExpectCorrupt({5, 4});   // another entry there
  ExpectCorrupt({10, 1});
  ExpectCorrupt({0, 1});
}

TEST_F(RecoverTest, AnInstallationThatWasCutShortIsFinished) {
  ASSERT_TRUE(directory_->SwitchDatabase({100, 5}));
  Reopen();
  {
    const auto node = Recover({100, 5});
    ASSERT_TRUE(node) << node.error().message;
    EXPECT_EQ(opened_, "/node/db-00000002");
    EXPECT_TRUE(node->finished_install);
    ExpectInstalled(*node, {100, 5});
    raft::AppendBatch next;
    next.entries.push_back({6, 101, raft::EntryKind::kNoop, {}});
    EXPECT_TRUE(node->log.log->Append({&next, 1}));
  }
  const auto again = Recover({100, 5});
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(again->finished_install) << "once";
  EXPECT_EQ(again->log.recovery.contents.last, 101);
}

TEST_F(RecoverTest, AConflictingLogGivesWayToTheInstalledSnapshot) {
  ASSERT_TRUE(directory_->SwitchDatabase({8, 5}));
  const auto node = Recover({8, 5});
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_TRUE(node->finished_install);
  ExpectInstalled(*node, {8, 5});
}

TEST_F(RecoverTest, ALogThatHoldsTheInstalledPositionKeepsWhatFollows) {
  ASSERT_TRUE(directory_->SwitchDatabase({8, 4}));
  const auto node = Recover({8, 4});
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_FALSE(node->finished_install);
  EXPECT_EQ(node->log.recovery.contents.last, 10);
}

TEST_F(RecoverTest, OnlyTheInstalledPositionIsBelieved) {
  ASSERT_TRUE(directory_->SwitchDatabase({100, 5}));
  ExpectCorrupt({101, 5});
  ExpectCorrupt({100, 4});
  ExpectCorrupt({11, 4});
}

TEST_F(RecoverTest, AStateBehindTheLogsStartIsRefused) {
  ASSERT_TRUE(directory_->SwitchDatabase({100, 5}));
  ASSERT_TRUE(Recover({100, 5}));
  ExpectCorrupt({99, 5});
  ExpectCorrupt({10, 4});
  ExpectCorrupt({0, 0});
}

// The leader's term may have reached the snapshot before it reached the disk.
TEST_F(RecoverTest, TheTermIsNeverBelowTheSnapshots) {
  ASSERT_TRUE(directory_->SwitchDatabase({100, 9}));
  const auto node = Recover({100, 9});
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->log.recovery.hard_state, (raft::HardState{9, raft::kNoNode}));
}

TEST_F(RecoverTest, WithoutAConfigurationInTheSnapshotTheFoundingOneStays) {
  ASSERT_TRUE(directory_->SwitchDatabase({100, 5}));
  const auto node = Recover({100, 5}, {});
  ASSERT_TRUE(node);
  EXPECT_EQ(node->log.recovery.base_configuration, kFounding);
}

TEST_F(RecoverTest, WhatDoesNotCountIsRemoved) {
  MakeFile("/node/db-00000001", "000001.sst");
  MakeFile("/node/db-00000002", "000001.sst");
  MakeFile("/node/db-00000003", "000001.sst");
  ASSERT_TRUE(files_.CreateDirectory("/node/snapshots"));
  MakeFile("/node/snapshots/0000000000000007", "000001.sst");
  ASSERT_TRUE(directory_->SwitchDatabase({8, 4}));
  ASSERT_TRUE(Recover({8, 4}));
  EXPECT_EQ(files_.Exists("/node/db-00000001"), false);
  EXPECT_EQ(files_.Exists("/node/db-00000002/000001.sst"), true);
  EXPECT_EQ(files_.Exists("/node/db-00000003"), false) << "nothing says what it was to be";
  EXPECT_EQ(files_.Exists("/node/snapshots/0000000000000007"), false);
}

TEST_F(RecoverTest, ASnapshotOnItsWayInStaysUnlessItIsOfNoUse) {
  const auto recover_with = [this](const std::string& manifest) {
    MakeFile("/node/db-00000002", "000001.sst");
    ASSERT_TRUE(ReplaceFile(files_, kPath, "INCOMING", manifest));
    ASSERT_TRUE(Recover({8, 4}));
  };
  Manifest manifest;
  manifest.mark.position = {9, 4};
  recover_with(manifest.Encode());
  EXPECT_EQ(files_.Exists("/node/db-00000002/000001.sst"), true);
  EXPECT_EQ(files_.Exists(directory_->incoming_manifest_path()), true);
  ASSERT_TRUE(RemoveTree(files_, "/node/db-00000002"));

  manifest.mark.position = {8, 4};  // no newer than what is here
  recover_with(manifest.Encode());
  EXPECT_EQ(files_.Exists("/node/db-00000002"), false);
  EXPECT_EQ(files_.Exists(directory_->incoming_manifest_path()), false);

  recover_with("not a manifest");
  EXPECT_EQ(files_.Exists("/node/db-00000002"), false);
  EXPECT_EQ(files_.Exists(directory_->incoming_manifest_path()), false);
}

// Nothing is removed before it is known that the node can go on: it may be needed to see why not.
TEST_F(RecoverTest, ARefusalRemovesNothing) {
  MakeFile("/node/db-00000003", "000001.sst");
  ExpectCorrupt({11, 4});
  EXPECT_EQ(files_.Exists("/node/db-00000003/000001.sst"), true);
}

TEST_F(RecoverTest, MayDieAtAnyOperationAndIsDoneAgain) {
  std::uint64_t operations = 0;
  for (bool finished = false; !finished; ++operations) {
    finished = true;
    for (std::uint64_t variant = 0; variant < 12; ++variant) {
      MakeNode();
      MakeFile("/node/db-00000001", "000001.sst");
      ASSERT_TRUE(directory_->SwitchDatabase({100, 5}));
      files_.Settle();
      std::mt19937_64 random(variant);
      files_.FailAfter(operations);
      finished = Recover({100, 5}).has_value() && finished;
      directory_.reset();
      if (variant == 0) {
        files_.Kill();
      } else {
        files_.PowerCut(random);
      }
      Reopen();
      const auto node = Recover({100, 5});
      ASSERT_TRUE(node) << operations << " " << variant << ": " << node.error().message;
      ExpectInstalled(*node, {100, 5});
      EXPECT_EQ(files_.Exists("/node/db-00000001"), false);
    }
  }
  EXPECT_GT(operations, 10);
}

}  // namespace
}  // namespace quorate::storage
