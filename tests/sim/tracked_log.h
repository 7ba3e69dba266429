// The real log, watched: tells the invariants what was written, and when it becomes durable.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "storage/log.h"
#include "tests/sim/crash_points.h"
#include "tests/sim/invariants.h"
#include "tests/sim/virtual_disk.h"

namespace quorate::sim {

class TrackedLog : public storage::Log {
 public:
  TrackedLog(std::unique_ptr<storage::Log> log, raft::NodeId node, VirtualDisk& disk,
             Invariants& invariants)
      : log_(std::move(log)), node_(node), disk_(disk), invariants_(invariants) {}

  storage::Status Append(std::span<const raft::AppendBatch> batches) override {
    storage::Status status;
    try {
      status = log_->Append(batches);
    } catch (const Crash&) {
      GiveUp(batches);
      throw;
    }
    if (!status) {
      GiveUp(batches);
      return status;
    }
    if (disk_.HasUnsyncedWrites(".log")) {
      Violate("append-syncs-what-it-writes",
              "node " + std::to_string(node_) + " reports an append as durable without a sync");
    }
    for (const raft::AppendBatch& batch : batches) {
      invariants_.OnAppend(node_, batch);
      invariants_.record(node_).Issue(disk_.last_sync_begin(), disk_.last_sync_end(), batch);
    }
    return status;
  }
  storage::Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                                 std::size_t max_bytes) override {
    return log_->Read(first, last, max_bytes);
  }
  bool WantsSpare() const override { return log_->WantsSpare(); }
  storage::Status PrepareSpare() override { return log_->PrepareSpare(); }
  storage::Status Close() override { return log_->Close(); }
  storage::LogStats stats() const override { return log_->stats(); }

 private:
  // Any part of them may be on the disk.
  void GiveUp(std::span<const raft::AppendBatch> batches) {
    for (const raft::AppendBatch& batch : batches) {
      invariants_.OnAppend(node_, batch);
      invariants_.record(node_).IssueUncertain(batch);
    }
  }

  std::unique_ptr<storage::Log> log_;
  raft::NodeId node_;
  VirtualDisk& disk_;
  Invariants& invariants_;
};

}  // namespace quorate::sim
