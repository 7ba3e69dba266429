// Virtual clients that write exactly once: many commands in flight, each sent again and again, to
// any node, until it is answered.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "client/proto/wire.pb.h"
#include "tests/sim/clients.h"
#include "tests/sim/session_audit.h"

namespace quorate::sim {

// Keys of a session's own, which nobody else writes.
inline constexpr std::string_view kSessionPrefix = "S";
inline constexpr std::string_view kAttachedPrefix = "Sattached ";
std::string LogKey(std::uint64_t session);    // the seqs that were appended, in order
std::string CountKey(std::uint64_t session);  // how many increments there were

class SessionClient {
 public:
  SessionClient(const Environment& environment, const Nodes& nodes, const ClientPlan& plan,
                SessionAudit& audit, Random random)
      : env_(environment), nodes_(nodes), plan_(plan), audit_(audit), random_(random) {}

  void Start() { NextAfter(plan_.think_mean); }
  // Speaks no more: its sessions end by themselves.
  void Stop();

 private:
  void NextAfter(SimTime mean);
  void Next();
  void OpenSession();
  void Write();
  void Tell(wire::Command command);
  wire::Command ChooseCommand(std::uint64_t seq);
  void Send(std::uint64_t session, std::uint64_t seq, const Request& request);
  void SendUntilAnswered(std::uint64_t session, std::uint64_t seq);
  void OnReply(std::uint64_t session, std::uint64_t seq, SimTime sent, const Reply& reply);
  void OnOpened(const storage::Applied& applied);
  raft::NodeId ChooseNode();
  SimTime LinkDelay() { return SimTime{random_.Between(20, 500)}; }
  bool LinkLoses() { return random_.Chance(plan_.loss + 0.05); }

  const Environment& env_;
  const Nodes& nodes_;
  const ClientPlan& plan_;
  SessionAudit& audit_;
  Random random_;

  bool stopped_ = false;
  bool opening_ = false;
  std::uint64_t session_ = 0;  // 0: none
  std::uint64_t next_seq_ = 1;
  // By seq: on its way, or answered with nobody there to hear it, and sent again until then.
  std::map<std::uint64_t, Request> open_;
  raft::NodeId hint_ = raft::kNoNode;
};

// Of a client that retries nothing that may have been executed (clients.h)?
bool IsPlainWrite(const Bytes& command);

}  // namespace quorate::sim
