// What the tests of databases and snapshots share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "client/proto/wire.pb.h"
#include "raft/configuration.h"
#include "raft/entry.h"
#include "storage/state_machine.h"

namespace quorate::storage {

inline raft::Entry PutEntry(raft::Index index, const std::string& key, const std::string& value,
                            raft::Term term = 1) {
  wire::Command command;
  command.mutable_put()->set_key(key);
  command.mutable_put()->set_value(value);
  return {term, index, raft::EntryKind::kCommand, Bytes::Copy(command.SerializeAsString())};
}

inline raft::Entry ConfigurationEntry(raft::Index index, const raft::Configuration& configuration) {
  return {1, index, raft::EntryKind::kConfiguration, Bytes::Copy(configuration.Encode())};
}

// Entries first to last; entry i sets the key "k" and a key of its own to i.
inline void ApplyNumbers(StateMachine& state, raft::Index first, raft::Index last) {
  for (raft::Index i = first; i <= last; i += 2) {
    const std::string number = std::to_string(i);
    const std::vector<raft::Entry> entries = {PutEntry(i, "k", number),
                                              PutEntry(i + 1, "key " + number, number)};
    const auto applied = state.Apply(entries);
    ASSERT_TRUE(applied) << applied.error().message;
  }
}

inline std::string ValueOf(const StateMachine& state, const std::string& key) {
  const auto got = state.Get(key, StateMachine::Cost::kMayReadDisk);
  EXPECT_TRUE(got && *got);
  return got && *got && (*got)->record ? (*got)->record->value : "(none)";
}

// Empty at first, and gone in the end.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& name)
      : path_(testing::TempDir() + "/quorate_" + name + "_" + std::to_string(::getpid())) {
    Clear();
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  void Clear() const {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace quorate::storage
