// The algebra of reads (D6.1, D6.3): what a read asks for, what a node knows, and what follows from
// the two. Pure: no clock, no state machine, no messages; the server and the simulator judge by it
// alike.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "raft/controls.h"
#include "raft/raft.h"
#include "raft/types.h"

namespace quorate::server {

enum class OnUnmet : std::uint8_t { kWait, kRefuse, kServeAnyway };

// How fresh an answer must be: one form for every level. They combine.
//   strong     max_age 0
//   bounded    max_age D, max_lag K: all but K entries of what was committed D ago
//   session    min_index, from the token
//   eventual   nothing set
struct ReadNeed {
  std::optional<raft::Duration> max_age{};  // nothing: any age
  raft::Index max_lag = 0;                  // only with max_age above 0
  raft::Index min_index = 0;
  raft::Term min_term = 0;        // of the entry at min_index; 0: not known, not checked
  std::uint64_t incarnation = 0;  // of the history that min_index counts in; 0: likewise
  OnUnmet on_unmet = OnUnmet::kWait;

  bool strong() const { return max_age && max_age->count() == 0; }
};

// Facts that never expire, each: everything committed anywhere by this node's own time `at` has an
// index <= `index`. Kept are the newest one that is applied, which the bound rests on, and newer
// ones.
class Anchors {
 public:
  explicit Anchors(raft::Control control) : control_(control) {}

  void Note(const raft::Freshness& fresh);
  // Forgets what newer ones have made useless, now that `applied` is.
  void Trim(raft::Index applied);
  void Clear() { anchors_.clear(); }

  bool empty() const { return anchors_.empty(); }
  const raft::Freshness& newest() const { return anchors_.back(); }
  // The newest that says something of a state at `index`: all but `max_lag` entries of what was
  // committed by then are in it. Null: none.
  const raft::Freshness* Proving(raft::Index index, raft::Index max_lag) const;
  // Before Trim(applied) the one that the bound of a state at `applied` rested on so far.
  const raft::Freshness* oldest() const { return anchors_.empty() ? nullptr : &anchors_.front(); }

 private:
  const raft::Control control_;
  std::deque<raft::Freshness> anchors_;  // ascending in `at`
};

// What was committed by `at` was committed at least this long before `now`, in true time: the own
// clock may run slow by rho (D3), and ages round up. Not below 0.
raft::Duration AgeOf(raft::Time at, raft::Time now);

// The largest index that all but `lag` entries up to `index` lie behind; not below 0.
constexpr raft::Index Minus(raft::Index index, raft::Index lag) {
  return index > lag ? index - lag : 0;
}

// What the leader answered to a read that asked it, or why it did not.
struct Confirmation {
  raft::ReadFailure failure = raft::ReadFailure::kNone;
  raft::Index index = 0;    // everything committed before the read was taken up is <= this
  bool via_leader = false;  // another node confirmed it
};

// What a node knows at the moment of a judgement.
struct Knowledge {
  const Anchors& anchors;
  raft::Index applied = 0;
  raft::Index commit = 0;
  // Since its start it holds at least what it may have served before (D6.1).
  bool caught_up = true;
  // What it may have served before has at most this index; nothing: it cannot tell.
  std::optional<raft::Index> own_past{};
  bool clock_jumped = false;  // it went back, and no anchor has come since: there are none
  // The token is of another history, with the numbers that say so.
  struct Divergence {
    std::uint64_t have = 0;
    std::uint64_t want = 0;
  };
  std::optional<Divergence> diverged{};
};

enum class Refused : std::uint8_t {
  kNo,
  kStale,
  kNotCaughtUp,
  kFutureToken,
  kDiverged,
  kClockJump,
  kDeadline,
  // What a confirmation through the leader can come to.
  kNoLeader,
  kNoQuorum,
  kLeaderChanged,
  kOverloaded,
};
Refused ToRefused(raft::ReadFailure failure);

// The numbers are those of wire::Error, as each code says.
struct Refusal {
  Refused code = Refused::kNo;
  Refused because = Refused::kNo;  // why the confirmation did not help
  std::uint64_t have = 0;
  std::uint64_t want = 0;
  std::optional<raft::Duration> age{};  // the best provable; nothing: none is
};

struct ReadVerdict {
  enum class Step : std::uint8_t { kServe, kWaitForApply, kConfirm, kRefuse };
  Step step = Step::kServe;
  bool met = true;           // kServe: false if it is served although the need is not met
  raft::Index wait_for = 0;  // kWaitForApply
  Refusal refusal{};         // kRefuse
};

// What to do about a read now. `now` is the own clock, read after the request was dequeued and
// before the state is. `confirmed`: what the leader said; null: it has not been asked. `waited`: it
// has waited for apply before, and now asks the leader rather than wait again: with applying always
// a little behind, the next anchor would be too old as well by the time it is applied.
ReadVerdict JudgeRead(const ReadNeed& need, const Knowledge& known, const Confirmation* confirmed,
                      bool waited, raft::Time now);

// How fresh a state is, and how that is known.
struct Proof {
  enum class Basis : std::uint8_t { kNone, kReadIndex, kAnchor };
  Basis basis = Basis::kNone;
  raft::Duration age{0};  // but for kNone: nothing committed earlier than this ago is missing
  raft::Index lag = 0;    // except for so many entries
  raft::Index fresh_index = 0;
  bool via_leader = false;
};

// Of a state at `index`. `held`: an anchor that the read was judged by, which may have been trimmed
// since; may be null.
Proof Prove(const ReadNeed& need, const Anchors& anchors, const Confirmation* confirmed,
            const raft::Freshness* held, raft::Index index, raft::Time now);

}  // namespace quorate::server
