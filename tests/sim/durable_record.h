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

// The terms of a log that starts behind some position.
struct LogImage {
  raft::Position start;
  std::vector<raft::Term> terms;

  raft::Index last() const { return start.index + terms.size(); }
  // 0 if there is no such entry; of the start too.
  raft::Term TermAt(raft::Index index) const;
};

// Knows each batch that the log accepted and when its sync begins and ends. Until then a crash may
// keep any part of it. Where the log was cut it goes on knowing what was before.
class DurableRecord {
 public:
  // The log is about to be told something: all of what it gave up last, again, comes first.
  void BeginAppend();
  void Issue(SimTime begin, SimTime end, const raft::AppendBatch& batch);
  // The log gave `batch` up half way: a crash may find any part of it, until it is written again or
  // the process ends.
  void IssueUncertain(const raft::AppendBatch& batch);
  void Settle(SimTime now);
  // The process died: syncs that had not begun will never end. So did the machine: nor will those
  // under way.
  void Killed(SimTime now);
  void PowerCut(SimTime now);
  // The state up to `index` is in the database, durably: that is worth as much as the entries.
  void Covered(raft::Index index) { covered_ = std::max(covered_, index); }

  raft::Index covered() const { return covered_; }
  const raft::HardState& hard_state() const { return hard_state_; }
  raft::Term TermAt(raft::Index index) const { return durable_.TermAt(index); }
  // Whether this disk holds the committed entry at `index`, of `term`, or the state after it.
  bool Holds(raft::Index index, raft::Term term) const;
  // Whether a crash at this moment leaves the entry at `index` with `term`, or the state after it:
  // it is durable, and no write under way replaces it, not even by itself.
  bool Certain(raft::Index index, raft::Term term) const;
  // As the log was last told, durable or not.
  raft::Index written_last() const { return written_.last(); }
  raft::Term WrittenTermAt(raft::Index index) const { return written_.TermAt(index); }

  // Why recovering `found` after a crash breaks a promise; nothing if it does not.
  std::optional<std::string> Contradiction(const storage::LogRecovery& found) const;
  // Whether all that `found` lacks was in the last sync: damage there looks like a torn write (D4),
  // since nothing that says that it ended was on the disk. One sync covers many batches, so what
  // is left may end at any of them, with the term and vote that were in force there.
  bool LacksLastSyncOnly(const storage::LogRecovery& found) const;
  // Everything `found` is durable: a restarted log has rewritten it. The state machine is at
  // `applied`.
  void Restart(const storage::LogRecovery& found, raft::Index applied);

 private:
  struct Pending {
    SimTime begin;
    SimTime end;
    std::optional<raft::Position> reset;
    std::optional<raft::HardState> hard_state;
    raft::Index first = 0;  // of terms; 0: no entries
    std::vector<raft::Term> terms;
  };
  static Pending Describe(SimTime begin, SimTime end, const raft::AppendBatch& batch);
  static void Overwrite(LogImage& log, const Pending& batch);
  // The last index that `batch` leaves alone, if it is below `index`.
  static raft::Index Spared(const Pending& batch, raft::Index index);
  // What is left where records of the last sync end too early.
  struct Cut {
    raft::HardState hard_state;
    raft::Index last = 0;  // of the entries, at least
  };
  void NoteSync(const Pending& batch);
  void AddCuts(const Pending& batch, const raft::HardState& before, raft::Index last);

  raft::HardState hard_state_;
  LogImage durable_;
  LogImage written_;
  LogImage written_before_;  // what was given up
  raft::Index covered_ = 0;
  std::vector<Pending> pending_;
  std::vector<Pending> uncertain_;
  SimTime last_sync_end_{-1};
  std::vector<Cut> cuts_;  // of the last sync that ended
};

}  // namespace quorate::sim
