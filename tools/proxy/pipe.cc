#include "tools/proxy/pipe.h"

#include <algorithm>
#include <utility>

namespace quorate::proxy {
namespace {

using boost::system::error_code;
using std::chrono::microseconds;

bool IsGreeting(wire::FrameType type) {
  return type == wire::FrameType::kHello || type == wire::FrameType::kPeerHello;
}

}  // namespace

Pipe::Pipe(Ends ends, Conditions conditions, std::uint64_t seed, std::span<char> buffer,
           std::function<void()> on_change)
    : from_(ends.from),
      to_(ends.to),
      faults_(conditions.faults),
      counters_(conditions.counters),
      buffer_(buffer),
      on_change_(std::move(on_change)),
      random_(static_cast<std::minstd_rand::result_type>(seed ^ seed >> 32)),
      timer_(ends.from.get_executor()) {}

void Pipe::Start(const std::shared_ptr<void>& keep) {
  keep_ = keep;
  ArmRead();
}

void Pipe::Continue() {
  if (stopped_ || keep_.expired()) return;
  // A frame that was wanted whole may go on in parts.
  cutter_.Take({}, faults_.NeedsFrames(), [this](const Piece& piece) { OnPiece(piece); });
  Flush();
  ArmRead();
}

void Pipe::Stop() {
  stopped_ = true;
  timer_.cancel();
}

void Pipe::ArmRead() {
  const bool room = queued_bytes_ + output_.size() - written_ < kMaxQueuedBytes;
  if (stopped_ || read_armed_ || source_ended_ || !room || faults_.flow == Flow::kStall) return;
  read_armed_ = true;
  from_.async_wait(Socket::wait_read, [this, keep = Keep()](const error_code& error) {
    read_armed_ = false;
    if (!error && !stopped_) OnReadable();
  });
}

void Pipe::OnReadable() {
  if (faults_.flow == Flow::kStall) return;
  error_code error;
  const std::size_t bytes =
      from_.read_some(boost::asio::buffer(buffer_.data(), buffer_.size()), error);
  if (error == boost::asio::error::would_block) return ArmRead();
  if (error) return OnSourceEnd(error != boost::asio::error::eof);
  counters_.bytes += bytes;
  const std::uint64_t before = cutter_.frames();
  cutter_.Take({buffer_.data(), bytes}, faults_.NeedsFrames(),
               [this](const Piece& piece) { OnPiece(piece); });
  counters_.frames += cutter_.frames() - before;
  Flush();
  ArmRead();
}

void Pipe::OnSourceEnd(bool broken) {
  source_ended_ = true;
  source_broken_ = broken;
  Flush();
}

void Pipe::OnPiece(const Piece& piece) {
  const bool frame = piece.frame;
  if (faults_.flow == Flow::kVanish && (frame || cutter_.raw())) {
    counters_.vanished_bytes += piece.bytes.size();
    return;
  }
  const bool exempt = !frame || IsGreeting(piece.type);
  if (!exempt && Happens(faults_.drop)) {
    ++counters_.dropped;
    return;
  }
  Clock::time_point due = Due(piece.bytes.size());
  // What is no frame must not be cut in two by a frame that was held back.
  if (!frame && !queue_.empty()) due = std::max(due, queue_.back().due);
  last_due_ = due;
  if (!exempt && Happens(faults_.reorder)) {
    ++counters_.reordered;
    due += faults_.reorder_by;
  }
  Enqueue(piece.bytes, due);
  if (!exempt && Happens(faults_.duplicate)) {
    ++counters_.duplicated;
    Enqueue(piece.bytes, due);
  }
}

bool Pipe::Happens(double chance) {
  if (chance <= 0) return false;
  return std::uniform_real_distribution<double>(0, 1)(random_) < chance;
}

// When the bytes come out at the other end of the line. Never before those sent earlier.
Clock::time_point Pipe::Due(std::size_t bytes) {
  const auto now = Clock::now();
  auto sent = now;
  if (faults_.bytes_per_second > 0) {
    const double seconds =
        static_cast<double>(bytes) / static_cast<double>(faults_.bytes_per_second);
    line_free_ = std::max(line_free_, now) + std::chrono::duration_cast<Clock::duration>(
                                                 std::chrono::duration<double>(seconds));
    sent = line_free_;
  }
  auto delay = faults_.delay;
  if (faults_.jitter.count() > 0) {
    delay += microseconds(
        std::uniform_int_distribution<std::int64_t>(0, faults_.jitter.count())(random_));
  }
  return std::max(sent + delay, last_due_);
}

void Pipe::Enqueue(std::string_view bytes, Clock::time_point due) {
  if (sink_broken_) return;
  if (queue_.empty() && due <= Clock::now()) {
    output_.append(bytes);
    return;
  }
  auto at = queue_.end();
  while (at != queue_.begin() && std::prev(at)->due > due) --at;
  queue_.insert(at, {due, std::string(bytes)});
  queued_bytes_ += bytes.size();
}

void Pipe::Flush() {
  if (stopped_) return;
  const auto now = Clock::now();
  while (!queue_.empty() && queue_.front().due <= now) {
    output_.append(queue_.front().bytes);
    queued_bytes_ -= queue_.front().bytes.size();
    queue_.pop_front();
  }
  if (faults_.flow != Flow::kStall) Write();
  ArmTimer();
  if (source_ended_) on_change_();
}

void Pipe::Write() {
  while (written_ < output_.size() && !sink_broken_ && !write_armed_) {
    error_code error;
    written_ += to_.write_some(
        boost::asio::buffer(output_.data() + written_, output_.size() - written_), error);
    if (error == boost::asio::error::would_block) {
      output_.erase(0, std::exchange(written_, 0));
      return ArmWrite();
    }
    // The other direction reads from the same socket, and will see its end.
    if (error) sink_broken_ = true;
  }
  if (sink_broken_) {
    queue_.clear();
    queued_bytes_ = 0;
  }
  if (sink_broken_ || written_ == output_.size()) {
    output_.clear();
    written_ = 0;
  }
}

void Pipe::ArmWrite() {
  write_armed_ = true;
  to_.async_wait(Socket::wait_write, [this, keep = Keep()](const error_code& error) {
    write_armed_ = false;
    if (error || stopped_) return;
    Flush();
    ArmRead();
  });
}

void Pipe::ArmTimer() {
  if (queue_.empty()) return;
  timer_.expires_at(queue_.front().due);
  timer_.async_wait([this, keep = Keep()](const error_code& error) {
    if (error || stopped_) return;
    Flush();
    ArmRead();
  });
}

}  // namespace quorate::proxy
