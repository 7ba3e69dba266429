// A state machine that is a position, a configuration and the files of its checkpoints.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "storage/file_system.h"
#include "storage/state_machine.h"

namespace quorate::storage {

class FakeStateMachine final : public StateMachine {
 public:
  FakeStateMachine(FileSystem& files, raft::SnapshotMark mark,
                   std::map<std::string, std::string> contents = {})
      : files_(files), mark_(std::move(mark)), contents_(std::move(contents)) {}

  Result<std::vector<Applied>> Apply(std::span<const raft::Entry> /*entries*/) override {
    return Fail(ErrorCode::kInvalid, "nothing can be applied to this one");
  }
  raft::Position applied() const override { return mark_.position; }
  raft::Position flushed() const override { return mark_.position; }
  Result<std::optional<ReadOutcome>> Get(std::string_view /*key*/, Cost /*cost*/) const override {
    return Fail(ErrorCode::kInvalid, "there is nothing to read in this one");
  }
  std::unique_ptr<StateView> View() const override { return nullptr; }
  SessionStats sessions() const override { return {}; }
  std::vector<std::uint64_t> DueSessions(std::uint64_t /*clock_us*/,
                                         std::size_t /*max*/) const override {
    return {};
  }
  Status Flush() override { return {}; }
  std::optional<raft::Configuration> configuration() const override {
    if (mark_.configuration == raft::Configuration()) return std::nullopt;
    return mark_.configuration;
  }
  std::uint64_t disk_bytes() const override { return 0; }
  Result<raft::SnapshotMark> Checkpoint(const std::string& directory) override {
    QUORATE_RETURN_IF_ERROR(files_.CreateDirectory(directory));
    for (const auto& [name, bytes] : contents_) {
      const auto file = files_.Open(directory + "/" + name, OpenMode::kCreate);
      if (!file) return Forward(file);
      QUORATE_RETURN_IF_ERROR((*file)->Write(0, bytes));
    }
    return mark_;
  }

 private:
  FileSystem& files_;
  raft::SnapshotMark mark_;
  std::map<std::string, std::string> contents_;
};

}  // namespace quorate::storage
