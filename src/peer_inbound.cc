#include "src/peer_inbound.h"

#include <utility>

namespace quorate::server {
namespace {

constexpr std::size_t kMaxClientAddressBytes = 300;

std::string Hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

struct Verdict {
  peer::Refusal refusal = peer::NONE;
  std::string message;
};

// Every reason names both sides' view, so that one log is enough to see which of the two is set up
// wrong.
Verdict Judge(const peer::PeerHello& hello, const PeerIdentity& self,
              const raft::Configuration& configuration) {
  const std::string me = "node " + std::to_string(self.node_id);
  const std::string you = "node " + std::to_string(hello.from());
  if (hello.protocol() != wire::kProtocolVersion) {
    return {peer::BAD_PROTOCOL,
            fmt::format("{} speaks peer protocol {}, {} speaks {}; run the same version", me,
                        wire::kProtocolVersion, you, hello.protocol())};
  }
  if (hello.cluster_id() != self.cluster_id) {
    return {peer::WRONG_CLUSTER,
            fmt::format("{} is of cluster {}, {} of cluster {}; --cluster and --cluster-name must "
                        "be the same on all nodes",
                        me, Hex(self.cluster_id), you, Hex(hello.cluster_id()))};
  }
  if (hello.origin() != self.origin) {
    const auto origin = [](std::uint64_t id) {
      return id == 0 ? std::string("began empty") : "was restored from backup " + Hex(id);
    };
    return {
        peer::WRONG_CLUSTER,
        fmt::format("{} {}, and {} {}: they never had the same state; restore all nodes from the "
                    "same backup",
                    me, origin(self.origin), you, origin(hello.origin()))};
  }
  if (hello.to() != self.node_id) {
    return {peer::WRONG_NODE,
            fmt::format("{} dialled node {} and reached {}; check the addresses in --cluster", you,
                        hello.to(), me)};
  }
  const raft::Member* member = configuration.Find(hello.from());
  if (member == nullptr || hello.from() == self.node_id) {
    return {peer::NOT_A_MEMBER, you + " is not another member of the configuration of " + me};
  }
  const raft::Uuid uuid{hello.uuid_high(), hello.uuid_low()};
  if (!member->uuid.empty() && member->uuid != uuid) {
    return {peer::REPLACED,
            you +
                " has a new data directory; the old one held entries and votes that it no longer "
                "knows of, so it may not take part under this id: restore the old directory"};
  }
  if (hello.client_address().size() > kMaxClientAddressBytes || uuid.empty()) {
    return {peer::BAD_PROTOCOL, "the hello of " + you + " is malformed"};
  }
  return {};
}

}  // namespace

PeerInbound::PeerInbound(PeerTransport& transport, std::shared_ptr<Connection> connection,
                         raft::Time now)
    : transport_(transport), connection_(std::move(connection)), accepted_at_(now) {}

PeerInbound::~PeerInbound() {
  // Last words may still be on their way; without any, nothing lingers.
  if (connection_->queued_bytes() == 0) {
    connection_->Close();
  } else {
    connection_->CloseAfterFlush();
  }
}

// Each of these may end with the destruction of *this.
void PeerInbound::OnFrame(const wire::Frame& frame) {
  if (greeted() && frame.type == wire::FrameType::kRaft) return OnRaft(frame);
  if (greeted() && frame.type == wire::FrameType::kPeerSnapshot) return OnSnapshot(frame);
  if (!greeted() && frame.type == wire::FrameType::kPeerHello) return OnHello(frame);
  transport_.LogRefusal(from_, "a frame of an unexpected type", connection_->RemoteAddress());
  transport_.RemoveInbound(this);
}

void PeerInbound::OnBadFrame(wire::FrameStatus status, std::size_t length) {
  const std::string why =
      status == wire::FrameStatus::kTooLarge
          ? fmt::format("a frame of {} bytes, the limit is {}", length, wire::kMaxPeerFrameBytes)
          : "bytes that are no frame";
  transport_.LogRefusal(from_, why, connection_->RemoteAddress());
  transport_.RemoveInbound(this);
}

void PeerInbound::OnClosed(const std::string& why) {
  if (greeted()) {
    transport_.context_.log.Debug("incoming peer connection closed",
                                  {{"peer", from_}, {"reason", why}});
  }
  transport_.RemoveInbound(this);
}

void PeerInbound::OnHello(const wire::Frame& frame) {
  const PeerContext& context = transport_.context_;
  peer::PeerHello hello;
  if (!hello.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    transport_.LogRefusal(raft::kNoNode, "a malformed hello", connection_->RemoteAddress());
    return transport_.RemoveInbound(this);
  }
  const Verdict verdict = Judge(hello, context.self, context.events.PeerConfiguration());
  Answer(verdict.refusal, verdict.message);
  if (verdict.refusal != peer::NONE) {
    transport_.LogRefusal(hello.from(), verdict.message, connection_->RemoteAddress());
    return transport_.RemoveInbound(this);
  }
  from_ = hello.from();
  uuid_ = {hello.uuid_high(), hello.uuid_low()};
  lane_ = hello.lane();
  client_address_ = hello.client_address();
  transport_.OnInboundHello(*this);
}

void PeerInbound::Answer(peer::Refusal refusal, const std::string& message) {
  const PeerIdentity& self = transport_.context_.self;
  peer::PeerHelloReply reply;
  reply.set_refusal(refusal);
  reply.set_message(message);
  reply.set_from(self.node_id);
  reply.set_client_address(self.client_address);
  reply.set_uuid_high(self.uuid.high);
  reply.set_uuid_low(self.uuid.low);
  wire::AppendFrame(connection_->Output(), wire::FrameType::kPeerHello, wire::kFlagReply, 0, reply,
                    std::string_view());
}

void PeerInbound::OnRaft(const wire::Frame& frame) {
  PeerContext& context = transport_.context_;
  auto message = context.codec.Decode(frame);
  if (!message) {
    transport_.LogRefusal(from_, "a malformed message", connection_->RemoteAddress());
    return transport_.RemoveInbound(this);
  }
  message->from = from_;
  message->from_uuid = uuid_;
  message->to = context.self.node_id;
  context.events.OnPeerMessage(std::move(*message));
}

void PeerInbound::OnSnapshot(const wire::Frame& frame) {
  PeerContext& context = transport_.context_;
  const auto message = context.codec.DecodeSnapshot(frame);
  if (!message) {
    transport_.LogRefusal(from_, "a malformed message", connection_->RemoteAddress());
    return transport_.RemoveInbound(this);
  }
  context.events.OnPeerSnapshot(from_, *message);
}

}  // namespace quorate::server
