// The real log, watched: tells the invariants what was written, and when it becomes durable.
#pragma once

#include <functional>
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
  // `flushed`: how far the state machine that goes with it is on the disk.
  TrackedLog(std::unique_ptr<storage::Log> log, raft::NodeId node, VirtualDisk& disk,
             Invariants& invariants, std::function<raft::Index()> flushed)
      : log_(std::move(log)),
        node_(node),
        disk_(disk),
        invariants_(invariants),
        flushed_(std::move(flushed)) {}

  storage::Status Append(std::span<const raft::AppendBatch> batches) override {
    const bool unsynced_before = disk_.HasUnsyncedWrites(".log");
    invariants_.record(node_).Covered(flushed_());
    invariants_.record(node_).BeginAppend();
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
    if (!unsynced_before && disk_.HasUnsyncedWrites(".log")) {
      Violate("append-syncs-what-it-writes",
              "node " + std::to_string(node_) + " reports an append as durable without a sync");
    }
    for (const raft::AppendBatch& batch : batches) {
      invariants_.OnAppend(node_, batch);
      invariants_.record(node_).Issue(disk_.last_sync_begin(), disk_.last_sync_end(), batch);
    }
    return status;
  }
  storage::Status Cut(raft::Position start) override {
    if (start.index > flushed_()) {
      Violate("log-starts-within-flushed-state",
              "node " + std::to_string(node_) + " cuts its log up to " +
                  std::to_string(start.index) + " with its state flushed up to " +
                  std::to_string(flushed_()));
    }
    return log_->Cut(start);
  }
  storage::Result<std::vector<raft::Entry>> Read(raft::Index first, raft::Index last,
                                                 std::size_t max_bytes) override {
    return log_->Read(first, last, max_bytes);
  }
  bool WantsSpare() const override { return log_->WantsSpare(); }
  storage::Status PrepareSpare() override { return log_->PrepareSpare(); }
  raft::Position CutPoint(raft::Index limit) const override { return log_->CutPoint(limit); }
  std::uint64_t BytesAfter(raft::Index index) const override { return log_->BytesAfter(index); }
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
  std::function<raft::Index()> flushed_;
};

}  // namespace quorate::sim
