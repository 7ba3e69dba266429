#include "src/peer_transport.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "src/clock.h"
#include "src/peer_inbound.h"
#include "src/peer_lane.h"

namespace quorate::server {
namespace {

// Three lanes from each of a handful of peers, and room for old ones that have not been found dead
// yet.
constexpr std::size_t kMaxInbound = 128;
constexpr raft::Duration kHelloTimeout{5'000'000};
constexpr raft::Duration kUnacknowledged{10'000'000};

}  // namespace

PeerTransport::PeerTransport(Loop& loop, Logger& log, PeerIdentity self,
                             const std::map<raft::NodeId, HostPort>& peers, PeerEvents& events)
    : context_{loop, log, std::move(self), events, {}} {
  for (const auto& [id, address] : peers) {
    if (id == context_.self.node_id) continue;
    peers_[id].control = std::make_unique<PeerLane>(context_, id, address, peer::CONTROL);
    peers_[id].append = std::make_unique<PeerLane>(context_, id, address, peer::APPEND);
    peers_[id].snapshot = std::make_unique<PeerLane>(context_, id, address, peer::SNAPSHOT);
  }
}

PeerTransport::~PeerTransport() = default;

storage::Status PeerTransport::Start(std::unique_ptr<Listener> listener) {
  listener_ = std::move(listener);
  auto started =
      listener_->Start([this](boost::asio::ip::tcp::socket socket) { Accept(std::move(socket)); });
  if (!started) return started;
  for (auto& [id, peer] : peers_) {
    peer.control->Dial();
    peer.append->Dial();
    peer.snapshot->Dial();
  }
  return {};
}

void PeerTransport::Stop() {
  if (listener_) listener_->Stop();
  inbound_.clear();
  peers_.clear();
}

void PeerTransport::Sweep(raft::Time now) {
  std::erase_if(inbound_, [&](const std::unique_ptr<PeerInbound>& inbound) {
    return !inbound->greeted() && now - inbound->accepted_at() > kHelloTimeout;
  });
}

void PeerTransport::Send(const raft::Message& message) {
  const auto found = peers_.find(message.to);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  const bool entries = std::holds_alternative<raft::Append>(message.body);
  PeerLane& lane = entries ? *peer.append : *peer.control;
  if (!lane.Send(message)) ReportOverflow(message.to, peer);
}

void PeerTransport::Send(raft::NodeId to, const SnapshotMessage& message) {
  if (const auto found = peers_.find(to); found != peers_.end()) {
    found->second.snapshot->Send(message);
  }
}

bool PeerTransport::Connected(raft::NodeId peer) const {
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second.control->open() && found->second.append->open();
}

std::size_t PeerTransport::QueuedBytes(raft::NodeId peer) const {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return 0;
  const Peer& lanes = found->second;
  return lanes.control->queued_bytes() + lanes.append->queued_bytes() +
         lanes.snapshot->queued_bytes();
}

void PeerTransport::Accept(boost::asio::ip::tcp::socket socket) {
  if (inbound_.size() >= kMaxInbound && !DropOldestStranger()) {
    return LogRefusal(raft::kNoNode, fmt::format("more than {} peer connections", kMaxInbound),
                      "a new connection");
  }
  TuneSocket(socket, kUnacknowledged);
  auto connection =
      std::make_shared<Connection>(context_.loop, std::move(socket), wire::kMaxPeerFrameBytes);
  inbound_.push_back(std::make_unique<PeerInbound>(*this, std::move(connection), BootTime()));
  inbound_.back()->Start();
}

// Connections that say nothing must not keep peers out, which say who they are at once.
bool PeerTransport::DropOldestStranger() {
  const auto oldest = std::find_if(inbound_.begin(), inbound_.end(),
                                   [](const auto& inbound) { return !inbound->greeted(); });
  if (oldest == inbound_.end()) return false;
  inbound_.erase(oldest);
  return true;
}

// Not from within Send(): the core is in the middle of something then.
void PeerTransport::ReportOverflow(raft::NodeId id, Peer& peer) {
  if (std::exchange(peer.overflow_reported, true)) return;
  boost::asio::post(context_.loop.io(), [this, id] {
    const auto found = peers_.find(id);
    if (found == peers_.end()) return;
    found->second.overflow_reported = false;
    context_.events.OnPeerUnreachable(id);
  });
}

void PeerTransport::OnInboundHello(PeerInbound& inbound) {
  // A peer that dials again has given up its older connection of that lane, whatever TCP still
  // believes.
  std::erase_if(inbound_, [&](const std::unique_ptr<PeerInbound>& other) {
    return other.get() != &inbound && other->from() == inbound.from() &&
           other->lane() == inbound.lane();
  });
  last_refusal_.erase(inbound.from());
  context_.events.OnPeerMet(inbound.from(), inbound.client_address());
  const auto peer = peers_.find(inbound.from());
  if (peer == peers_.end()) return;
  peer->second.control->Nudge();
  peer->second.append->Nudge();
  peer->second.snapshot->Nudge();
}

void PeerTransport::RemoveInbound(PeerInbound* inbound) {
  std::erase_if(inbound_, [&](const auto& other) { return other.get() == inbound; });
}

void PeerTransport::LogRefusal(raft::NodeId from, const std::string& why,
                               const std::string& remote) {
  std::uint64_t left_out = 0;
  if (peers_.contains(from)) {
    std::string& last = last_refusal_[from];
    if (last == why) return;
    last = why;
  } else if (!stranger_lines_.Allow(BootTime(), left_out)) {
    return;
  }
  context_.log.Warn("refused a peer connection",
                    {{"peer", from}, {"remote", remote}, {"reason", why}, {"left_out", left_out}});
}

}  // namespace quorate::server
