// What a node's disk must hold after any crash, kept apart from the log's own bookkeeping.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "raft/raft.h"
#include "storage/log.h"
#include "tests/sim/random.h"

namespace quorate::sim {

// Knows each batch that the log accepted and when its sync begins and ends. Until then a crash may
// keep any part of it.
class DurableRecord {
 public:
  void Issue(SimTime begin, SimTime end, const raft::AppendBatch& batch);
  // The log gave `batch` up half way: a crash may find any part of it, until it is written again or
  // the process ends.
  void IssueUncertain(const raft::AppendBatch& batch);
  void Settle(SimTime now);
  // The process died: syncs that had not begun will never end. So did the machine: nor will those
  // under way.
  void Killed(SimTime now);
  void PowerCut(SimTime now);

  const raft::HardState& hard_state() const { return hard_state_; }
  raft::Index last() const { return terms_.size(); }
  // 0 if there is no such entry.
  raft::Term TermAt(raft::Index index) const;
  // Whether a crash at this moment leaves the entry at `index` with `term`: it is durable, and no
  // write under way replaces it, not even by itself.
  bool Certain(raft::Index index, raft::Term term) const;
  // As the log was last told, durable or not.
  raft::Index written_last() const { return written_.size(); }
  raft::Term WrittenTermAt(raft::Index index) const;

  // Why recovering `found` after a crash breaks a promise; nothing if it does not.
  std::optional<std::string> Contradiction(const storage::LogRecovery& found) const;
  // Everything `found` is durable: a restarted log has rewritten it.
  void Restart(const storage::LogRecovery& found);
  void Wipe() { *this = DurableRecord(); }

 private:
  struct Pending {
    SimTime begin;
    SimTime end;
    std::optional<raft::HardState> hard_state;
    raft::Index first = 0;  // of terms; 0: no entries
    std::vector<raft::Term> terms;
  };
  static Pending Describe(SimTime begin, SimTime end, const raft::AppendBatch& batch);
  static void Overwrite(std::vector<raft::Term>& log, const Pending& batch);

  raft::HardState hard_state_;
  std::vector<raft::Term> terms_;
  std::vector<raft::Term> written_;
  std::vector<Pending> pending_;
  std::vector<Pending> uncertain_;
};

}  // namespace quorate::sim
