// The leader's part in sessions (D7): the cluster clock, and who is to end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "raft/bytes.h"
#include "raft/controls.h"
#include "raft/types.h"
#include "storage/state_machine.h"

namespace quorate::server {

// The cluster clock is the largest stamp in the log. While a leader leads, it goes on from there by
// the leader's own CLOCK_BOOTTIME, less what that may be fast by; between leaders it stands still.
// So between two stamps it never counts more time than has passed, whoever made them: a session
// never ends early. Each change of leader makes it late by the time without one, and by what had
// passed since the last stamp (at most kStampEvery while sessions are open).
//
// For the loop's thread. Whether this node leads, and in which term, is asked of the core each
// time, and passed in: 0 means that it does not lead.
class SessionKeeper {
 public:
  // How often it looks who is due, and the clock is put on record while nobody else does.
  static constexpr raft::Duration kLookEvery{250'000};
  static constexpr raft::Duration kStampEvery{1'000'000};
  // In one command, which is to stay small.
  static constexpr std::size_t kMaxNamed = 1'000;

  explicit SessionKeeper(raft::Control control = raft::Control::kNone) : control_(control) {}

  // The leader of `term` has applied an entry of that term, so all stamps of earlier leaders: the
  // state's clock is `clock_us`. Only the first call of a term counts.
  void Lead(raft::Term term, std::uint64_t clock_us, raft::Time now);
  // 0: not known yet, and nothing is to be stamped.
  std::uint64_t Stamp(raft::Term term, raft::Time now) const;

  raft::Time NextLook() const { return next_look_; }
  // A look is due: whether to ask the state machine who is due. Put the answer into Propose().
  bool Look(raft::Term term, const storage::SessionStats& stats, raft::Time now);
  // The command to propose, if any; Proposed() must hear what became of it.
  std::optional<Bytes> Propose(raft::Term term, const std::vector<std::uint64_t>& due,
                               const storage::SessionStats& stats, raft::Time now);
  void Proposed(bool executed, const storage::SessionStats& stats, raft::Time now);

 private:
  const raft::Control control_;
  raft::Term term_ = 0;
  std::uint64_t base_us_ = 0;
  raft::Time base_at_{0};
  raft::Time next_look_ = raft::Time::max();  // until it leads
  bool busy_ = false;                         // asking, or proposing: one at a time
  bool more_ = false;                         // who was due did not fit into one command
};

// The field stamp_us of wire::Command as it is put behind an encoded command: a field may stand
// anywhere in a message. Empty for 0.
std::string EncodeStamp(std::uint64_t stamp_us);

}  // namespace quorate::server
