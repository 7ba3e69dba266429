#include "cluster.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "raft/format.h"

namespace quorate::golden {
namespace {

using raft::Duration;
using raft::Index;
using raft::NodeId;
using raft::Time;

constexpr int kMaxSteps = 200'000;  // a scenario that never settles is a live-lock

Lane LaneOf(const raft::Message& message) {
  const bool append = std::holds_alternative<raft::Append>(message.body) ||
                      std::holds_alternative<raft::AppendReply>(message.body);
  return append ? Lane::kAppend : Lane::kControl;
}

bool Holds(const Disk& disk, raft::Position position) {
  if (position.index <= disk.start.index) return true;
  const std::size_t at = position.index - disk.start.index - 1;
  return at < disk.entries.size() && disk.entries[at].term == position.term;
}

// A crash came between the state machine's change and that of the log.
void FinishInstall(Node& node) {
  if (Holds(node.disk, node.installed.position)) return;
  node.disk.start = node.installed.position;
  node.disk.entries.clear();
  node.base = node.installed.configuration;
}

raft::InitialState Recover(const Node& node, Index applied) {
  raft::InitialState initial;
  initial.hard_state = node.disk.hard_state;
  initial.base_configuration = node.base;
  initial.applied = std::max({applied, node.disk.start.index, node.installed.position.index});
  initial.log.start = node.disk.start;
  initial.log.last = node.disk.start.index + node.disk.entries.size();
  for (const raft::Entry& entry : node.disk.entries) {
    auto& terms = initial.log.terms;
    if (terms.empty() || terms.back().term != entry.term)
      terms.push_back({entry.index, entry.term});
    if (entry.kind != raft::EntryKind::kConfiguration) continue;
    initial.configurations.emplace_back(entry.index,
                                        *raft::Configuration::Decode(entry.data.view()));
  }
  return initial;
}

}  // namespace

raft::Uuid UuidOf(NodeId id, std::uint64_t incarnation) {
  return {id, incarnation};
}

Time Disk::Due(Duration sync_time) const {
  return std::max(writes.front().issued, idle_since) + sync_time;
}

void Disk::Complete(Time now) {
  idle_since = now;
  raft::AppendBatch& batch = writes.front().batch;
  if (batch.hard_state) hard_state = *batch.hard_state;
  if (batch.reset) {
    start = batch.reset->position;
    entries.clear();
  }
  for (raft::Entry& entry : batch.entries) {
    if (entry.index > start.index + entries.size() + 1) {
      throw BrokenInvariant{"a batch leaves a gap in the log before " +
                            std::to_string(entry.index)};
    }
    entries.resize(entry.index - start.index - 1);
    entries.push_back(std::move(entry));
  }
  writes.pop_front();
}

Node& Cluster::Add(NodeId id, raft::Configuration base, Disk disk) {
  Node& node = nodes_[id];
  node.id = id;
  node.uuid = UuidOf(id, 1);
  node.base = std::move(base);
  node.disk = std::move(disk);
  return node;
}

void Cluster::Start(NodeId id, Index applied) {
  Node& node = At(id);
  ++node.boots;
  FinishInstall(node);
  const raft::Self self{id, node.uuid, /*boot_id=*/id * 1000 + node.boots * 100};
  node.core = std::make_unique<raft::Raft>(options, self, Recover(node, applied), now,
                                           /*seed=*/self.boot_id);
  node.apply_to = node.core->applied();
}

void Cluster::Crash(NodeId id) {
  Node& node = At(id);
  node.core.reset();
  node.disk.writes.clear();
  node.fetches.clear();
}

void Cluster::Wipe(NodeId id) {
  Node& node = At(id);
  Crash(id);
  node.disk = {};
  node.uuid = UuidOf(id, node.uuid.low + 1);
}

Node& Cluster::At(NodeId id) {
  const auto it = nodes_.find(id);
  if (it == nodes_.end()) throw std::invalid_argument("no node " + std::to_string(id));
  return it->second;
}

raft::Raft& Cluster::Core(NodeId id) {
  Node& node = At(id);
  if (node.core == nullptr) throw std::invalid_argument("node is down: " + std::to_string(id));
  return *node.core;
}

void Cluster::Print(NodeId id, const std::string& lines) {
  if (verbosity == Verbosity::kNone) return;
  std::istringstream in(lines);
  std::string line;
  while (std::getline(in, line)) {
    if (verbosity == Verbosity::kRoles) {
      if (!line.starts_with("role ")) continue;
      out_ << now.count() / 1000 << " ms  ";
    }
    out_ << id << ": " << line << "\n";
  }
}

std::string Cluster::TakeOutput() {
  return std::exchange(out_, {}).str();
}

void Cluster::Queue(raft::Message message) {
  const bool lost = cut.contains({message.from, message.to});
  if (verbosity == Verbosity::kAll) {
    out_ << "   " << ToString(message) << (lost ? "  (lost)" : "") << "\n";
  }
  if (lost) return;
  const Link link{message.from, message.to, LaneOf(message)};
  network[link].push_back({std::move(message), now, next_sequence_++});
}

void Cluster::Pump(NodeId id) {
  Node& node = At(id);
  if (node.core == nullptr) return;
  raft::Ready ready = node.core->TakeReady(now);
  if (ready.soft && ready.soft->role == raft::Role::kLeader) ++leaders_elected;
  Print(id, ToString(ready));
  if (ready.append) node.disk.writes.push_back({std::move(*ready.append), now});
  for (const raft::ReadResult& read : ready.reads) {
    if (read.failure != raft::ReadFailure::kNone) continue;
    answered[read.id] = now;
    answers.emplace_back(read.id, read.index);
  }
  for (const raft::FetchRequest& fetch : ready.fetches) node.fetches.push_back(fetch);
  if (ready.offered) node.offered = ready.offered;
  if (ready.apply_to > node.apply_to) {
    node.apply_to = ready.apply_to;
    Print(id, "apply to " + std::to_string(ready.apply_to));
    if (!node.hold_apply) Apply(id);
  }
  for (raft::Message& message : ready.messages) Queue(std::move(message));
}

void Cluster::Receive(raft::Message message) {
  Node& node = At(message.to);
  if (node.core == nullptr) return;
  node.core->Step(now, std::move(message));
  Pump(node.id);
}

bool Cluster::DeliverOne(const Link& link) {
  auto& queue = network[link];
  if (queue.empty()) return false;
  raft::Message message = std::move(queue.front().message);
  queue.pop_front();
  Receive(std::move(message));
  return true;
}

bool Cluster::CompleteWrite(NodeId id, std::size_t count) {
  Node& node = At(id);
  if (node.core == nullptr || node.disk.writes.empty()) return false;
  raft::DurabilityToken token;
  for (; count > 0 && !node.disk.writes.empty(); --count) {
    token = node.disk.writes.front().batch.token;
    node.disk.Complete(now);
  }
  node.core->OnDurable(now, token);
  Pump(id);
  return true;
}

bool Cluster::AnswerFetch(NodeId id, bool fails) {
  Node& node = At(id);
  if (node.core == nullptr || node.fetches.empty()) return false;
  const raft::FetchRequest fetch = node.fetches.front();
  node.fetches.pop_front();
  std::vector<raft::Entry> entries;
  std::size_t bytes = 0;
  for (const raft::Entry& entry : node.disk.entries) {
    if (fails || entry.index < fetch.first || entry.index > fetch.last) continue;
    bytes += entry.ByteSize();
    if (!entries.empty() && bytes > fetch.max_bytes) break;
    entries.push_back(entry);
  }
  node.core->OnFetched(now, fetch.to, std::move(entries));
  Pump(id);
  return true;
}

void Cluster::Apply(NodeId id) {
  Node& node = At(id);
  if (node.core != nullptr) node.core->OnApplied(node.apply_to);
}

void Cluster::KeepSnapshot(NodeId id, std::uint64_t snapshot) {
  const raft::Raft& core = Core(id);
  const raft::Position position{core.applied(), core.log().TermAt(core.applied()).value_or(0)};
  At(id).kept[snapshot] = {position, core.configuration()};
  Core(id).OnSnapshotKept(snapshot, position);
  Pump(id);
}

void Cluster::CutLog(NodeId id, Index index) {
  Disk& disk = At(id).disk;
  if (index <= disk.start.index || index > disk.start.index + disk.entries.size()) {
    throw std::invalid_argument("nothing to cut");
  }
  const auto end = disk.entries.begin() + static_cast<std::ptrdiff_t>(index - disk.start.index);
  disk.start = {index, (end - 1)->term};
  disk.entries.erase(disk.entries.begin(), end);
  Core(id).OnLogCut(disk.start);
  Pump(id);
}

void Cluster::Install(NodeId id) {
  Node& node = At(id);
  if (!node.offered) throw std::invalid_argument("nothing has been offered");
  node.installed = At(node.offered->from).kept.at(node.offered->snapshot);
  node.offered.reset();
  Core(id).OnSnapshotInstalled(now, node.installed);
  node.apply_to = std::max(node.apply_to, node.installed.position.index);
  Pump(id);
}

void Cluster::Tick(NodeId id) {
  Core(id).Tick(now);
  Pump(id);
}

const Link* Cluster::OldestDeliverable(Duration delay) const {
  const Link* oldest = nullptr;
  std::uint64_t sequence = 0;
  for (const auto& [link, queue] : network) {
    if (queue.empty() || held.contains(link) || queue.front().sent + delay > now) continue;
    if (oldest == nullptr || queue.front().sequence < sequence) {
      oldest = &link;
      sequence = queue.front().sequence;
    }
  }
  return oldest;
}

bool Cluster::SettleOne(Duration network_delay, Duration disk_delay) {
  if (const Link* link = OldestDeliverable(network_delay)) return DeliverOne(*link);
  for (auto& [id, node] : nodes_) {
    if (node.core == nullptr) continue;
    if (!node.hold_disk && !node.disk.writes.empty() && node.disk.Due(disk_delay) <= now) {
      return CompleteWrite(id, 1);
    }
    if (!node.hold_disk && AnswerFetch(id)) return true;
  }
  return false;
}

void Cluster::Settle() {
  for (int step = 0; SettleOne(Duration{0}, Duration{0}); ++step) {
    CheckInvariants();
    if (step > kMaxSteps) throw BrokenInvariant{"the cluster never settles"};
  }
}

Time Cluster::NextEvent() const {
  Time next = Time::max();
  for (const auto& [link, queue] : network) {
    if (!queue.empty() && !held.contains(link)) next = std::min(next, queue.front().sent + latency);
  }
  for (const auto& [id, node] : nodes_) {
    if (node.core == nullptr) continue;
    next = std::min(next, node.core->NextDeadline());
    if (!node.hold_disk && !node.disk.writes.empty()) {
      next = std::min(next, node.disk.Due(sync_time));
    }
  }
  return next;
}

void Cluster::Run(Duration duration) {
  const Time end = now + duration;
  int steps = 0;
  for (Time next = NextEvent(); next <= end; next = NextEvent()) {
    now = std::max(now, next);
    for (auto& [id, node] : nodes_) {
      if (node.core != nullptr && node.core->NextDeadline() <= now) Tick(id);
    }
    while (SettleOne(latency, sync_time)) {
      if (++steps > kMaxSteps) throw BrokenInvariant{"the cluster never settles"};
    }
    CheckInvariants();
    if (++steps > kMaxSteps) throw BrokenInvariant{"a deadline stays in the past"};
  }
  now = end;
}

void Cluster::NoteLeader(const raft::Raft& core) {
  if (core.role() != raft::Role::kLeader) return;
  const auto [it, inserted] = leaders_.try_emplace(core.term(), core.id());
  if (it->second != core.id()) {
    throw BrokenInvariant{"two leaders in term " + std::to_string(core.term())};
  }
  if (!inserted) return;
  // Leader completeness. Late votes may elect a leader of an old term after newer ones have
  // committed more: of that it need know nothing.
  for (const auto& [index, committed] : committed_) {
    if (committed.noticed >= core.term() || index < core.log().first()) continue;
    if (core.log().TermAt(index) != committed.entry) {
      throw BrokenInvariant{"leader " + std::to_string(core.id()) + " lacks committed entry " +
                            std::to_string(index)};
    }
  }
}

void Cluster::NoteCommitted(const Node& node) {
  const raft::Raft& core = *node.core;
  for (Index index = core.log().first(); index <= core.commit(); ++index) {
    const raft::Term term = core.log().TermAt(index).value_or(0);
    const auto [it, inserted] = committed_.try_emplace(index, Committed{term, core.term()});
    if (it->second.entry != term) {
      throw BrokenInvariant{"entry " + std::to_string(index) + " is committed in two terms"};
    }
  }
}

void Cluster::CheckInvariants() {
  for (const auto& [id, node] : nodes_) {
    if (node.core == nullptr) continue;
    NoteCommitted(node);
    NoteLeader(*node.core);
    const raft::HardState& state = node.disk.hard_state;
    if (state.term > node.core->term()) throw BrokenInvariant{"a term went back"};
    // What the core calls durable must be on the disk, with the same terms.
    // ... unless the state machine holds it.
    const Index first = std::max(node.core->log().first(), node.installed.position.index + 1);
    for (Index index = first; index <= node.core->durable(); ++index) {
      const std::size_t at = index - node.disk.start.index - 1;
      if (at >= node.disk.entries.size() ||
          node.disk.entries[at].term != node.core->log().TermAt(index)) {
        throw BrokenInvariant{"node " + std::to_string(id) + " calls entry " +
                              std::to_string(index) + " durable, and it is not"};
      }
    }
  }
}

}  // namespace quorate::golden
