#include "src/connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "src/clock.h"
#include "src/loop.h"

namespace quorate::server {
namespace {

constexpr std::size_t kKeepCapacity =
    32 << 10;  // a buffer that grew beyond this is given back when empty
constexpr std::size_t kSmallFrameBytes = 64 << 10;  // arrives even if the budget is full
constexpr std::chrono::seconds kLingerTime{2};

using Tcp = boost::asio::ip::tcp;

void EmptyBuffer(std::string& buffer) {
  if (buffer.capacity() > kKeepCapacity) {
    std::string().swap(buffer);
  } else {
    buffer.clear();
  }
}

}  // namespace

Connection::Connection(Loop& loop, Tcp::socket socket, std::size_t max_frame_bytes)
    : loop_(loop), socket_(std::move(socket)), max_frame_bytes_(max_frame_bytes) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
}

void Connection::Start(ConnectionEvents& events) {
  events_ = &events;
  last_progress_ = BootTime();
  ArmRead();
}

std::string& Connection::Output() {
  if (!flush_queued_ && state_ != State::kClosed) {
    flush_queued_ = true;
    loop_.FlushSoon(shared_from_this());
  }
  return output_;
}

Connection::Written Connection::WriteSome() {
  if (write_armed_) return Written::kBlocked;
  while (written_ < output_.size()) {
    const ssize_t sent = ::send(socket_.native_handle(), output_.data() + written_,
                                output_.size() - written_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Written::kBlocked : Written::kBroken;
    }
    written_ += static_cast<std::size_t>(sent);
    last_progress_ = BootTime();
  }
  EmptyBuffer(output_);
  written_ = 0;
  return Written::kAll;
}

void Connection::FlushNow() {
  if (state_ != State::kClosed) WriteSome();  // what becomes of it is seen at the end of the pass
  Account();
}

void Connection::Account() {
  if (!budget_) return;
  const std::size_t held = partial_.size() + queued_bytes();
  budget_->used += held;
  budget_->used -= std::exchange(accounted_, held);
}

void Connection::Flush() {
  flush_queued_ = false;
  if (state_ == State::kClosed) return;
  const Written written = WriteSome();
  Account();
  switch (written) {
    case Written::kBlocked:
      if (write_armed_) return;
      last_progress_ = BootTime();  // the wait begins here, however long nothing was said before
      return ArmWrite();
    case Written::kBroken:
      return Fail(std::strerror(errno));
    case Written::kAll:
      break;
  }
  if (state_ == State::kLastWords) return FinishLastWords();
  if (paused_ && events_ != nullptr) events_->OnDrained();
}

void Connection::ArmWrite() {
  if (written_ >= kKeepCapacity && written_ * 2 >= output_.size()) {
    output_.erase(0, written_);
    written_ = 0;
  }
  write_armed_ = true;
  socket_.async_wait(Tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code&) {
                       self->write_armed_ = false;
                       self->Flush();
                     });
}

void Connection::ArmRead() {
  if (read_armed_ || state_ == State::kClosed) return;
  read_armed_ = true;
  socket_.async_wait(Tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code&) {
                       self->read_armed_ = false;
                       self->OnReadable();
                     });
}

void Connection::OnReadable() {
  if (state_ == State::kClosed || (paused_ && state_ == State::kOpen)) return;
  const std::span<char> buffer = loop_.receive_buffer();
  // One receive per turn: a connection that always has more waits for the others.
  const ssize_t received =
      ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (received == 0) return Fail("closed by the other side");
  if (received < 0) {
    if (errno != EAGAIN && errno != EINTR) return Fail(std::strerror(errno));
  } else if (state_ == State::kOpen) {
    Consume({buffer.data(), static_cast<std::size_t>(received)});
  }
  if (!paused_ || state_ != State::kOpen) ArmRead();
}

void Connection::ResumeReading() {
  if (!std::exchange(paused_, false) || state_ != State::kOpen) return;
  Consume({});
  if (!paused_) ArmRead();
}

void Connection::Consume(std::string_view received) {
  TakeUp(received);
  Account();
  if (partial_.empty() || state_ != State::kOpen) return;
  last_received_ = BootTime();
  if (paused_ || partial_.size() <= kSmallFrameBytes || !budget_ || !budget_->Full()) return;
  paused_ = true;
  events_->OnOverBudget();
}

void Connection::TakeUp(std::string_view received) {
  if (partial_.empty()) {
    received.remove_prefix(TakeFrames(received));
    if (state_ == State::kOpen) partial_.assign(received);
    return;
  }
  partial_.append(received);
  // Taken out while frames point into it: an event may close the connection or pause it.
  std::string data = std::move(partial_);
  partial_.clear();
  const std::size_t taken = TakeFrames(data);
  if (state_ != State::kOpen) return;
  data.erase(0, taken);
  if (data.empty()) EmptyBuffer(data);
  partial_ = std::move(data);
}

std::size_t Connection::TakeFrames(std::string_view data) {
  std::size_t taken = 0;
  while (state_ == State::kOpen && !paused_ && taken < data.size()) {
    wire::Frame frame;
    std::size_t needed = 0;
    const auto status = wire::ParseFrame(data.substr(taken), max_frame_bytes_, frame, needed);
    if (status == wire::FrameStatus::kIncomplete) break;
    if (status != wire::FrameStatus::kComplete) {
      std::uint32_t length = 0;
      if (data.size() - taken >= sizeof length) {
        std::memcpy(&length, data.data() + taken, sizeof length);
      }
      paused_ = true;
      events_->OnBadFrame(status, length);
      break;
    }
    taken += frame.total_bytes;
    events_->OnFrame(frame);
  }
  return taken;
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  events_ = nullptr;
  boost::system::error_code ignored;
  socket_.close(ignored);
  std::string().swap(partial_);
  std::string().swap(output_);
  written_ = 0;
  Account();
}

void Connection::CloseAfterFlush() {
  if (state_ != State::kOpen) return;
  state_ = State::kLastWords;
  events_ = nullptr;
  paused_ = false;
  std::string().swap(partial_);
  auto timer = std::make_shared<boost::asio::steady_timer>(loop_.io(), kLingerTime);
  timer->async_wait(
      [self = shared_from_this(), timer](const boost::system::error_code&) { self->Close(); });
  Output();
  ArmRead();
}

void Connection::FinishLastWords() {
  state_ = State::kLingering;
  boost::system::error_code ignored;
  socket_.shutdown(Tcp::socket::shutdown_send, ignored);
}

void Connection::Fail(const std::string& why) {
  ConnectionEvents* events = std::exchange(events_, nullptr);
  const auto self = shared_from_this();
  Close();
  if (events != nullptr) events->OnClosed(why);
}

std::string Connection::RemoteAddress() const {
  boost::system::error_code error;
  const auto endpoint = socket_.remote_endpoint(error);
  if (error) return "unknown";
  return endpoint.address().to_string() + ":" + std::to_string(endpoint.port());
}

void TuneSocket(Tcp::socket& socket, raft::Duration unacknowledged) {
  const int fd = socket.native_handle();
  const auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
  };
  const int millis = static_cast<int>(unacknowledged.count() / 1000);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, millis);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  const int seconds = std::max(1, millis / 1000);
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace quorate::server
