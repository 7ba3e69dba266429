// One TCP connection that carries frames: the only place that reads and writes sockets of clients
// and peers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "client/proto/frame.h"
#include "raft/types.h"

namespace quorate::server {

class Loop;

// What connections hold in memory together: frames that are not complete yet, and output that the
// other side has not taken. Their owner adds what else it holds for them.
struct MemoryBudget {
  std::size_t used = 0;
  std::size_t limit = 0;
  bool Full() const { return used >= limit; }
};

// What a connection tells its owner. A call may Close() the connection.
class ConnectionEvents {
 public:
  virtual ~ConnectionEvents() = default;
  // The views in `frame` die with the call.
  virtual void OnFrame(const wire::Frame& frame) = 0;
  // Bytes that are no frame; nothing more is read. `length`: what the length field said, 0 if
  // unknown.
  virtual void OnBadFrame(wire::FrameStatus status, std::size_t length) = 0;
  // A large frame has begun to arrive and the budget is full; nothing more is read.
  virtual void OnOverBudget() {}
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

  // Before Start(). Not counted by default.
  void ShareBudget(std::shared_ptr<MemoryBudget> budget) { budget_ = std::move(budget); }
  // `events` must outlive the connection or be told goodbye with Close().
  void Start(ConnectionEvents& events);

  // Append frames here; they are written at the end of the loop's pass.
  std::string& Output();
  std::size_t queued_bytes() const { return output_.size() - written_; }
  // Counts what has been appended before the end of the pass does.
  void Account();
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

  // Since when the other side has not taken the output; nothing if none waits for it.
  std::optional<raft::Time> blocked_since() const {
    if (!write_armed_ || output_.empty()) return std::nullopt;
    return last_progress_;
  }
  // When the last byte of a frame came that is still incomplete; nothing if there is none, or if
  // it is this side that does not read.
  std::optional<raft::Time> waiting_since() const {
    if (partial_.empty() || paused_) return std::nullopt;
    return last_received_;
  }
  std::string RemoteAddress() const;

 private:
  enum class State { kOpen, kLastWords, kLingering, kClosed };

  enum class Written { kAll, kBlocked, kBroken };

  Written WriteSome();
  void ArmRead();
  void ArmWrite();
  void OnReadable();
  void Consume(std::string_view received);
  void TakeUp(std::string_view received);
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
  raft::Time last_received_{0};  // while partial_ is not empty
  std::shared_ptr<MemoryBudget> budget_;
  std::size_t accounted_ = 0;  // of budget_->used
};

// TCP_NODELAY, keepalive, and an end to a link whose packets vanish after `unacknowledged`.
void TuneSocket(boost::asio::ip::tcp::socket& socket, raft::Duration unacknowledged);

}  // namespace quorate::server
