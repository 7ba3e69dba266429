#include "tests/sim/trace.h"

#include <cstdio>
#include <type_traits>
#include <variant>

namespace quorate::sim {
namespace {

class Hasher {
 public:
  template <typename... Values>
  void Add(Values... values) {
    ((hash_ = Mix(hash_ * 31 + static_cast<std::uint64_t>(values))), ...);
  }
  void Add(const std::optional<raft::Anchor>& anchor) {
    if (anchor) Add(anchor->index, anchor->reading.at.count(), anchor->reading.boot_id);
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 1;
};

void AddBody(Hasher& hash, const raft::VoteRequest& body) {
  hash.Add(body.pre_vote, body.for_term, body.last.index, body.last.term, body.transfer,
           body.boot_id);
}
void AddBody(Hasher& hash, const raft::VoteReply& body) {
  hash.Add(body.pre_vote, body.for_term, body.granted, body.boot_id);
}
void AddBody(Hasher& hash, const raft::Append& body) {
  hash.Add(body.previous.index, body.previous.term, body.commit, body.round, body.entries.size());
  hash.Add(body.anchor);
  for (const raft::Entry& entry : body.entries) hash.Add(entry.term, entry.kind, entry.data.size());
}
void AddBody(Hasher& hash, const raft::AppendReply& body) {
  hash.Add(body.accepted, body.verified, body.durable, body.rejected, body.hint.index,
           body.hint.term, body.round, body.clock.at.count(), body.full);
}
void AddBody(Hasher& hash, const raft::Heartbeat& body) {
  hash.Add(body.commit, body.round);
  hash.Add(body.anchor);
}
void AddBody(Hasher& hash, const raft::HeartbeatReply& body) {
  hash.Add(body.round, body.clock.at.count(), body.full);
}
void AddBody(Hasher& hash, const raft::SnapshotOffer& body) {
  hash.Add(body.snapshot, body.position.index, body.position.term);
}
void AddBody(Hasher& hash, const raft::ReadIndexRequest& body) {
  hash.Add(body.id);
}
void AddBody(Hasher& hash, const raft::ReadIndexReply& body) {
  hash.Add(body.id, body.granted, body.index);
}
void AddBody(Hasher&, const raft::TimeoutNow&) {}

}  // namespace

void Trace::Add(SimTime at, raft::NodeId node, std::string_view kind,
                std::initializer_list<std::uint64_t> values) {
  Hasher hash;
  hash.Add(hash_, at.count(), node);
  for (char c : kind) hash.Add(c);
  for (std::uint64_t value : values) hash.Add(value);
  hash_ = hash.value();
}

void Trace::Print(SimTime at, raft::NodeId node, std::string_view kind, const std::string& text) {
  char prefix[64];
  std::snprintf(prefix, sizeof(prefix), "%4lld.%06lld ",
                static_cast<long long>(at.count() / 1'000'000),
                static_cast<long long>(at.count() % 1'000'000));
  *out_ << prefix << (node == raft::kNoNode ? std::string("  ") : "n" + std::to_string(node)) << ' '
        << kind << (text.empty() ? "" : " ") << text << '\n';
}

std::uint64_t Digest(const raft::Message& message) {
  Hasher hash;
  hash.Add(message.from, message.to, message.from_uuid.low, message.term, message.body.index());
  std::visit([&hash](const auto& body) { AddBody(hash, body); }, message.body);
  return hash.value();
}

}  // namespace quorate::sim
