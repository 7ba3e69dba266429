// One outgoing connection to one peer: dialled, greeted, and redialled with back-off when it
// breaks.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <random>
#include <string>

#include "src/connection.h"
#include "src/peer_transport.h"

namespace quorate::server {

class PeerLane final : private ConnectionEvents {
 public:
  PeerLane(PeerContext& context, raft::NodeId peer, HostPort address, peer::Lane lane);
  ~PeerLane() override;

  void Dial();
  // The peer has just dialled us, so it is there: do not wait out the back-off.
  void Nudge();

  bool open() const { return state_ == State::kOpen; }
  std::size_t queued_bytes() const { return connection_ ? connection_->queued_bytes() : 0; }
  // False if the queue is full: the message was dropped. Not open: dropped as well, but the core
  // knows already.
  bool Send(const raft::Message& message);
  // What finds no room is dropped: its receiver asks again.
  void Send(const SnapshotMessage& message);

 private:
  enum class State { kWaiting, kDialling, kGreeting, kOpen };

  void OnFrame(const wire::Frame& frame) override;
  void OnBadFrame(wire::FrameStatus status, std::size_t length) override;
  void OnClosed(const std::string& why) override;

  void Resolve();
  void Connect(const boost::asio::ip::tcp::endpoint& endpoint);
  void Greet();
  void OnHelloReply(const peer::PeerHelloReply& reply);
  void GiveUp(const std::string& why);
  void LogOnce(const std::string& state, bool warn);

  PeerContext& context_;
  const raft::NodeId peer_;
  const HostPort address_;
  const peer::Lane lane_;
  State state_ = State::kWaiting;
  std::uint64_t attempt_ = 0;  // handlers of older attempts do nothing
  raft::Duration backoff_;
  std::minstd_rand random_;
  boost::asio::steady_timer timer_;  // the back-off, then the limit on dialling and greeting
  boost::asio::ip::tcp::socket dialling_;
  boost::asio::ip::tcp::resolver resolver_;
  std::shared_ptr<Connection> connection_;
  std::string logged_;
};

}  // namespace quorate::server
