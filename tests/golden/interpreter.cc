#include "interpreter.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "raft/format.h"

namespace quorate::golden {
namespace {

using raft::Duration;
using raft::NodeId;
using std::to_string;

using Words = std::vector<std::string>;

std::uint64_t Number(const std::string& text) {
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') throw std::invalid_argument("not a number: " + text);
  return value;
}

const std::string& Word(const Words& words, std::size_t at) {
  if (at >= words.size()) throw std::invalid_argument("a word is missing");
  return words[at];
}

Duration Milliseconds(const std::string& text) {
  return Duration(Number(text) * 1000);
}

std::pair<std::string, std::string> SplitAt(const std::string& text, const std::string& separator) {
  const auto at = text.find(separator);
  if (at == std::string::npos) throw std::invalid_argument("no " + separator + " in " + text);
  return {text.substr(0, at), text.substr(at + separator.size())};
}

// "1->2" is one direction, "1-2" both.
std::vector<std::pair<NodeId, NodeId>> Directions(const std::string& text) {
  if (text.find("->") != std::string::npos) {
    const auto [from, to] = SplitAt(text, "->");
    return {{Number(from), Number(to)}};
  }
  const auto [a, b] = SplitAt(text, "-");
  return {{Number(a), Number(b)}, {Number(b), Number(a)}};
}

std::string Text(raft::Position position) {
  return to_string(position.index) + "@" + to_string(position.term);
}

// "1,1,2": the terms of the entries after `start`.
std::vector<raft::Entry> EntriesOf(const std::string& terms, raft::Position start) {
  std::vector<raft::Entry> entries;
  std::istringstream in(terms);
  std::string term;
  while (std::getline(in, term, ',')) {
    const raft::Index index = start.index + entries.size() + 1;
    entries.push_back({Number(term), index, raft::EntryKind::kCommand, Bytes::Copy("x")});
  }
  return entries;
}

std::map<std::string, std::string> Facts(const raft::Raft& core) {
  return {{"role", ToString(core.role())},
          {"term", to_string(core.term())},
          {"vote", to_string(core.hard_state().vote)},
          {"leader", to_string(core.leader())},
          {"last", Text(core.log().last_position())},
          {"commit", to_string(core.commit())},
          {"durable", to_string(core.durable())},
          {"applied", to_string(core.applied())},
          {"fresh", core.freshness() ? to_string(core.freshness()->index) : "none"}};
}

}  // namespace

const std::map<std::string, Interpreter::Command>& Interpreter::Commands() {
  static const std::map<std::string, Command> kCommands = {
      {"cluster", &Interpreter::MakeCluster},
      {"option", &Interpreter::SetOption},
      {"disk", &Interpreter::SetDisk},
      {"start", &Interpreter::Start},
      {"tick", &Interpreter::Tick},
      {"timeout", &Interpreter::Timeout},
      {"elapse", &Interpreter::Elapse},
      {"elect", &Interpreter::Elect},
      {"settle", &Interpreter::Settle},
      {"run", &Interpreter::RunFor},
      {"latency", &Interpreter::Latency},
      {"sync-time", &Interpreter::SyncTime},
      {"deliver", &Interpreter::Deliver},
      {"drop", &Interpreter::Drop},
      {"save", &Interpreter::Save},
      {"replay", &Interpreter::Replay},
      {"cut", &Interpreter::Cut},
      {"heal", &Interpreter::Heal},
      {"hold", &Interpreter::Hold},
      {"release", &Interpreter::Release},
      {"unreachable", &Interpreter::Unreachable},
      {"durable", &Interpreter::Durable},
      {"fetched", &Interpreter::Fetched},
      {"crash", &Interpreter::Crash},
      {"restart", &Interpreter::Restart},
      {"wipe", &Interpreter::Wipe},
      {"trim", &Interpreter::Trim},
      {"keep", &Interpreter::Keep},
      {"forget", &Interpreter::Forget},
      {"cut-log", &Interpreter::CutLog},
      {"offer", &Interpreter::Offer},
      {"install", &Interpreter::Install},
      {"prefer-snapshot", &Interpreter::PreferSnapshot},
      {"full", &Interpreter::Full},
      {"propose", &Interpreter::Propose},
      {"bulk", &Interpreter::Bulk},
      {"read", &Interpreter::Read},
      {"reads", &Interpreter::Reads},
      {"transfer", &Interpreter::Transfer},
      {"status", &Interpreter::Status},
      {"progress", &Interpreter::Progress},
      {"log", &Interpreter::Log},
      {"configuration", &Interpreter::Configuration},
      {"queued", &Interpreter::Queued},
      {"assert", &Interpreter::Assert},
      {"assert-elections", &Interpreter::AssertElections}};
  return kCommands;
}

std::string Interpreter::Run(const std::string& line) {
  std::istringstream in(line);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  cluster_.verbosity = Verbosity::kAll;
  if (!words.empty() && (words[0] == "quiet" || words[0] == "roles")) {
    cluster_.verbosity = words[0] == "quiet" ? Verbosity::kNone : Verbosity::kRoles;
    words.erase(words.begin());
  }
  Execute(std::move(words));
  cluster_.CheckInvariants();
  Flush();
  return std::exchange(extra_, {});
}

void Interpreter::Execute(Words words) {
  const auto command = Commands().find(Word(words, 0));
  if (command == Commands().end()) throw std::invalid_argument("no such command: " + words[0]);
  words.erase(words.begin());
  (this->*command->second)(words);
}

std::vector<NodeId> Interpreter::NodesOrAll(const Words& words) const {
  std::vector<NodeId> ids;
  for (const std::string& word : words) ids.push_back(Number(word));
  if (!ids.empty()) return ids;
  for (const auto& [id, node] : const_cast<Cluster&>(cluster_).nodes()) ids.push_back(id);
  return ids;
}

// "1->2 append" is one lane, "1->2" both.
std::vector<Link> Interpreter::LinksOf(const Words& words) const {
  std::vector<Link> links;
  for (const auto& [from, to] : Directions(Word(words, 0))) {
    const bool any = words.size() < 2 || (words[1] != "append" && words[1] != "control");
    if (any || words[1] == "append") links.push_back({from, to, Lane::kAppend});
    if (any || words[1] == "control") links.push_back({from, to, Lane::kControl});
  }
  return links;
}

// cluster N [fresh]
void Interpreter::MakeCluster(const Words& words) {
  std::vector<raft::Member> members;
  for (NodeId id = 1; id <= Number(Word(words, 0)); ++id) {
    members.push_back({id, {}, "node" + to_string(id)});
  }
  raft::Configuration base = raft::Configuration::Bootstrap(std::move(members));
  if (words.size() < 2 || words[1] != "fresh") {
    base.incarnation = 1;
    base.established = true;
    for (raft::Member& member : base.members) member.uuid = UuidOf(member.id, 1);
  }
  for (const raft::Member& member : base.members) cluster_.Add(member.id, base, {});
}

// option NAME=VALUE...
void Interpreter::SetOption(const Words& words) {
  raft::Options& options = cluster_.options;
  const std::map<std::string, std::size_t*> sizes = {
      {"max_append_bytes", &options.max_append_bytes},
      {"max_inflight_bytes", &options.max_inflight_bytes},
      {"max_backlog_bytes", &options.max_backlog_bytes},
      {"max_cached_bytes", &options.max_cached_bytes},
      {"max_forwarded_reads", &options.max_forwarded_reads}};
  for (const std::string& word : words) {
    const auto [name, value] = SplitAt(word, "=");
    const auto size = sizes.find(name);
    if (size == sizes.end()) throw std::invalid_argument("no such option: " + name);
    *size->second = Number(value);
  }
}

// disk N [term=T] [vote=V] [start=I@T] [log=T,T,...]
void Interpreter::SetDisk(const Words& words) {
  Node& node = cluster_.At(Number(Word(words, 0)));
  std::string terms;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto [name, value] = SplitAt(words[i], "=");
    if (name == "term") {
      node.disk.hard_state.term = Number(value);
    } else if (name == "vote") {
      node.disk.hard_state.vote = Number(value);
    } else if (name == "start") {
      const auto [index, term] = SplitAt(value, "@");
      node.disk.start = {Number(index), Number(term)};
    } else if (name == "log") {
      terms = value;
    } else {
      throw std::invalid_argument("disk: " + name);
    }
  }
  node.disk.entries = EntriesOf(terms, node.disk.start);
}

// start [N...]
void Interpreter::Start(const Words& words) {
  for (NodeId id : NodesOrAll(words)) cluster_.Start(id, 0);
}

void Interpreter::Tick(const Words& words) {
  for (NodeId id : NodesOrAll(words)) cluster_.Tick(id);
}

// timeout N: the clock goes to N's next deadline, and only N notices.
void Interpreter::Timeout(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  cluster_.now = std::max(cluster_.now, cluster_.Core(id).NextDeadline());
  cluster_.Tick(id);
}

// elapse MS: the clock moves, and nobody notices.
void Interpreter::Elapse(const Words& words) {
  cluster_.now += Milliseconds(Word(words, 0));
}

// elect N: every other node has been silent for long enough; N campaigns, and all settles.
void Interpreter::Elect(const Words& words) {
  cluster_.now += 2 * cluster_.options.election;
  cluster_.Tick(Number(Word(words, 0)));
  cluster_.Settle();
}

void Interpreter::Settle(const Words&) {
  cluster_.Settle();
}

void Interpreter::RunFor(const Words& words) {
  cluster_.Run(Milliseconds(Word(words, 0)));
}

void Interpreter::Latency(const Words& words) {
  cluster_.latency = Milliseconds(Word(words, 0));
}

void Interpreter::SyncTime(const Words& words) {
  cluster_.sync_time = Milliseconds(Word(words, 0));
}

// deliver A->B [LANE] [COUNT]: by default everything that is queued now.
void Interpreter::Deliver(const Words& words) {
  const bool counted = words.size() > 1 && std::isdigit(words.back().front()) != 0;
  std::vector<Link> links = LinksOf(words);
  std::size_t available = 0;
  for (const Link& link : links) available += cluster_.network[link].size();
  const std::size_t count = counted ? Number(words.back()) : available;
  if (available < count || available == 0) throw std::invalid_argument("nothing to deliver");
  for (std::size_t i = 0; i < count; ++i) {
    const Link* next = nullptr;
    for (const Link& link : links) {
      const auto& queue = cluster_.network[link];
      if (queue.empty()) continue;
      if (next == nullptr || queue.front().sequence < cluster_.network[*next].front().sequence) {
        next = &link;
      }
    }
    cluster_.DeliverOne(*next);
  }
}

// drop A->B [LANE] [COUNT]
void Interpreter::Drop(const Words& words) {
  const bool counted = words.size() > 1 && std::isdigit(words.back().front()) != 0;
  std::size_t count = counted ? Number(words.back()) : std::numeric_limits<std::size_t>::max();
  std::size_t dropped = 0;
  for (const Link& link : LinksOf(words)) {
    auto& queue = cluster_.network[link];
    for (; count > 0 && !queue.empty(); --count) {
      Line("dropped " + ToString(queue.front().message));
      queue.pop_front();
      ++dropped;
    }
  }
  if (dropped == 0) throw std::invalid_argument("nothing to drop");
}

// save A->B LANE NAME: a copy of the oldest message, to arrive late as well.
void Interpreter::Save(const Words& words) {
  const auto& queue = cluster_.network[LinksOf(words).front()];
  if (queue.empty()) throw std::invalid_argument("nothing to save");
  cluster_.saved[Word(words, 2)] = queue.front().message;
  Line("saved " + ToString(queue.front().message));
}

void Interpreter::Replay(const Words& words) {
  const auto saved = cluster_.saved.find(Word(words, 0));
  if (saved == cluster_.saved.end()) throw std::invalid_argument("nothing saved as " + words[0]);
  Line("again " + ToString(saved->second));
  cluster_.Receive(saved->second);
}

// cut A-B | A->B: what is sent from now on is lost, and what is on its way.
void Interpreter::Cut(const Words& words) {
  for (const std::string& word : words) {
    for (const auto& [from, to] : Directions(word)) {
      cluster_.cut.insert({from, to});
      cluster_.network.erase({from, to, Lane::kAppend});
      cluster_.network.erase({from, to, Lane::kControl});
    }
  }
}

void Interpreter::Heal(const Words& words) {
  if (words.empty()) cluster_.cut.clear();
  for (const std::string& word : words) {
    for (const auto& direction : Directions(word)) cluster_.cut.erase(direction);
  }
}

// hold disk N | hold apply N | hold A->B [LANE]: not part of settle and run.
void Interpreter::Hold(const Words& words) {
  if (Word(words, 0) == "disk") {
    cluster_.At(Number(Word(words, 1))).hold_disk = true;
  } else if (words[0] == "apply") {
    cluster_.At(Number(Word(words, 1))).hold_apply = true;
  } else {
    for (const Link& link : LinksOf(words)) cluster_.held.insert(link);
  }
}

void Interpreter::Release(const Words& words) {
  if (Word(words, 0) == "disk") {
    cluster_.At(Number(Word(words, 1))).hold_disk = false;
  } else if (words[0] == "apply") {
    const NodeId id = Number(Word(words, 1));
    cluster_.At(id).hold_apply = false;
    cluster_.Apply(id);
  } else {
    for (const Link& link : LinksOf(words)) cluster_.held.erase(link);
  }
}

// unreachable N M: N's connection to M broke.
void Interpreter::Unreachable(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  cluster_.Core(id).OnUnreachable(Number(Word(words, 1)));
  cluster_.Pump(id);
}

// durable N [COUNT]: by default all batches in flight, as one sync.
void Interpreter::Durable(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  const std::size_t count =
      words.size() > 1 ? Number(words[1]) : std::numeric_limits<std::size_t>::max();
  if (!cluster_.CompleteWrite(id, count)) throw std::invalid_argument("nothing to sync");
}

// fetched N [none]: the answer to N's oldest fetch; none: its disk could not read.
void Interpreter::Fetched(const Words& words) {
  if (!cluster_.AnswerFetch(Number(Word(words, 0)), words.size() > 1)) {
    throw std::invalid_argument("nothing to fetch");
  }
}

void Interpreter::Crash(const Words& words) {
  for (const std::string& word : words) cluster_.Crash(Number(word));
}

// restart N [applied=I]: with what was durable; the state machine fell back to I.
void Interpreter::Restart(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  raft::Index applied = 0;
  if (words.size() > 1) applied = Number(SplitAt(words[1], "applied=").second);
  cluster_.Crash(id);
  cluster_.Start(id, applied);
  Status({words[0]});
}

void Interpreter::Wipe(const Words& words) {
  cluster_.Wipe(Number(Word(words, 0)));
}

// trim N I: a node that is down drops its log up to I, where its snapshot ends.
void Interpreter::Trim(const Words& words) {
  Disk& disk = cluster_.At(Number(Word(words, 0))).disk;
  const std::uint64_t count = Number(Word(words, 1)) - disk.start.index;
  if (count == 0 || count > disk.entries.size()) throw std::invalid_argument("nothing to trim");
  const raft::Entry& last = disk.entries[count - 1];
  disk.start = {last.index, last.term};
  disk.entries.erase(disk.entries.begin(),
                     disk.entries.begin() + static_cast<std::ptrdiff_t>(count));
}

// keep N SNAPSHOT: N takes a snapshot, of this number, of what it has applied, and keeps it.
void Interpreter::Keep(const Words& words) {
  cluster_.KeepSnapshot(Number(Word(words, 0)), Number(Word(words, 1)));
}

// forget N SNAPSHOT: N no longer keeps it.
void Interpreter::Forget(const Words& words) {
  cluster_.Core(Number(Word(words, 0))).OnSnapshotDropped(Number(Word(words, 1)));
}

// cut-log N I: N, which is up, drops its log up to I.
void Interpreter::CutLog(const Words& words) {
  cluster_.CutLog(Number(Word(words, 0)), Number(Word(words, 1)));
}

// offer A->B SNAPSHOT: an offer of A's, which may be late.
void Interpreter::Offer(const Words& words) {
  const auto [from, to] = Directions(Word(words, 0)).front();
  const std::uint64_t snapshot = Number(Word(words, 1));
  const Node& source = cluster_.At(from);
  const auto kept = source.kept.find(snapshot);
  if (kept == source.kept.end()) throw std::invalid_argument("it keeps no such snapshot");
  cluster_.Receive({from, to, source.uuid, cluster_.Core(from).term(),
                    raft::SnapshotOffer{snapshot, kept->second.position}});
}

// install N: what N was offered last is fetched, and its state machine becomes it.
void Interpreter::Install(const Words& words) {
  cluster_.Install(Number(Word(words, 0)));
}

// prefer-snapshot N I: for followers that need entries below I.
void Interpreter::PreferSnapshot(const Words& words) {
  cluster_.Core(Number(Word(words, 0))).PreferSnapshotBelow(Number(Word(words, 1)));
}

// full N on|off
void Interpreter::Full(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  cluster_.Core(id).OnDiskFull(Word(words, 1) == "on");
  cluster_.Pump(id);
}

void Interpreter::ProposeAll(NodeId id, const std::vector<Bytes>& commands) {
  const auto result = cluster_.Core(id).Propose(cluster_.now, commands);
  if (const auto* error = std::get_if<raft::ProposeError>(&result)) {
    Line(to_string(id) + ": refused, " + ToString(*error));
  } else if (cluster_.verbosity == Verbosity::kAll) {
    const auto proposed = std::get<raft::Raft::Proposed>(result);
    Line(to_string(id) + ": proposed " + Text({proposed.first, proposed.term}));
  }
  cluster_.Pump(id);
}

// propose N COMMAND...
void Interpreter::Propose(const Words& words) {
  std::vector<Bytes> commands;
  for (std::size_t i = 1; i < words.size(); ++i) commands.push_back(Bytes::Copy(words[i]));
  ProposeAll(Number(Word(words, 0)), commands);
}

// bulk N COUNT BYTES
void Interpreter::Bulk(const Words& words) {
  const Bytes command = Bytes::Copy(std::string(Number(Word(words, 2)), 'x'));
  ProposeAll(Number(Word(words, 0)), std::vector<Bytes>(Number(Word(words, 1)), command));
}

// read N ID
void Interpreter::Read(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  cluster_.Core(id).RequestRead(cluster_.now, Number(Word(words, 1)));
  cluster_.Pump(id);
}

// reads N COUNT MS: one every MS milliseconds; says how many were answered, and the longest wait.
void Interpreter::Reads(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  const std::uint64_t count = Number(Word(words, 1));
  cluster_.answered.clear();
  std::map<std::uint64_t, raft::Time> asked;
  for (std::uint64_t read = 1'000'000; asked.size() < count; ++read) {
    asked[read] = cluster_.now;
    cluster_.Core(id).RequestRead(cluster_.now, read);
    cluster_.Pump(id);
    cluster_.Run(Milliseconds(Word(words, 2)));
  }
  cluster_.Run(Duration(500'000));
  std::size_t answered = 0;
  Duration longest{0};
  for (const auto& [read, at] : asked) {
    const auto answer = cluster_.answered.find(read);
    if (answer == cluster_.answered.end()) continue;
    ++answered;
    longest = std::max(longest, answer->second - at);
  }
  extra_.clear();
  cluster_.TakeOutput();
  Line(to_string(answered) + " of " + to_string(count) + " reads confirmed, after at most " +
       to_string(longest.count() / 1000) + " ms");
}

// transfer A->B
void Interpreter::Transfer(const Words& words) {
  const auto [from, to] = Directions(Word(words, 0)).front();
  cluster_.Core(from).TransferLeadership(cluster_.now, to);
  cluster_.Pump(from);
}

void Interpreter::Status(const Words& words) {
  Flush();
  for (NodeId id : NodesOrAll(words)) {
    const Node& node = cluster_.At(id);
    std::string line = to_string(id) + ": ";
    if (node.core == nullptr) {
      Line(line + "down");
      continue;
    }
    auto facts = Facts(*node.core);
    line += facts["role"] + " T" + facts["term"];
    for (const char* name : {"vote", "leader", "last", "commit", "durable", "applied", "fresh"}) {
      line += std::string(" ") + name + "=" + facts[name];
    }
    Line(line);
  }
}

// progress N: a leader's view of the others.
void Interpreter::Progress(const Words& words) {
  Flush();
  for (const auto& [id, peer] : cluster_.Core(Number(Word(words, 0))).progress()) {
    Line(to_string(id) + ": " + ToString(peer.state) + " match=" + to_string(peer.match) +
         " next=" + to_string(peer.next) + " inflight=" + to_string(peer.inflight.size()) + "/" +
         to_string(peer.inflight_bytes) + "B round=" + to_string(peer.round));
  }
}

// log N: what is on the disk.
void Interpreter::Log(const Words& words) {
  Flush();
  for (NodeId id : NodesOrAll(words)) {
    std::string line = to_string(id) + ":";
    for (const raft::Entry& entry : cluster_.At(id).disk.entries) {
      line += " " + Text({entry.index, entry.term});
    }
    Line(line);
  }
}

void Interpreter::Configuration(const Words& words) {
  Flush();
  for (NodeId id : NodesOrAll(words)) {
    Line(to_string(id) + ": " + ToString(cluster_.Core(id).configuration()));
  }
}

// queued: messages on their way, in the order of sending.
void Interpreter::Queued(const Words&) {
  Flush();
  std::map<std::uint64_t, std::string> lines;
  for (const auto& [link, queue] : cluster_.network) {
    for (const InFlight& item : queue) lines[item.sequence] = ToString(item.message);
  }
  for (const auto& [sequence, line] : lines) Line(line);
}

// assert N FACT=VALUE...: facts as in status, with `role=` and `term=`.
void Interpreter::Assert(const Words& words) {
  const NodeId id = Number(Word(words, 0));
  auto facts = Facts(cluster_.Core(id));
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto [name, value] = SplitAt(words[i], "=");
    if (!facts.contains(name)) throw std::invalid_argument("no such fact: " + name);
    if (facts[name] == value) continue;
    std::ostringstream what;
    what << words[0] << ": " << name << " is " << facts[name] << ", not " << value;
    throw FailedAssertion{what.str()};
  }
}

// assert-elections MAX: no more leaders than that since the last time this was asked.
void Interpreter::AssertElections(const Words& words) {
  const std::size_t elected = std::exchange(cluster_.leaders_elected, 0);
  if (elected > Number(Word(words, 0))) {
    throw FailedAssertion{to_string(elected) + " leaders were elected"};
  }
}

}  // namespace quorate::golden
