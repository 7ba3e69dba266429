// The command language of golden traces. README.md lists the commands.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cluster.h"

namespace quorate::golden {

// An assertion of a script that does not hold: a failure even where the output is rewritten.
struct FailedAssertion {
  std::string what;
};

class Interpreter {
 public:
  // Runs one line and returns what it printed. Throws std::invalid_argument (the line makes no
  // sense), FailedAssertion, BrokenInvariant.
  std::string Run(const std::string& line);

 private:
  using Words = std::vector<std::string>;
  using Command = void (Interpreter::*)(const Words&);
  static const std::map<std::string, Command>& Commands();

  void Execute(Words words);

  // The set-up.
  void MakeCluster(const Words& words);
  void SetOption(const Words& words);
  void SetDisk(const Words& words);
  void Start(const Words& words);
  // Time.
  void Tick(const Words& words);
  void Timeout(const Words& words);
  void Elapse(const Words& words);
  void Elect(const Words& words);
  void Settle(const Words& words);
  void RunFor(const Words& words);
  void Latency(const Words& words);
  void SyncTime(const Words& words);
  // The network.
  void Deliver(const Words& words);
  void Drop(const Words& words);
  void Save(const Words& words);
  void Replay(const Words& words);
  void Cut(const Words& words);
  void Heal(const Words& words);
  void Hold(const Words& words);
  void Release(const Words& words);
  void Unreachable(const Words& words);
  // Nodes and disks.
  void Durable(const Words& words);
  void Fetched(const Words& words);
  void Crash(const Words& words);
  void Restart(const Words& words);
  void Wipe(const Words& words);
  void Trim(const Words& words);
  void Keep(const Words& words);
  void Forget(const Words& words);
  void CutLog(const Words& words);
  void Offer(const Words& words);
  void Install(const Words& words);
  void PreferSnapshot(const Words& words);
  void Full(const Words& words);
  // Clients.
  void Propose(const Words& words);
  void Bulk(const Words& words);
  void Read(const Words& words);
  void Reads(const Words& words);
  void Transfer(const Words& words);
  // What a reader wants to know.
  void Status(const Words& words);
  void Progress(const Words& words);
  void Log(const Words& words);
  void Configuration(const Words& words);
  void Queued(const Words& words);
  void Assert(const Words& words);
  void AssertElections(const Words& words);

  std::vector<raft::NodeId> NodesOrAll(const Words& words) const;
  std::vector<Link> LinksOf(const Words& words) const;
  void ProposeAll(raft::NodeId id, const std::vector<Bytes>& commands);
  void Line(const std::string& line) { extra_ += line + "\n"; }
  void Flush() { extra_ += cluster_.TakeOutput(); }

  Cluster cluster_;
  std::string extra_;
};

}  // namespace quorate::golden
