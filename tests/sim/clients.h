// Virtual clients: one operation at a time each, through a lossy link of their own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/history.h"
#include "tests/sim/node.h"

namespace quorate::sim {

using Nodes = std::vector<std::unique_ptr<Node>>;  // by id; the first is null

// What all clients of a run share.
struct Workload {
  ClientPlan plan;
  std::uint64_t next_operation = 1;
  std::vector<Operation> history;  // of operations that have ended
};

// Writes are retried only when certainly not executed, and follow leader hints; reads are retried
// freely.
class Client {
 public:
  Client(const Environment& environment, const Nodes& nodes, Workload& workload, int id,
         Random random)
      : env_(environment), nodes_(nodes), workload_(workload), id_(id), random_(random) {}

  // Works until Stop(), which lets the present operation end.
  void Start();
  void Stop() { stopped_ = true; }
  bool idle() const { return !busy_; }

  // Runs one operation that starts at node `first`, and stays there if it is a read. Ends within
  // `deadline`; then last() has the outcome.
  void RunOnce(OperationKind kind, raft::NodeId first, SimTime deadline,
               const server::ReadNeed& need);
  // What it has seen: its session's token.
  raft::Position token() const { return token_; }
  const Operation& last() const { return operation_; }

 private:
  void Next();
  void Begin(OperationKind kind, SimTime deadline, const server::ReadNeed& need);
  void Attempt();
  void Arrive(raft::NodeId target, std::uint64_t attempt);
  void OnReply(std::uint64_t attempt, const Reply& reply);
  void OnDeadline();
  void Finish(Result result);
  void NoteRead(const storage::ReadOutcome& read);
  OperationKind ChooseKind();
  server::ReadNeed ChooseNeed(OperationKind kind);
  void SetToken(server::ReadNeed& need);
  raft::NodeId ChooseNode();
  SimTime LinkDelay() { return SimTime{random_.Between(20, 500)}; }
  bool LinkLoses() { return random_.Chance(workload_.plan.loss); }

  const Environment& env_;
  const Nodes& nodes_;
  Workload& workload_;
  const int id_;
  Random random_;

  bool stopped_ = false;
  bool busy_ = false;
  Operation operation_;
  Request request_;
  SimTime give_up_{0};
  raft::Position token_;
  std::uint64_t attempt_ = 0;  // ascending over all operations; answers to earlier ones are ignored
  bool outstanding_ = false;   // the attempt may still have an effect
  raft::NodeId hint_ = raft::kNoNode;
  raft::NodeId pinned_ = raft::kNoNode;
  std::map<std::string, Observed> seen_;  // for compare-and-set
};

// Encodes a write, with the operation's id in a field that the state machine does not know:
// identical deletes stay distinguishable in the log.
Bytes EncodeCommand(const Operation& operation);
std::uint64_t OperationOf(const Bytes& command);

}  // namespace quorate::sim
