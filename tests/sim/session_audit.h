// What sessions promise, checked against the committed log: a model of its own, for sharing the
// executor's would share its mistakes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "client/proto/wire.pb.h"
#include "storage/state_machine.h"
#include "tests/sim/invariants.h"
#include "tests/sim/model_state.h"

namespace quorate::sim {

class SessionAudit {
 public:
  // A client was answered: `applied` is of the attempt that it sent at `sent`. seq 0: it opened,
  // kept or closed the session.
  void OnReply(std::uint64_t session, std::uint64_t seq, SimTime sent,
               const storage::Applied& applied);

  // Each command executed once and answered alike; sessions never end early; their attached keys
  // go, and only those. `state` has applied everything committed, and all sessions have ended.
  void Check(const Invariants& log, const ModelState& state);

  std::uint64_t replies() const { return replies_.size(); }
  std::uint64_t repeated() const { return repeated_; }
  std::uint64_t expired() const { return expired_; }

 private:
  struct Reply {
    std::uint64_t session = 0;
    std::uint64_t seq = 0;
    storage::Applied applied;
  };
  struct Session {
    bool alive = false;
    std::uint64_t ttl_us = 0;
    std::uint64_t deadline_us = 0;
    std::uint64_t acked_below = 0;
    std::map<std::uint64_t, raft::Index> executed;  // by seq
    std::string appended;
    std::uint64_t count = 0;
  };
  struct Verdict {
    bool executed = false;
    raft::Index of = 0;  // the entry whose answer it has; 0: refused
  };

  void Step(const Invariants& log, raft::Index index, const wire::Command& command);
  void StepWrite(raft::Index index, const wire::Command& command);
  void Execute(std::uint64_t id, Session& session, const wire::Command& command);
  void End(std::uint64_t id);
  void CheckNotEarly(const Invariants& log, std::uint64_t id, raft::Index end) const;
  void CheckReply(const Reply& reply) const;
  void CheckState(const ModelState& state) const;

  std::vector<Reply> replies_;
  // Of each session: the entry that kept it, and when its command was sent.
  std::map<std::uint64_t, std::vector<std::pair<raft::Index, SimTime>>> kept_;
  std::uint64_t repeated_ = 0;
  std::uint64_t expired_ = 0;
  // The model.
  std::uint64_t clock_us_ = 0;
  std::map<std::uint64_t, Session> sessions_;      // ended ones as well
  std::map<std::string, std::uint64_t> attached_;  // owner by key; 0: a plain key
  std::map<raft::Index, Verdict> verdicts_;        // of commands of sessions
};

}  // namespace quorate::sim
