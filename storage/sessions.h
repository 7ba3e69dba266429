// Who writes exactly once: sessions, the answers that they may ask for again, and the cluster clock
// that they end by (D7).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "client/proto/wire.pb.h"
#include "raft/controls.h"
#include "storage/key_space.h"

namespace quorate::storage {

// These decide what commands do, and every node must decide alike: fixed for ever. kMaxSessions and
// kMaxSessionPending of the wire contract belong to them.
inline constexpr std::size_t kMaxSessionAnswerBytes = 4 << 20;  // kept for one session
inline constexpr std::size_t kMaxAllAnswerBytes = 256 << 20;    // kept for all
inline constexpr std::size_t kMaxEndedKeys = 1'000;  // deleted by one command that ends sessions

// The answer to a command that was executed, until the client has it.
struct SessionAnswer {
  raft::Position executed;
  Outcome outcome = Outcome::kDone;
  bool found = false;
  std::uint64_t have = 0;
  std::string result;
};

struct Session {
  std::uint64_t ttl_us = 0;
  std::uint64_t deadline_us = 0;  // on the cluster clock
  std::uint64_t acked_below = 0;
  std::uint64_t last_seq = 0;  // the largest executed
  bool ended = false;          // it takes nothing any more; some of its keys may be left
  std::map<std::uint64_t, SessionAnswer> answers;  // by seq, from acked_below on
  std::size_t answer_bytes = 0;
};

// In memory as a whole, so that a write of a session reads nothing from the disk. Changes go to
// rows of the key space, in the batch that holds what else the commands did; a session's row once
// in a batch, by WriteRows(). A batch that could not be written: Clear(), and load the rows again.
//
//   row                                key space row's value
//   session/attached/ID KEY            nothing: the key was attached to the session, and may be yet
//   session/clock                      u64
//   session/head/ID                    everything but long results
//   session/result/ID SEQ              a long result: written once, not with every batch
//
// IDs and SEQs are u64, big-endian. Not thread-safe: the applier's.
class Sessions {
 public:
  explicit Sessions(raft::Control control = raft::Control::kNone) : control_(control) {}

  // Of rows to load, in order of their names: [RowsBegin(), RowsEnd()). All rows of sessions, those
  // of attached keys included: [kAllRows, RowsEnd()).
  static constexpr std::string_view kAllRows = "session/";
  static constexpr std::string_view RowsBegin() { return "session/clock"; }
  static constexpr std::string_view RowsEnd() { return "session0"; }
  void Clear();
  // False: not a row that any version writes.
  bool LoadRow(std::string_view name, std::string_view value);
  void WriteRows(KeySpace& rows);

  SessionStats stats() const { return {open_, table_.size() - open_, clock_us_}; }
  std::vector<std::uint64_t> Due(std::uint64_t clock_us, std::size_t max) const;

  // The clock goes on to `stamp_us`, unless it is there.
  void AdvanceClock(std::uint64_t stamp_us);

  // Whether the command that `ref` names is to be executed. If not, `applied` says why, or has the
  // answer of then. If so, Keep() follows with the answer.
  bool Admit(const wire::SessionRef& ref, KeySpace& rows, Applied& applied);
  void Keep(const wire::SessionRef& ref, KeySpace& rows, const Applied& applied);

  // Open, keep, close and end sessions. kCorrupt and others: of reading the key space.
  Status Execute(const wire::Command& command, KeySpace& keys, Applied& applied);

  // The name of the row that attaches a key.
  static std::string AttachedRow(std::uint64_t id, std::string_view key);
  // Deletes a row, and the key that it attached if that is still the session's: a put by others
  // writes the key's owner and reads nothing, so it leaves the row behind. The record has the last
  // word.
  static Status RemoveRow(std::string_view row, KeySpace& keys);

 private:
  using Table = std::unordered_map<std::uint64_t, Session>;

  Session* FindOpen(std::uint64_t id);
  // It has been heard of, and is written with the batch.
  void Touch(std::uint64_t id, Session& session);
  void Acknowledge(std::uint64_t id, Session& session, std::uint64_t below, KeySpace& rows);
  void Forget(std::uint64_t id, std::uint64_t seq, const SessionAnswer& answer, Session& session,
              KeySpace& rows);
  bool TooManyPending(const Session& session, Applied& applied) const;
  void Open(const wire::OpenSession& command, Applied& applied);
  void Refuse(Applied& applied, Outcome outcome, std::uint64_t have = 0) const;
  // Goes on ending a session; takes what it does from `budget`.
  Status End(std::uint64_t id, KeySpace& keys, std::size_t& budget);

  raft::Control control_;
  Table table_;
  std::uint64_t open_ = 0;
  std::uint64_t clock_us_ = 0;
  std::size_t answer_bytes_ = 0;
  // Since the last WriteRows().
  std::vector<std::uint64_t> touched_;
  bool clock_moved_ = false;
};

}  // namespace quorate::storage
