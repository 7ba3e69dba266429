#include "src/peer_codec.h"

#include <utility>

#include "raft/configuration.h"
#include "storage/entry_codec.h"

namespace quorate::server {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

void Put(const raft::Position& from, peer::Position* to) {
  to->set_index(from.index);
  to->set_term(from.term);
}

void Put(const raft::ClockReading& from, peer::ClockReading* to) {
  to->set_at_us(from.at.count());
  to->set_boot_id(from.boot_id);
}

void Put(const raft::Anchor& from, peer::Anchor* to) {
  to->set_index(from.index);
  Put(from.reading, to->mutable_reading());
}

raft::Position Take(const peer::Position& from) {
  return {from.index(), from.term()};
}

raft::ClockReading Take(const peer::ClockReading& from) {
  return {raft::Time(from.at_us()), from.boot_id()};
}

raft::Anchor Take(const peer::Anchor& from) {
  return {from.index(), Take(from.reading())};
}

// Nothing if the body is not exactly that many entries.
std::optional<std::vector<raft::Entry>> TakeEntries(std::string_view body, std::size_t count) {
  if (count > body.size() / storage::kEntryHeaderBytes) return std::nullopt;
  std::vector<raft::Entry> entries;
  entries.reserve(count);
  while (entries.size() < count) {
    auto entry = storage::TakeEntry(body);
    if (!entry) return std::nullopt;
    entries.push_back(std::move(*entry));
  }
  if (!body.empty()) return std::nullopt;
  return entries;
}

// What the core asserts of an Append is checked here, where it is a peer's bytes: an index before
// the log has no term, entries follow each other, none is of a later term than its sender's, and
// configurations decode.
std::optional<raft::MessageBody> TakeAppend(const peer::Append& from, raft::Term term,
                                            std::string_view body) {
  auto entries = TakeEntries(body, from.entries());
  if (!entries) return std::nullopt;
  raft::Append append{.previous = Take(from.previous()),
                      .commit = from.commit(),
                      .round = from.round(),
                      .anchor = std::nullopt,
                      .entries = std::move(*entries)};
  if (from.has_anchor()) append.anchor = Take(from.anchor());
  raft::Position last = append.previous;
  if ((last.index == 0 && last.term != 0) || last.term > term) return std::nullopt;
  for (const raft::Entry& entry : append.entries) {
    if (entry.index != last.index + 1 || entry.term < last.term || entry.term > term) {
      return std::nullopt;
    }
    if (entry.kind == raft::EntryKind::kConfiguration &&
        !raft::Configuration::Decode(entry.data.view())) {
      return std::nullopt;
    }
    last = {entry.index, entry.term};
  }
  return append;
}

std::optional<raft::MessageBody> TakeAppendReply(const peer::AppendReply& from) {
  if (from.durable() > from.verified()) return std::nullopt;
  return raft::AppendReply{.accepted = from.accepted(),
                           .verified = from.verified(),
                           .durable = from.durable(),
                           .rejected = from.rejected(),
                           .hint = Take(from.hint()),
                           .round = from.round(),
                           .clock = Take(from.clock()),
                           .full = from.full()};
}

std::optional<raft::MessageBody> TakeBody(const peer::RaftMessage& from, std::string_view body) {
  switch (from.body_case()) {
    case peer::RaftMessage::kVoteRequest: {
      const auto& vote = from.vote_request();
      return raft::VoteRequest{vote.pre_vote(), vote.for_term(), Take(vote.last()), vote.transfer(),
                               vote.boot_id()};
    }
    case peer::RaftMessage::kVoteReply: {
      const auto& vote = from.vote_reply();
      return raft::VoteReply{vote.pre_vote(), vote.for_term(), vote.granted(), vote.boot_id()};
    }
    case peer::RaftMessage::kAppend:
      return TakeAppend(from.append(), from.term(), body);
    case peer::RaftMessage::kAppendReply:
      return TakeAppendReply(from.append_reply());
    case peer::RaftMessage::kHeartbeat: {
      const auto& beat = from.heartbeat();
      raft::Heartbeat heartbeat{beat.commit(), beat.round(), std::nullopt};
      if (beat.has_anchor()) heartbeat.anchor = Take(beat.anchor());
      return heartbeat;
    }
    case peer::RaftMessage::kHeartbeatReply:
      return raft::HeartbeatReply{from.heartbeat_reply().round(),
                                  Take(from.heartbeat_reply().clock()),
                                  from.heartbeat_reply().full()};
    case peer::RaftMessage::kSnapshotOffer: {
      const auto& offer = from.snapshot_offer();
      const raft::Position position = Take(offer.position());
      if (position.index == 0 || position.term > from.term()) return std::nullopt;
      return raft::SnapshotOffer{offer.snapshot(), position};
    }
    case peer::RaftMessage::kReadIndexRequest:
      return raft::ReadIndexRequest{from.read_index_request().id()};
    case peer::RaftMessage::kReadIndexReply: {
      const auto& reply = from.read_index_reply();
      return raft::ReadIndexReply{reply.id(), reply.granted(), reply.index()};
    }
    case peer::RaftMessage::kTimeoutNow:
      return raft::TimeoutNow{};
    case peer::RaftMessage::BODY_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

void PutAppend(const raft::Append& from, peer::Append* to, std::string& body) {
  Put(from.previous, to->mutable_previous());
  to->set_commit(from.commit);
  to->set_round(from.round);
  if (from.anchor) Put(*from.anchor, to->mutable_anchor());
  to->set_entries(static_cast<std::uint32_t>(from.entries.size()));
  for (const raft::Entry& entry : from.entries) storage::AppendEntry(entry, body);
}

void PutAppendReply(const raft::AppendReply& from, peer::AppendReply* to) {
  to->set_accepted(from.accepted);
  to->set_verified(from.verified);
  to->set_durable(from.durable);
  to->set_rejected(from.rejected);
  if (from.hint != raft::Position{}) Put(from.hint, to->mutable_hint());
  to->set_round(from.round);
  Put(from.clock, to->mutable_clock());
  to->set_full(from.full);
}

void PutBody(const raft::MessageBody& from, peer::RaftMessage& to, std::string& body) {
  std::visit(
      Overloaded{
          [&](const raft::VoteRequest& vote) {
            auto* out = to.mutable_vote_request();
            out->set_pre_vote(vote.pre_vote);
            out->set_for_term(vote.for_term);
            Put(vote.last, out->mutable_last());
            out->set_transfer(vote.transfer);
            out->set_boot_id(vote.boot_id);
          },
          [&](const raft::VoteReply& vote) {
            auto* out = to.mutable_vote_reply();
            out->set_pre_vote(vote.pre_vote);
            out->set_for_term(vote.for_term);
            out->set_granted(vote.granted);
            out->set_boot_id(vote.boot_id);
          },
          [&](const raft::Append& append) { PutAppend(append, to.mutable_append(), body); },
          [&](const raft::AppendReply& reply) { PutAppendReply(reply, to.mutable_append_reply()); },
          [&](const raft::Heartbeat& beat) {
            auto* out = to.mutable_heartbeat();
            out->set_commit(beat.commit);
            out->set_round(beat.round);
            if (beat.anchor) Put(*beat.anchor, out->mutable_anchor());
          },
          [&](const raft::HeartbeatReply& reply) {
            auto* out = to.mutable_heartbeat_reply();
            out->set_round(reply.round);
            Put(reply.clock, out->mutable_clock());
            out->set_full(reply.full);
          },
          [&](const raft::SnapshotOffer& offer) {
            auto* out = to.mutable_snapshot_offer();
            out->set_snapshot(offer.snapshot);
            Put(offer.position, out->mutable_position());
          },
          [&](const raft::ReadIndexRequest& request) {
            to.mutable_read_index_request()->set_id(request.id);
          },
          [&](const raft::ReadIndexReply& reply) {
            auto* out = to.mutable_read_index_reply();
            out->set_id(reply.id);
            out->set_granted(reply.granted);
            out->set_index(reply.index);
          },
          [&](const raft::TimeoutNow&) { to.mutable_timeout_now(); },
      },
      from);
}

}  // namespace

void PeerCodec::Encode(const raft::Message& message, std::string& out) {
  header_.Clear();
  body_.clear();
  header_.set_term(message.term);
  PutBody(message.body, header_, body_);
  wire::AppendFrame(out, wire::FrameType::kRaft, 0, 0, header_, body_);
}

std::optional<raft::Message> PeerCodec::Decode(const wire::Frame& frame) {
  if (!header_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return std::nullopt;
  }
  auto body = TakeBody(header_, frame.body);
  if (!body) return std::nullopt;
  raft::Message message;
  message.term = header_.term();
  message.body = std::move(*body);
  return message;
}

void PeerCodec::Encode(const SnapshotMessage& message, std::string& out) {
  snapshot_header_.Clear();
  const auto put_place = [this](const auto& from) {
    snapshot_header_.set_snapshot(from.snapshot);
    snapshot_header_.set_file(from.file);
    snapshot_header_.set_offset(from.offset);
  };
  std::string_view piece;
  std::visit(Overloaded{
                 [&](const SnapshotRequest& request) {
                   put_place(request);
                   snapshot_header_.mutable_request()->set_bytes(request.bytes);
                 },
                 [&](const SnapshotReply& reply) {
                   put_place(reply);
                   snapshot_header_.mutable_reply()->set_gone(reply.gone);
                   snapshot_header_.mutable_reply()->set_total(reply.total);
                   piece = reply.data.view();
                 },
             },
             message);
  wire::AppendFrame(out, wire::FrameType::kPeerSnapshot, 0, 0, snapshot_header_, piece);
}

std::optional<SnapshotMessage> PeerCodec::DecodeSnapshot(const wire::Frame& frame) {
  const peer::SnapshotMessage& from = snapshot_header_;
  if (!snapshot_header_.ParseFromArray(frame.header.data(),
                                       static_cast<int>(frame.header.size()))) {
    return std::nullopt;
  }
  switch (from.body_case()) {
    case peer::SnapshotMessage::kRequest:
      return SnapshotRequest{from.snapshot(), from.file(), from.offset(), from.request().bytes()};
    case peer::SnapshotMessage::kReply:
      return SnapshotReply{from.snapshot(),     from.file(),          from.offset(),
                           from.reply().gone(), from.reply().total(), Bytes::Copy(frame.body)};
    case peer::SnapshotMessage::BODY_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace quorate::server
