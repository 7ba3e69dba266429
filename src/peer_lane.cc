#include "src/peer_lane.h"

#include <boost/asio/connect.hpp>
#include <utility>

namespace quorate::server {
namespace {

using Tcp = boost::asio::ip::tcp;
using boost::system::error_code;

constexpr raft::Duration kFirstBackoff{20'000};
constexpr raft::Duration kMaxBackoff{1'000'000};
// From the first packet to the peer's answer to the greeting.
constexpr std::chrono::milliseconds kDialTimeout{1'000};
// A link whose packets vanish is given up after this: heartbeats see to it that there always are
// some.
constexpr raft::Duration kUnacknowledged{2'000'000};
// The core keeps at most Options::max_inflight_bytes on their way to a peer; this holds them and
// the rest.
constexpr std::size_t kMaxQueuedBytes = 16 << 20;

// Pieces of a snapshot: enough to keep a window of requests answered.
constexpr std::size_t kMaxQueuedSnapshotBytes = 4 << 20;

const char* Name(peer::Lane lane) {
  switch (lane) {
    case peer::APPEND:
      return "append";
    case peer::SNAPSHOT:
      return "snapshot";
    default:
      return "control";
  }
}

}  // namespace

PeerLane::PeerLane(PeerContext& context, raft::NodeId peer, HostPort address, peer::Lane lane)
    : context_(context),
      peer_(peer),
      address_(std::move(address)),
      lane_(lane),
      backoff_(kFirstBackoff),
      random_(static_cast<std::minstd_rand::result_type>(context.self.boot_id ^ (peer * 4 + lane))),
      timer_(context.loop.io()),
      dialling_(context.loop.io()),
      resolver_(context.loop.io()) {}

PeerLane::~PeerLane() {
  if (connection_) connection_->Close();
}

void PeerLane::Dial() {
  ++attempt_;
  state_ = State::kDialling;
  timer_.expires_after(kDialTimeout);
  timer_.async_wait([this, attempt = attempt_](const error_code& error) {
    if (!error && attempt == attempt_) GiveUp("no answer within 1 s");
  });
  Resolve();
}

void PeerLane::Nudge() {
  if (state_ == State::kWaiting) Dial();
}

bool PeerLane::Send(const raft::Message& message) {
  if (state_ != State::kOpen) return true;
  if (connection_->queued_bytes() > kMaxQueuedBytes) return false;
  context_.codec.Encode(message, connection_->Output());
  return true;
}

void PeerLane::Send(const SnapshotMessage& message) {
  if (state_ != State::kOpen || connection_->queued_bytes() > kMaxQueuedSnapshotBytes) return;
  context_.codec.Encode(message, connection_->Output());
}

// Addresses in numbers skip the resolver, and the thread it would start.
void PeerLane::Resolve() {
  error_code error;
  const auto address = boost::asio::ip::make_address(address_.host, error);
  if (!error) return Connect({address, address_.port});
  resolver_.async_resolve(
      address_.host, std::to_string(address_.port),
      [this, attempt = attempt_](const error_code& failed, const Tcp::resolver::results_type& all) {
        if (attempt != attempt_ || state_ != State::kDialling) return;
        if (failed) return GiveUp("cannot resolve " + address_.host + ": " + failed.message());
        Connect(all.begin()->endpoint());
      });
}

void PeerLane::Connect(const Tcp::endpoint& endpoint) {
  error_code error;
  dialling_.close(error);
  dialling_.async_connect(endpoint, [this, attempt = attempt_](const error_code& failed) {
    if (attempt != attempt_ || state_ != State::kDialling) return;
    if (failed) return GiveUp(failed.message());
    Greet();
  });
}

void PeerLane::Greet() {
  state_ = State::kGreeting;
  TuneSocket(dialling_, kUnacknowledged);
  connection_ =
      std::make_shared<Connection>(context_.loop, std::move(dialling_), wire::kMaxHeaderBytes);
  dialling_ = Tcp::socket(context_.loop.io());
  connection_->Start(*this);
  peer::PeerHello hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_cluster_id(context_.self.cluster_id);
  hello.set_from(context_.self.node_id);
  hello.set_uuid_high(context_.self.uuid.high);
  hello.set_uuid_low(context_.self.uuid.low);
  hello.set_to(peer_);
  hello.set_lane(lane_);
  hello.set_boot_id(context_.self.boot_id);
  hello.set_client_address(context_.self.client_address);
  hello.set_feature_version(kFeatureVersion);
  hello.set_origin(context_.self.origin);
  wire::AppendFrame(connection_->Output(), wire::FrameType::kPeerHello, 0, 0, hello,
                    std::string_view());
}

void PeerLane::OnFrame(const wire::Frame& frame) {
  peer::PeerHelloReply reply;
  const bool good =
      state_ == State::kGreeting && frame.type == wire::FrameType::kPeerHello &&
      reply.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()));
  if (!good) return GiveUp("it does not speak the peer protocol");
  OnHelloReply(reply);
}

void PeerLane::OnHelloReply(const peer::PeerHelloReply& reply) {
  if (reply.refusal() != peer::NONE) {
    backoff_ = kMaxBackoff;
    return GiveUp("refused: " + reply.message());
  }
  const raft::Member* member = context_.events.PeerConfiguration().Find(peer_);
  const raft::Uuid uuid{reply.uuid_high(), reply.uuid_low()};
  if (member != nullptr && !member->uuid.empty() && member->uuid != uuid) {
    backoff_ = kMaxBackoff;
    return GiveUp("another data directory answers there than the one on record for this member");
  }
  timer_.cancel();
  state_ = State::kOpen;
  backoff_ = kFirstBackoff;
  context_.events.OnPeerMet(peer_, reply.client_address());
  LogOnce("connected", false);
}

void PeerLane::OnBadFrame(wire::FrameStatus, std::size_t) {
  GiveUp("it does not speak the peer protocol");
}

void PeerLane::OnClosed(const std::string& why) {
  GiveUp(why);
}

void PeerLane::GiveUp(const std::string& why) {
  const bool was_open = state_ == State::kOpen;
  ++attempt_;
  state_ = State::kWaiting;
  if (connection_) connection_->Close();
  connection_.reset();
  error_code ignored;
  dialling_.close(ignored);
  resolver_.cancel();
  LogOnce(why, true);

  const auto half = backoff_.count() / 2;
  const raft::Duration wait{half + static_cast<std::int64_t>(random_()) % (half + 1)};
  backoff_ = std::min(backoff_ * 2, kMaxBackoff);
  timer_.expires_after(wait);
  timer_.async_wait([this, attempt = attempt_](const error_code& error) {
    if (!error && attempt == attempt_) Dial();
  });
  if (was_open && lane_ != peer::SNAPSHOT) context_.events.OnPeerUnreachable(peer_);
}

void PeerLane::LogOnce(const std::string& state, bool warn) {
  if (state == logged_) return;
  logged_ = state;
  if (warn) {
    context_.log.Warn("cannot reach peer, dialling again", {{"peer", peer_},
                                                            {"address", address_.ToString()},
                                                            {"lane", Name(lane_)},
                                                            {"reason", state}});
  } else {
    context_.log.Info("connected to peer",
                      {{"peer", peer_}, {"address", address_.ToString()}, {"lane", Name(lane_)}});
  }
}

}  // namespace quorate::server
