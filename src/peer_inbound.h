// One incoming connection from a peer: says who it is, then sends messages.
#pragma once

#include <memory>
#include <string>

#include "src/connection.h"
#include "src/peer_transport.h"

namespace quorate::server {

class PeerInbound final : private ConnectionEvents {
 public:
  PeerInbound(PeerTransport& transport, std::shared_ptr<Connection> connection, raft::Time now);
  ~PeerInbound() override;
  void Start() { connection_->Start(*this); }

  bool greeted() const { return from_ != raft::kNoNode; }
  raft::NodeId from() const { return from_; }
  peer::Lane lane() const { return lane_; }
  const std::string& client_address() const { return client_address_; }
  raft::Time accepted_at() const { return accepted_at_; }

 private:
  void OnFrame(const wire::Frame& frame) override;
  void OnBadFrame(wire::FrameStatus status, std::size_t length) override;
  void OnClosed(const std::string& why) override;

  void OnHello(const wire::Frame& frame);
  void OnRaft(const wire::Frame& frame);
  void OnSnapshot(const wire::Frame& frame);
  void Answer(peer::Refusal refusal, const std::string& message);

  PeerTransport& transport_;
  const std::shared_ptr<Connection> connection_;
  const raft::Time accepted_at_;
  raft::NodeId from_ = raft::kNoNode;
  raft::Uuid uuid_;
  peer::Lane lane_ = peer::CONTROL;
  std::string client_address_;
};

}  // namespace quorate::server
