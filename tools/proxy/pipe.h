// One direction of a relayed connection: reads, applies the faults, writes.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>

#include "tools/proxy/faults.h"
#include "tools/proxy/frame_cutter.h"

namespace quorate::proxy {

// What one direction may hold: this, and one frame. Beyond it the sender waits, as it does for TCP.
inline constexpr std::size_t kMaxQueuedBytes = 4 << 20;

class Pipe {
 public:
  using Socket = boost::asio::ip::tcp::socket;

  struct Ends {
    Socket& from;
    Socket& to;
  };
  struct Conditions {  // of the link; outlive the pipe
    const Faults& faults;
    DirectionCounters& counters;
  };

  // `buffer` is where it reads, shared by all. `on_change` is called when something has ended.
  Pipe(Ends ends, Conditions conditions, std::uint64_t seed, std::span<char> buffer,
       std::function<void()> on_change);

  // `keep` holds the owner alive while a handler waits.
  void Start(const std::shared_ptr<void>& keep);
  // After the faults have changed.
  void Continue();
  void Stop();

  // The source has ended, and that may be known on the other side by now.
  bool ended() const { return source_ended_ && faults_.MayPass() && Drained(); }
  bool broken() const { return source_broken_; }  // with an error, not a close

 private:
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };

  bool Drained() const { return queue_.empty() && written_ == output_.size(); }
  void ArmRead();
  void OnReadable();
  void OnSourceEnd(bool broken);
  void OnPiece(const Piece& piece);
  bool Happens(double chance);
  Clock::time_point Due(std::size_t bytes);
  void Enqueue(std::string_view bytes, Clock::time_point due);
  void Flush();
  void Write();
  void ArmWrite();
  void ArmTimer();
  std::shared_ptr<void> Keep() const { return keep_.lock(); }

  Socket& from_;
  Socket& to_;
  const Faults& faults_;
  DirectionCounters& counters_;
  std::span<char> buffer_;
  std::function<void()> on_change_;
  std::weak_ptr<void> keep_;
  std::minstd_rand random_;
  FrameCutter cutter_;
  boost::asio::steady_timer timer_;
  std::deque<Chunk> queue_;  // in the order of `due`
  std::size_t queued_bytes_ = 0;
  Clock::time_point last_due_{};
  Clock::time_point line_free_{};  // when the bytes so far are through, at bytes_per_second
  std::string output_;             // due
  std::size_t written_ = 0;        // of output_
  bool read_armed_ = false;
  bool write_armed_ = false;
  bool source_ended_ = false;
  bool source_broken_ = false;
  bool sink_broken_ = false;
  bool stopped_ = false;
};

}  // namespace quorate::proxy
