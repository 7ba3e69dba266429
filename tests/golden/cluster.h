// A few real cores with a manual clock, network, disk and state machine: nothing happens by itself.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "raft/raft.h"

namespace quorate::golden {

// Messages of one lane arrive in order; lanes overtake each other, as in the server.
enum class Lane { kAppend, kControl };

struct Link {
  raft::NodeId from = raft::kNoNode;
  raft::NodeId to = raft::kNoNode;
  Lane lane = Lane::kControl;
  auto operator<=>(const Link&) const = default;  // NOLINT(modernize-use-nullptr): a false alarm
};

struct InFlight {
  raft::Message message;
  raft::Time sent{0};
  std::uint64_t sequence = 0;  // over all links, to settle in the order of sending
};

// What survives a crash, and the batches that do not.
struct Disk {
  struct Write {
    raft::AppendBatch batch;
    raft::Time issued{0};
  };

  void Complete(raft::Time now);                   // the oldest write
  raft::Time Due(raft::Duration sync_time) const;  // when the oldest write is done: one at a time

  raft::HardState hard_state;
  raft::Position start;              // before the first entry
  std::vector<raft::Entry> entries;  // from start.index + 1 on
  std::deque<Write> writes;
  raft::Time idle_since{0};
};

struct Node {
  raft::NodeId id = raft::kNoNode;
  raft::Uuid uuid;
  std::uint64_t boots = 0;
  raft::Configuration base;
  Disk disk;
  std::deque<raft::FetchRequest> fetches;
  raft::Index apply_to = 0;
  std::map<std::uint64_t, raft::SnapshotMark> kept;  // snapshots for others
  std::optional<raft::OfferedSnapshot> offered;      // the last one that the core was told of
  raft::SnapshotMark installed;                      // durably: what the state machine became
  bool hold_disk = false;
  bool hold_apply = false;
  std::unique_ptr<raft::Raft> core;  // nothing while the node is down
};

enum class Verbosity { kAll, kRoles, kNone };

// Thrown when the cores break a rule that no scenario may break.
struct BrokenInvariant {
  std::string what;
};

class Cluster {
 public:
  // Makes node `id` with what its disk holds; it is down until Start().
  Node& Add(raft::NodeId id, raft::Configuration base, Disk disk);
  void Start(raft::NodeId id, raft::Index applied);
  void Crash(raft::NodeId id);
  void Wipe(raft::NodeId id);  // of a node that is down: another directory under the same id

  Node& At(raft::NodeId id);  // throws std::invalid_argument if there is none
  raft::Raft& Core(raft::NodeId id);
  std::map<raft::NodeId, Node>& nodes() { return nodes_; }

  // Takes what the core has ready, prints and carries it out.
  void Pump(raft::NodeId id);
  void Receive(raft::Message message);
  bool DeliverOne(const Link& link);  // false if there is nothing to deliver
  bool CompleteWrite(raft::NodeId id, std::size_t count);
  bool AnswerFetch(raft::NodeId id, bool fails = false);
  void Apply(raft::NodeId id);
  // A snapshot of what node `id` has applied.
  void KeepSnapshot(raft::NodeId id, std::uint64_t snapshot);
  void CutLog(raft::NodeId id, raft::Index index);
  // What was offered last has been fetched, and the state machine has become it.
  void Install(raft::NodeId id);
  void Tick(raft::NodeId id);

  // Delivers, syncs and fetches all that is not held, until nothing is left.
  void Settle();
  // Lets time pass: ticks, messages after `latency`, syncs after `sync_time`.
  void Run(raft::Duration duration);

  // One leader per term, committed entries for ever the same, leaders complete, nothing applied
  // that is not durable.
  void CheckInvariants();

  void Print(raft::NodeId id, const std::string& lines);
  std::string TakeOutput();

  raft::Options options;
  raft::Time now{1'000'000};
  raft::Duration latency{0};
  raft::Duration sync_time{0};
  Verbosity verbosity = Verbosity::kAll;
  std::map<Link, std::deque<InFlight>> network;
  std::set<Link> held;                                  // not delivered by Settle() and Run()
  std::set<std::pair<raft::NodeId, raft::NodeId>> cut;  // what is sent is lost
  std::map<std::string, raft::Message> saved;           // copies, to arrive late
  std::size_t leaders_elected = 0;
  std::map<std::uint64_t, raft::Time> answered;                // confirmed reads, by id
  std::vector<std::pair<std::uint64_t, raft::Index>> answers;  // the same, with their indexes

 private:
  void Queue(raft::Message message);
  const Link* OldestDeliverable(raft::Duration delay) const;
  bool SettleOne(raft::Duration network_delay, raft::Duration disk_delay);
  raft::Time NextEvent() const;
  void NoteLeader(const raft::Raft& core);
  void NoteCommitted(const Node& node);

  std::map<raft::NodeId, Node> nodes_;
  std::map<raft::Term, raft::NodeId> leaders_;
  struct Committed {
    raft::Term entry = 0;
    raft::Term noticed = 0;  // the term of the first node that was seen to know
  };
  std::map<raft::Index, Committed> committed_;
  std::uint64_t next_sequence_ = 0;
  std::ostringstream out_;
};

raft::Uuid UuidOf(raft::NodeId id, std::uint64_t incarnation);

}  // namespace quorate::golden
