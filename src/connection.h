// One TCP connection that carries frames: the only place that reads and writes sockets of clients
// and peers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "client/proto/frame.h"
#include "raft/types.h"

namespace quorate::server {

class Loop;

// What a connection tells its owner. A call may Close() the connection.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  // The views in `frame` die with the call.
  virtual void OnFrame(const wire::Frame& frame) = 0;
  // Bytes that are no frame; nothing more is read. `length`: what the length field said, 0 if
  // unknown.
  virtual void OnBadFrame(wire::FrameStatus status, std::size_t length) = 0;
  // The other side closed, or the connection broke. Not called for the owner's own Close().
  virtual void OnClosed(const std::string& why) = 0;
  // Reading is paused and all output is gone.
  virtual void OnDrained() {}
};

// An idle connection holds no buffers: all receive into the loop's. For the loop's thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `max_frame_bytes` limits the `length` field of what the other side sends. `socket` must be
  // open.
  Connection(Loop& loop, boost::asio::ip::tcp::socket socket, std::size_t max_frame_bytes);

  // `events` must outlive the connection or be told goodbye with Close().
  void Start(ConnectionEvents& events);

  // Append frames here; they are written at the end of the loop's pass.
  std::string& Output();
  std::size_t queued_bytes() const { return output_.size() - written_; }
  // For the loop, at the end of a pass. May end in OnDrained() or OnClosed().
  void Flush();
  // Writes what the kernel takes now, from within a handler. No event follows from it.
  void FlushNow();

  // Frames already received wait, the rest stays in the kernel's buffer.
  void PauseReading() { paused_ = true; }
  void ResumeReading();
  bool paused() const { return paused_; }

  // At once; no event follows.
  void Close();
  // Writes what is queued, then closes, letting the other side read the last words (a close with
  // unread input would reset the connection and destroy them). Bounded by `kLingerTime`. No event
  // follows.
  void CloseAfterFlush();
  bool closed() const { return state_ == State::kClosed; }

  // When the last byte was accepted by the kernel, or output was empty.
  raft::Time last_progress() const { return last_progress_; }
  std::string RemoteAddress() const;

 private:
  enum class State { kOpen, kLastWords, kLingering, kClosed };

  enum class Written { kAll, kBlocked, kBroken };

  Written WriteSome();
  void ArmRead();
  void ArmWrite();
  void OnReadable();
  void Consume(std::string_view received);
  std::size_t TakeFrames(std::string_view data);
  void FinishLastWords();
  void Fail(const std::string& why);

  Loop& loop_;
  boost::asio::ip::tcp::socket socket_;
  const std::size_t max_frame_bytes_;
  ConnectionEvents* events_ = nullptr;
  State state_ = State::kOpen;
  bool paused_ = false;
  bool read_armed_ = false;
  bool write_armed_ = false;
  bool flush_queued_ = false;
  std::string partial_;  // received and not taken: less than one frame, unless paused
  std::string output_;
  std::size_t written_ = 0;  // of output_
  raft::Time last_progress_{0};
};

// TCP_NODELAY, keepalive, and an end to a link whose packets vanish after `unacknowledged`.
void TuneSocket(boost::asio::ip::tcp::socket& socket, raft::Duration unacknowledged);

}  // namespace quorate::server
