// What a client sends, taken apart as the service does it; and what a node answers, as the client
// does.
#include <google/protobuf/message_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <utility>

#include "client/codec.h"
#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "raft/assert.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

using wire::Frame;
using wire::FrameStatus;
using wire::FrameType;

constexpr std::size_t kLimit = wire::kMaxClientFrameBytes;

FrameStatus Parse(std::string_view in, Frame& frame, std::size_t& needed) {
  return wire::ParseFrame(in, kLimit, frame, needed);
}

// A connection sees a frame grow: what is refused early must be what is refused in the end.
void CheckPrefix(std::string_view in, std::size_t bytes, FrameStatus whole) {
  Frame frame;
  std::size_t needed = 0;
  const FrameStatus early = Parse(in.substr(0, bytes), frame, needed);
  QUORATE_ASSERT(early == whole || early == FrameStatus::kIncomplete,
                 "more bytes never turn one verdict into another");
}

// False: not such a message. What is one is written so that it is read as the same again.
template <typename Message>
bool CheckMessage(std::string_view data, Message& message) {
  if (!message.ParseFromArray(data.data(), static_cast<int>(data.size()))) return false;
  const std::string written = message.SerializeAsString();
  Message again;
  QUORATE_ASSERT(again.ParseFromString(written), "a written message can be read");
  QUORATE_ASSERT(again.SerializeAsString() == written, "a message does not change when it is read");
  return true;
}

template <typename Message>
void CheckMessage(std::string_view data) {
  Message message;
  CheckMessage(data, message);
}

wire::Command Decode(const std::string& encoded) {
  wire::Command command;
  QUORATE_ASSERT(command.ParseFromString(encoded), "what the client encodes is a command");
  return command;
}

// The client encodes commands by hand.
void CheckCommand(std::string_view body) {
  wire::Command command;
  if (!CheckMessage(body, command)) return;
  if (command.has_put()) {
    const wire::Put& put = command.put();
    const wire::Command again = Decode(internal::EncodePut(put.key(), put.value(), {}));
    QUORATE_ASSERT(again.put().key() == put.key() && again.put().value() == put.value(),
                   "a put is encoded as protobuf would");
  } else if (command.has_delete_()) {
    const wire::Command again = Decode(internal::EncodeDelete(command.delete_().key(), {}));
    QUORATE_ASSERT(again.delete_().key() == command.delete_().key(),
                   "a delete is encoded as protobuf would");
  } else if (command.has_compare_and_set()) {
    const wire::CompareAndSet& set = command.compare_and_set();
    Expectation expect = AtRevision{set.mod_index()};
    if (set.has_expected_value()) expect = WithValue{set.expected_value()};
    const wire::Command again =
        Decode(internal::EncodeCompareAndSet(set.key(), expect, set.value(), {}));
    QUORATE_ASSERT(again.compare_and_set().key() == set.key() &&
                       again.compare_and_set().value() == set.value() &&
                       again.compare_and_set().mod_index() == set.mod_index() &&
                       again.compare_and_set().expected_value() == set.expected_value(),
                   "a compare-and-set is encoded as protobuf would");
  }
}

void CheckRequest(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kHello:
      return CheckMessage<wire::HelloRequest>(frame.header);
    case FrameType::kWrite:
      CheckMessage<wire::RequestHeader>(frame.header);
      return CheckCommand(frame.body);
    case FrameType::kGet:
      return CheckMessage<wire::GetRequest>(frame.header);
    case FrameType::kScan:
      return CheckMessage<wire::ScanRequest>(frame.header);
    case FrameType::kSnapshotRead:
      return CheckMessage<wire::SnapshotRead>(frame.header);
    default:
      return CheckMessage<wire::RequestHeader>(frame.header);
  }
}

// Whatever the call that it answers.
template <typename... Replies>
void TakeAll(const internal::Codec& codec, const Frame& frame) {
  internal::Call call{};
  call.return_previous = true;
  const auto take = [&](auto reply) { static_cast<void>(codec.Take(call, frame, reply)); };
  (take(Replies{}), ...);
  GetReply get;
  QUORATE_ASSERT(!codec.Take(call, frame, get) || get.found || get.value.empty(),
                 "a key that is absent has no value");
}

void CheckReply(const Frame& frame) {
  if (frame.type == FrameType::kHello) return CheckMessage<wire::HelloReply>(frame.header);
  internal::Codec codec;
  if (!codec.ParseReply(frame)) return;
  for (const bool is_write : {false, true}) {
    const Error error = internal::ToError(codec.header().error(), is_write);
    QUORATE_ASSERT(is_write || !error.maybe_applied(), "a read leaves nothing unknown");
  }
  TakeAll<WriteReply, TransactionReply, DeleteRangeReply, GetReply, MultiGetReply, NodeStatus,
          SnapshotTaken, std::string>(codec, frame);
  CheckMessage<wire::ScanPage>(frame.body);  // a cursor belongs to a connection
  CheckMessage<wire::SnapshotTaken>(frame.body);
  CheckMessage<wire::WriteResult>(frame.body);
}

void CheckFrame(std::string_view in, const Frame& frame) {
  QUORATE_ASSERT(frame.total_bytes <= in.size(), "a complete frame lies within the input");
  std::string again;
  wire::AppendFrame(again, frame.type, frame.flags, frame.request_id, frame.header, frame.body);
  QUORATE_ASSERT(again == in.substr(0, frame.total_bytes), "a frame has one form");
  if ((frame.flags & wire::kFlagReply) != 0) {
    CheckReply(frame);
  } else {
    CheckRequest(frame);
  }
}

// ---- Seeds ----

class SeedFrames {
 public:
  template <typename Message>
  void Add(FrameType type, std::uint16_t flags, const Message& header, std::string_view body) {
    std::string frame;
    wire::AppendFrame(frame, type, flags, frames_.size() + 1, header, body);
    stream_ += frame;
    frames_.push_back(std::move(frame));
  }

  // Each alone, and all one after the other.
  std::vector<std::string> Take() && {
    frames_.push_back(std::move(stream_));
    return std::move(frames_);
  }

 private:
  std::vector<std::string> frames_;
  std::string stream_;
};

void AddCommands(SeedFrames& frames, const wire::RequestHeader& header) {
  const auto add = [&](const wire::Command& command) {
    frames.Add(FrameType::kWrite, 0, header, command.SerializeAsString());
  };
  wire::Command open;
  open.mutable_open_session()->set_ttl_us(wire::kMinSessionTtlUs);
  add(open);
  wire::Command transaction;
  transaction.mutable_session()->set_id(7);
  transaction.mutable_session()->set_seq(3);
  transaction.mutable_session()->set_acked_below(2);
  transaction.set_stamp_us(1'000);
  auto& compare = *transaction.mutable_transaction()->add_compare();
  compare.set_key("key");
  compare.set_relation(wire::Compare::LESS);
  compare.set_mod_index(300);
  auto& put = *transaction.mutable_transaction()->add_then()->mutable_put();
  put.set_key("key");
  put.set_attach(true);
  transaction.mutable_transaction()->add_then()->mutable_increment()->set_by(-1);
  transaction.mutable_transaction()->add_otherwise()->set_get("key");
  add(transaction);
  wire::Command range;
  range.mutable_delete_range()->set_first("a");
  range.mutable_delete_range()->set_max_keys(10);
  add(range);
  wire::Command end;
  end.mutable_end_sessions()->add_id(7);
  add(end);
}

void AddRequests(SeedFrames& frames) {
  wire::HelloRequest hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_cluster_id(7);
  hello.set_client("seed");
  frames.Add(FrameType::kHello, 0, hello, "");
  wire::RequestHeader header;
  header.set_deadline_ms(1500);
  header.set_request_id("a name");
  header.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  frames.Add(FrameType::kWrite, 0, header, internal::EncodePut("key", "value", {}));
  frames.Add(FrameType::kWrite, 0, header, internal::EncodeDelete("key", {}));
  frames.Add(FrameType::kWrite, 0, header,
             internal::EncodeCompareAndSet("key", AtRevision{300}, "value", {}));
  frames.Add(FrameType::kWrite, 0, header,
             internal::EncodeCompareAndSet("key", WithValue{"old"}, "new", {}));
  AddCommands(frames, header);
  wire::GetRequest get;
  *get.mutable_header() = header;
  get.mutable_freshness()->set_max_age_us(5000);
  get.mutable_freshness()->set_max_lag(10);
  get.mutable_freshness()->mutable_token()->set_index(99);
  frames.Add(FrameType::kGet, 0, get, "key");
  wire::ScanRequest scan;
  *scan.mutable_header() = header;
  *scan.mutable_freshness() = get.freshness();
  scan.set_first("a");
  scan.set_last("z");
  scan.set_max_items(100);
  scan.set_count_only(true);
  scan.set_cursor(12);
  frames.Add(FrameType::kScan, 0, scan, "");
  frames.Add(FrameType::kStatus, 0, header, "");
  frames.Add(FrameType::kSnapshot, 0, header, "");
  wire::SnapshotRead read;
  *read.mutable_header() = header;
  read.set_snapshot(0x1122334455667788);
  frames.Add(FrameType::kSnapshotRead, 0, read, "");
}

void AddReplies(SeedFrames& frames) {
  wire::HelloReply hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.mutable_leader()->set_client_address("127.0.0.1:7001");
  hello.mutable_limits()->set_key_bytes(4096);
  hello.add_members()->set_node_id(2);
  frames.Add(FrameType::kHello, wire::kFlagReply, hello, "");
  wire::ReplyHeader done;
  done.set_mod_index(17);
  done.set_found(true);
  done.mutable_certificate()->set_applied_index(17);
  done.mutable_certificate()->set_age_us(250);
  done.mutable_certificate()->set_basis(wire::ANCHOR);
  frames.Add(FrameType::kWrite, wire::kFlagReply, done, "");
  wire::WriteResult result;
  result.set_value("before");
  result.add_results()->set_mod_index(9);
  result.set_resume("key");
  frames.Add(FrameType::kWrite, wire::kFlagReply, done, result.SerializeAsString());
  frames.Add(FrameType::kGet, wire::kFlagReply, done, "value");
  wire::ScanPage page;
  page.add_items()->set_key("key");
  page.set_count(1);
  page.set_cursor(3);
  frames.Add(FrameType::kScan, wire::kFlagReply, done, page.SerializeAsString());
  wire::NodeStatus status;
  status.set_role("leader");
  status.add_peers()->set_state("replicate");
  frames.Add(FrameType::kStatus, wire::kFlagReply, done, status.SerializeAsString());
  wire::SnapshotTaken taken;
  taken.set_id(0x1122334455667788);
  frames.Add(FrameType::kSnapshot, wire::kFlagReply, done, taken.SerializeAsString());
  wire::ReplyHeader refused;
  refused.mutable_error()->set_code(wire::NOT_LEADER);
  refused.mutable_error()->set_message("ask the leader");
  refused.mutable_error()->mutable_leader()->set_node_id(2);
  frames.Add(FrameType::kWrite, wire::kFlagReply, refused, "");
}

}  // namespace

void RunOne(std::string_view input) {
  static const google::protobuf::LogSilencer silence;  // of text that is not UTF-8
  while (true) {
    Frame frame;
    std::size_t needed = 0;
    const FrameStatus status = Parse(input, frame, needed);
    for (const std::size_t prefix : {std::size_t{3}, std::size_t{4}, std::size_t{5},
                                     wire::kFrameHeaderBytes, input.size() / 2}) {
      if (prefix < input.size()) CheckPrefix(input, prefix, status);
    }
    if (status != FrameStatus::kComplete) return;
    QUORATE_ASSERT(frame.total_bytes == needed, "a frame is as long as it was said to be");
    CheckFrame(input, frame);
    input.remove_prefix(frame.total_bytes);
  }
}

std::vector<std::string> Seeds() {
  SeedFrames frames;
  AddRequests(frames);
  AddReplies(frames);
  return std::move(frames).Take();
}

}  // namespace quorate::fuzz
