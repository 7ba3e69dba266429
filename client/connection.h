// One connection to one node: dial, Hello, then any number of requests in flight.
#pragma once

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/call.h"
#include "client/codec.h"
#include "client/lookup.h"

namespace quorate::internal {

// Why a connection is of no use.
struct Breakage {
  ErrorCode code = ErrorCode::kCannotConnect;
  std::string text;
};

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;

  // The node has introduced itself. A breakage refuses it.
  virtual std::optional<Breakage> OnHello(Connection& connection,
                                          const wire::HelloReply& hello) = 0;
  virtual void OnReady(Connection& connection) = 0;
  // An answer to `call`, which is still pending: whoever takes the answer releases it. False:
  // malformed, the connection breaks.
  virtual bool OnReply(Connection& connection, Call& call, const wire::Frame& frame) = 0;
  // It broke, or never became ready. Its pending calls are still there to be taken.
  virtual void OnBroken(Connection& connection, const Breakage& breakage) = 0;
};

// Lives once: a broken connection is replaced by another object. Runs on its loop alone.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Settings {
    std::string address;
    std::uint64_t serial = 0;  // unique within the client
    std::uint64_t cluster_id = 0;
    std::string client_name;
    std::chrono::milliseconds dial_timeout{0};
  };

  // `guard` keeps `owner` alive: while it is gone, nothing is called.
  Connection(boost::asio::io_context& loop, ConnectionOwner& owner, std::weak_ptr<void> guard,
             Settings settings);

  void Dial();
  // Silently: OnBroken is not called.
  void Shutdown();

  const std::string& address() const { return settings_.address; }
  std::uint64_t serial() const { return settings_.serial; }
  bool ready() const { return state_ == State::kReady; }
  TimePoint last_received() const { return last_received_; }

  // Whether the node takes that many bytes more in flight on one connection.
  bool HasRoom(std::size_t bytes) const { return held_bytes() + bytes <= max_pending_bytes_; }
  // In flight, or queued for a call that was abandoned meanwhile: while a node does not read, these
  // would grow without limit.
  std::size_t held_bytes() const { return std::max(pending_bytes_, out_.size() + writing_.size()); }
  std::size_t max_pending_bytes() const { return max_pending_bytes_; }

  // Ready connections only. The request leaves with all others of this pass of the loop, in one
  // write.
  void Send(Call& call, Codec& codec, std::uint32_t deadline_ms);
  // Forgets a pending call: a reply that comes later is dropped. Its frame still leaves, so that a
  // write released from a connection that lives on may yet be executed.
  void Release(Call& call);
  std::vector<Call*> Pending() const;
  // Whether the whole request may have left, if the connection ends now: what is still queued dies
  // with it, and a node cannot execute part of one.
  bool MaybeSent(const Call& call) const { return call.stream_end <= stream_handed_over_; }

 private:
  enum class State { kDialling, kHello, kReady, kBroken };

  struct Slot {
    Call* call = nullptr;
    std::uint32_t generation = 1;  // so that the late reply to an abandoned request is told apart
  };

  void Connect(const Lookup::Endpoints& endpoints);
  void OnConnected(const boost::system::error_code& error);
  void Read();
  void OnRead(const boost::system::error_code& error, std::size_t bytes);
  // False: the connection broke.
  bool TakeFrames();
  bool TakeHello(const wire::Frame& frame);
  bool TakeReply(const wire::Frame& frame);
  void MakeRoom(std::size_t needed);
  void ScheduleFlush();
  void Flush();
  void FlushRest(std::size_t written);
  void Break(ErrorCode code, std::string text);
  void CloseSocket();

  boost::asio::io_context& loop_;
  ConnectionOwner& owner_;
  std::weak_ptr<void> guard_;
  Settings settings_;
  State state_ = State::kDialling;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer dial_timer_;
  std::shared_ptr<Lookup> lookup_;

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t pending_bytes_ = 0;
  std::size_t max_pending_bytes_ = std::size_t{64} << 20;  // until the node has said
  TimePoint last_received_{};

  // Received and not yet parsed: in_[in_begin_, in_end_).
  std::vector<char> in_;
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;

  std::string out_;      // queued
  std::string writing_;  // being written
  bool write_active_ = false;
  bool flush_scheduled_ = false;
  std::uint64_t stream_queued_ = 0;       // bytes ever appended to out_
  std::uint64_t stream_handed_over_ = 0;  // bytes of these that may have left
};

}  // namespace quorate::internal
