// Reads on their way through one node: judged by the algebra (freshness.h), and kept while they
// wait for an entry to be applied or for the leader to confirm. No sockets and no state: who asks
// reads the state once a read is granted.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "raft/raft.h"
#include "src/freshness.h"

namespace quorate::server {

enum class Decision : std::uint8_t {
  kServedLocally,
  kWaitedForApply,
  kConfirmed,    // through the leader
  kServedUnmet,  // serve_anyway
  kRefused,
};
inline constexpr std::size_t kDecisions = 5;

// One read, from being taken up to its decision.
struct Read {
  std::uint64_t ticket = 0;  // the caller's; comes back exactly once from Wait()
  ReadNeed need;
  raft::Time deadline = raft::Time::max();

  // Filled in here.
  Decision decision = Decision::kServedLocally;
  Refusal refusal;       // kRefused
  raft::Time judged{0};  // own clock; the state is read after this moment
  std::optional<Confirmation> confirmation;
  std::optional<raft::Freshness> anchor;  // that it rests on
  std::uint64_t clock = 0;                // that `judged` and `anchor` were read from
  raft::Duration waited_apply{0};
  raft::Duration waited_confirm{0};
  ReadVerdict next;  // while it waits
  raft::Time waiting_since{0};

  bool refused() const { return decision == Decision::kRefused; }
  const Confirmation* confirmed() const { return confirmation ? &*confirmation : nullptr; }
};

// The largest age of a node's own state within the last ten seconds: just before an anchor comes
// into use the state is oldest.
class AgeWindow {
 public:
  void Note(raft::Time now, raft::Duration age);
  raft::Duration Largest(raft::Time now) const;

 private:
  struct Second {
    std::int64_t number = -1;
    raft::Duration largest{0};
  };
  std::array<Second, 10> seconds_;
};

// For the loop's thread.
class ReadPath {
 public:
  using Grant = std::function<void(const Read&)>;
  // `core` must outlive it. `last_at_start`: of the log. `grant` is called once for each read that
  // waited, with its decision, and must not call back.
  ReadPath(raft::Raft& core, raft::Index last_at_start, Grant grant);

  // Decides what can be decided at once: true, and read.decision says how. False: give it a ticket,
  // and Wait(). `applied` is of the state as it can be read now; `now` the own clock, read after
  // the request was dequeued.
  bool Decide(Read& read, raft::Index applied, raft::Time now) {
    NoteClock(now);
    return Judge(read, applied, now);
  }
  void Wait(Read read, raft::Time now);
  // The state was read later, on another thread, and turned out to be that at `index`; the clock
  // was read there, before. Judges again: a bound may have been passed meanwhile. False: Wait().
  bool DecideAgain(Read& read, raft::Index index, raft::Time read_at);
  // Of a state at `index`, for a read that was granted.
  Proof ProofOf(const Read& read, raft::Index index, raft::Time read_at) const;

  // --- The replica's
  void NoteClock(raft::Time now) {  // first of all in each pass
    if (now < last_now_) OnClockJump();
    last_now_ = now;
  }
  void NoteFreshness(raft::Index applied, raft::Time now);
  void RequestConfirmation(raft::Time now);
  void OnConfirmed(const raft::ReadResult& result, raft::Index applied, raft::Time now);
  void OnApplied(raft::Index applied, raft::Time now);
  raft::Time NextDeadline() const { return next_expiry_; }
  void Expire(raft::Index applied, raft::Time now);

  // --- What it knows
  // How long before `now` a state at `applied` is complete. Nothing: no such bound is known.
  std::optional<raft::Duration> AgeAt(raft::Index applied, raft::Time now) const;
  // The smallest bound that could have been served locally at any moment of the last ten seconds,
  // or since the first one could.
  std::optional<raft::Duration> LocalBound(raft::Index applied, raft::Time now) const;
  // What a confirmation took lately; 0: there has been none.
  raft::Duration typical_confirm() const { return typical_confirm_; }
  // Eventual reads are served (D6.1).
  bool CaughtUp(raft::Index applied) const;
  const Anchors& anchors() const { return anchors_; }

 private:
  struct Batch {
    std::vector<Read> reads;
    raft::Time asked{0};
  };

  bool Judge(Read& read, raft::Index applied, raft::Time now);
  void OnClockJump();
  Knowledge Know(const ReadNeed& need, raft::Index applied) const;
  std::optional<Knowledge::Divergence> Divergence(const ReadNeed& need) const;
  void Decided(Read& read, const ReadVerdict& verdict, raft::Index applied, raft::Time now);
  void JudgeWaiting(Read read, raft::Index applied, raft::Time now);
  void Queue(Read read, raft::Time now);
  void ExpireAll(std::vector<Read>& reads, raft::Index applied, raft::Time now);
  void RefuseLate(Read& read, raft::Index applied, raft::Time now);

  raft::Raft& core_;
  const raft::Index last_at_start_;
  const Grant grant_;

  Anchors anchors_;
  mutable bool caught_up_ = false;
  bool clock_jumped_ = false;  // and no anchor has come since
  std::uint64_t clock_ = 0;    // how often it has jumped
  raft::Time last_now_{0};
  AgeWindow ages_;
  raft::Duration typical_confirm_{0};

  std::vector<Read> queued_;              // for the leader, since the last pass
  std::map<std::uint64_t, Batch> asked_;  // by the id given to the core
  std::uint64_t next_batch_ = 1;
  std::multimap<raft::Index, Read> for_apply_;
  raft::Time next_expiry_ = raft::Time::max();
  raft::Time last_expiry_{0};
};

}  // namespace quorate::server
