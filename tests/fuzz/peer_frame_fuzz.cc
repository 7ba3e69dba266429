// What a node takes from another: greetings, and the core's messages.
#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <utility>

#include "client/proto/frame.h"
#include "raft/assert.h"
#include "raft/configuration.h"
#include "raft/message.h"
#include "src/peer_codec.h"
#include "src/proto/peer.pb.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

using server::PeerCodec;
using wire::Frame;
using wire::FrameStatus;
using wire::FrameType;

FrameStatus Parse(std::string_view in, Frame& frame) {
  std::size_t needed = 0;
  return wire::ParseFrame(in, wire::kMaxPeerFrameBytes, frame, needed);
}

std::string Encode(const raft::Message& message) {
  std::string out;
  PeerCodec().Encode(message, out);
  return out;
}

// What the core would otherwise have to assert.
void CheckAppend(const raft::Append& append, raft::Term term) {
  raft::Position last = append.previous;
  for (const raft::Entry& entry : append.entries) {
    QUORATE_ASSERT(entry.index == last.index + 1, "entries follow one another");
    QUORATE_ASSERT(entry.term >= last.term && entry.term <= term, "terms never go back");
    QUORATE_ASSERT(entry.kind != raft::EntryKind::kConfiguration ||
                       raft::Configuration::Decode(entry.data.view()),
                   "a configuration can be read");
    last = {entry.index, entry.term};
  }
}

void CheckMessage(const raft::Message& message) {
  if (const auto* append = std::get_if<raft::Append>(&message.body)) {
    CheckAppend(*append, message.term);
  }
  const std::string written = Encode(message);
  Frame frame;
  QUORATE_ASSERT(Parse(written, frame) == FrameStatus::kComplete, "a message makes one frame");
  const auto again = PeerCodec().Decode(frame);
  QUORATE_ASSERT(again.has_value(), "a written message can be read");
  QUORATE_ASSERT(again->body.index() == message.body.index(), "its kind does not change");
  QUORATE_ASSERT(Encode(*again) == written, "a message does not change when it is read");
}

template <typename Message>
void CheckGreeting(std::string_view data) {
  Message message;
  if (!message.ParseFromArray(data.data(), static_cast<int>(data.size()))) return;
  Message again;
  QUORATE_ASSERT(again.ParseFromString(message.SerializeAsString()),
                 "a written greeting can be read");
}

void CheckSnapshotMessage(const server::SnapshotMessage& message) {
  std::string written;
  PeerCodec().Encode(message, written);
  Frame frame;
  QUORATE_ASSERT(Parse(written, frame) == FrameStatus::kComplete, "a message makes one frame");
  const auto again = PeerCodec().DecodeSnapshot(frame);
  QUORATE_ASSERT(again && again->index() == message.index(), "a written message can be read");
  std::string twice;
  PeerCodec().Encode(*again, twice);
  QUORATE_ASSERT(twice == written, "a message does not change when it is read");
}

void CheckFrame(const Frame& frame) {
  if (frame.type == FrameType::kPeerHello) {
    CheckGreeting<peer::PeerHello>(frame.header);
    CheckGreeting<peer::PeerHelloReply>(frame.header);
  } else if (frame.type == FrameType::kPeerSnapshot) {
    if (const auto message = PeerCodec().DecodeSnapshot(frame)) CheckSnapshotMessage(*message);
  } else if (const auto message = PeerCodec().Decode(frame)) {
    CheckMessage(*message);
  }
}

// ---- Seeds ----

raft::Append ExampleAppend() {
  const auto configuration = raft::Configuration::Bootstrap({{1, {}, "a:1"}, {2, {}, "b:2"}});
  raft::Append append{.previous = {10, 2}, .commit = 9, .round = 3, .anchor = {}, .entries = {}};
  append.anchor = raft::Anchor{8, {raft::Time(77), 5}};
  append.entries.push_back({2, 11, raft::EntryKind::kCommand, Bytes::Copy("a command")});
  append.entries.push_back({4, 12, raft::EntryKind::kNoop, {}});
  append.entries.push_back(
      {4, 13, raft::EntryKind::kConfiguration, Bytes::Copy(configuration.Encode())});
  return append;
}

std::vector<raft::MessageBody> ExampleBodies() {
  const raft::ClockReading clock{raft::Time(123'456), 99};
  raft::AppendReply rejected{.hint = {5, 2}, .clock = clock};
  rejected.rejected = 10;
  return {raft::VoteRequest{true, 5, {13, 4}, false, 77},
          raft::VoteReply{false, 5, true, 77},
          ExampleAppend(),
          raft::AppendReply{true, 13, 12, 0, {}, 3, clock},
          rejected,
          raft::Heartbeat{12, 4, raft::Anchor{8, clock}},
          raft::HeartbeatReply{4, clock},
          raft::SnapshotOffer{0x1122334455667788, {12, 4}},
          raft::ReadIndexRequest{31},
          raft::ReadIndexReply{31, true, 12},
          raft::TimeoutNow{}};
}

std::string ExampleHello() {
  peer::PeerHello hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_from(1);
  hello.set_to(2);
  hello.set_uuid_high(3);
  hello.set_client_address("127.0.0.1:7001");
  std::string out;
  wire::AppendFrame(out, FrameType::kPeerHello, 0, 0, hello, std::string_view());
  return out;
}

}  // namespace

void RunOne(std::string_view input) {
  static const google::protobuf::LogSilencer silence;  // of text that is not UTF-8
  Frame frame;
  while (Parse(input, frame) == FrameStatus::kComplete) {
    CheckFrame(frame);
    input.remove_prefix(frame.total_bytes);
  }
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds{ExampleHello()};
  const server::SnapshotRequest request{5, 2, 4096, 65'536};
  const server::SnapshotReply reply{5, 2, 4096, false, 100'000, Bytes::Copy("a piece")};
  for (const server::SnapshotMessage& message :
       {server::SnapshotMessage(request), server::SnapshotMessage(reply)}) {
    PeerCodec().Encode(message, seeds.emplace_back());
  }
  std::string stream;
  for (raft::MessageBody& body : ExampleBodies()) {
    raft::Message message;
    message.term = 4;
    message.body = std::move(body);
    seeds.push_back(Encode(message));
    stream += seeds.back();
  }
  seeds.push_back(std::move(stream));
  return seeds;
}

}  // namespace quorate::fuzz
