// What the tests of commands share: a state machine on RocksDB, fed with one command after the
// other.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "storage/state_machine.h"
#include "tests/unit/storage_test_util.h"

namespace quorate::storage {

inline wire::Command PutCommand(const std::string& key, const std::string& value) {
  wire::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value(value);
  return command;
}

inline wire::Command IncrementCommand(const std::string& key, std::int64_t by) {
  wire::Command command;
  command.mutable_increment()->set_key(key);
  command.mutable_increment()->set_by(by);
  return command;
}

inline wire::Command AppendCommand(const std::string& key, const std::string& value) {
  wire::Command command;
  command.mutable_append()->set_key(key);
  command.mutable_append()->set_value(value);
  return command;
}

inline wire::Command DeleteCommand(const std::string& key) {
  wire::Command command;
  command.mutable_delete_()->set_key(key);
  return command;
}

inline wire::Command OpenCommand(std::uint64_t ttl_us) {
  wire::Command command;
  command.mutable_open_session()->set_ttl_us(ttl_us);
  return command;
}

inline wire::WriteResult ResultOf(const Applied& applied) {
  wire::WriteResult result;
  EXPECT_TRUE(result.ParseFromString(applied.result));
  return result;
}

class CommandTest : public testing::Test {
 protected:
  void SetUp() override { Open(); }
  void Open(const std::string& name = "db") {
    db_.reset();
    auto db = OpenDatabase(root_ / name, {});
    ASSERT_TRUE(db) << db.error().message;
    db_ = std::move(*db);
  }
  void Restart() {
    ASSERT_TRUE(db_->Flush());
    Open();
  }
  // Together, as one batch.
  std::vector<Applied> ApplyAll(const std::vector<wire::Command>& commands) {
    std::vector<raft::Entry> entries;
    raft::Index index = db_->applied().index;
    for (const wire::Command& command : commands) {
      entries.push_back(
          {3, ++index, raft::EntryKind::kCommand, Bytes::Copy(command.SerializeAsString())});
    }
    auto applied = db_->Apply(entries);
    EXPECT_TRUE(applied) << applied.error().message;
    return applied ? *applied : std::vector<Applied>(commands.size());
  }
  Applied Apply(const wire::Command& command) { return ApplyAll({command}).front(); }
  Outcome OutcomeOf(const wire::Command& command) { return Apply(command).outcome; }
  std::string Value(const std::string& key) { return ValueOf(*db_, key); }

  TemporaryDirectory root_{"commands"};
  std::unique_ptr<StateMachine> db_;
};

}  // namespace quorate::storage
