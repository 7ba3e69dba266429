#include "raft/format.h"

#include <sstream>

namespace quorate::raft {
namespace {

std::string Text(const Position& position) {
  return std::to_string(position.index) + "@" + std::to_string(position.term);
}

std::string Text(const std::vector<Entry>& entries) {
  if (entries.empty()) return "[]";
  std::ostringstream out;
  out << "[";
  for (const Entry& entry : entries) {
    if (entry.index != entries.front().index) out << " ";
    out << Text(Position{entry.index, entry.term});
    if (entry.kind != EntryKind::kCommand) out << ":" << ToString(entry.kind);
  }
  out << "]";
  return out.str();
}

std::string Text(const std::optional<Anchor>& anchor) {
  if (!anchor) return "";
  return " anchor=" + std::to_string(anchor->index) + "/" +
         std::to_string(anchor->reading.at.count());
}

struct BodyText {
  std::ostringstream& out;

  void operator()(const VoteRequest& m) const {
    out << (m.pre_vote ? "PreVote" : "Vote") << " for=" << m.for_term << " last=" << Text(m.last);
    if (m.transfer) out << " transfer";
  }
  void operator()(const VoteReply& m) const {
    out << (m.pre_vote ? "PreVoteReply" : "VoteReply") << " for=" << m.for_term
        << (m.granted ? " granted" : " refused");
  }
  void operator()(const Append& m) const {
    out << "Append prev=" << Text(m.previous) << " commit=" << m.commit << " round=" << m.round
        << Text(m.anchor) << " " << Text(m.entries);
  }
  void operator()(const AppendReply& m) const {
    out << "AppendReply ";
    if (m.accepted) {
      out << "verified=" << m.verified << " durable=" << m.durable;
    } else {
      out << "rejected=" << m.rejected << " hint=" << Text(m.hint);
    }
    out << " round=" << m.round << (m.full ? " full" : "");
  }
  void operator()(const Heartbeat& m) const {
    out << "Heartbeat commit=" << m.commit << " round=" << m.round << Text(m.anchor);
  }
  void operator()(const HeartbeatReply& m) const {
    out << "HeartbeatReply round=" << m.round << (m.full ? " full" : "");
  }
  void operator()(const SnapshotOffer& m) const {
    out << "SnapshotOffer " << m.snapshot << " at " << Text(m.position);
  }
  void operator()(const ReadIndexRequest& m) const { out << "ReadIndex id=" << m.id; }
  void operator()(const ReadIndexReply& m) const {
    out << "ReadIndexReply id=" << m.id;
    if (m.granted) {
      out << " index=" << m.index;
    } else {
      out << " refused";
    }
  }
  void operator()(const TimeoutNow&) const { out << "TimeoutNow"; }
};

}  // namespace

std::string ToString(const Message& message) {
  std::ostringstream out;
  out << message.from << "->" << message.to << " T" << message.term << " ";
  std::visit(BodyText{out}, message.body);
  return out.str();
}

std::string ToString(const Ready& ready) {
  std::ostringstream out;
  if (ready.soft) {
    out << "role " << ToString(ready.soft->role) << " T" << ready.soft->term
        << " leader=" << ready.soft->leader << "\n";
  }
  if (ready.append) {
    out << "write";
    if (ready.append->reset) out << " reset=" << Text(ready.append->reset->position);
    if (ready.append->hard_state) {
      out << " term=" << ready.append->hard_state->term
          << " vote=" << ready.append->hard_state->vote;
    }
    if (!ready.append->entries.empty()) out << " " << Text(ready.append->entries);
    out << " token=" << ready.append->token.term << "/" << ready.append->token.sequence << "\n";
  }
  for (const FetchRequest& fetch : ready.fetches) {
    out << "fetch for " << fetch.to << " " << fetch.first << ".." << fetch.last << "\n";
  }
  if (ready.wants_snapshot) out << "wants a snapshot to offer\n";
  if (ready.offered) {
    out << "offered snapshot " << ready.offered->snapshot << " at " << Text(ready.offered->position)
        << " by " << ready.offered->from << "\n";
  }
  for (const ReadResult& read : ready.reads) {
    out << "read " << read.id << " ";
    if (read.failure == ReadFailure::kNone) {
      out << "index=" << read.index << (read.via_leader ? " via leader" : "") << "\n";
    } else {
      out << ToString(read.failure) << "\n";
    }
  }
  return out.str();
}

std::string ToString(const Configuration& configuration) {
  std::ostringstream out;
  out << "voters";
  for (NodeId id : configuration.voters.incoming) out << " " << id;
  if (!configuration.voters.outgoing.empty()) {
    out << " leaving";
    for (NodeId id : configuration.voters.outgoing) out << " " << id;
  }
  if (!configuration.learners.empty()) {
    out << " learners";
    for (NodeId id : configuration.learners) out << " " << id;
  }
  out << " met";
  for (const Member& member : configuration.members) {
    if (!member.uuid.empty()) out << " " << member.id;
  }
  if (configuration.established) out << " established";
  return out.str();
}

const char* ToString(EntryKind kind) {
  switch (kind) {
    case EntryKind::kNoop:
      return "noop";
    case EntryKind::kConfiguration:
      return "config";
    case EntryKind::kCommand:
      return "command";
  }
  return "unknown";
}

const char* ToString(ReadFailure failure) {
  switch (failure) {
    case ReadFailure::kNone:
      return "ok";
    case ReadFailure::kNoLeader:
      return "no leader";
    case ReadFailure::kLeaderChanged:
      return "leader changed";
    case ReadFailure::kNoQuorum:
      return "no quorum";
    case ReadFailure::kOverloaded:
      return "overloaded";
  }
  return "unknown";
}

const char* ToString(ProposeError error) {
  switch (error) {
    case ProposeError::kNotLeader:
      return "not leader";
    case ProposeError::kOverloaded:
      return "overloaded";
    case ProposeError::kTransferring:
      return "transferring";
    case ProposeError::kDiskFull:
      return "disk full";
  }
  return "unknown";
}

const char* ToString(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe:
      return "probe";
    case ProgressState::kReplicate:
      return "replicate";
    case ProgressState::kSnapshot:
      return "snapshot";
  }
  return "unknown";
}

}  // namespace quorate::raft
