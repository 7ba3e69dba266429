#include "client/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <utility>

namespace quorate::internal {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadBytes = 64 << 10;
// Buffers that a burst has grown beyond this are given back once they are empty.
constexpr std::size_t kKeepBytes = 512 << 10;
constexpr std::uint64_t kHelloRequest = 0;  // slots start with generation 1: their ids are never 0
constexpr std::size_t kMaxClientNameBytes = 128;

std::uint32_t SlotOf(std::uint64_t request) {
  return static_cast<std::uint32_t>(request);
}
std::uint32_t GenerationOf(std::uint64_t request) {
  return static_cast<std::uint32_t>(request >> 32);
}

void Empty(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeepBytes) buffer.shrink_to_fit();
}

}  // namespace

Connection::Connection(asio::io_context& loop, ConnectionOwner& owner, std::weak_ptr<void> guard,
                       Settings settings)
    : loop_(loop),
      owner_(owner),
      guard_(std::move(guard)),
      settings_(std::move(settings)),
      socket_(loop),
      dial_timer_(loop),
      in_(kReadBytes) {}

// ---- Dial and Hello ----

void Connection::Dial() {
  dial_timer_.expires_after(settings_.dial_timeout);
  dial_timer_.async_wait([self = shared_from_this()](const error_code& error) {
    const auto keep = self->guard_.lock();
    if (error || !keep || self->state_ == State::kReady) return;
    self->Break(ErrorCode::kDeadline,
                "no answer within " + std::to_string(self->settings_.dial_timeout.count()) + " ms");
  });
  const std::optional<HostPort> address = ParseHostPort(settings_.address);
  if (!address) {
    asio::post(loop_, [self = shared_from_this()] {
      if (const auto keep = self->guard_.lock()) {
        self->Break(ErrorCode::kCannotConnect, "not a host:port address");
      }
    });
    return;
  }
  error_code error;
  const auto numeric = asio::ip::make_address(address->host, error);
  if (!error) {
    Connect({{numeric, static_cast<std::uint16_t>(std::stoul(address->port))}});
    return;
  }
  lookup_ = std::make_shared<Lookup>(loop_);
  lookup_->Start(*address, [self = shared_from_this()](const error_code& failed,
                                                       const Lookup::Endpoints& endpoints) {
    const auto keep = self->guard_.lock();
    if (!keep || self->state_ != State::kDialling) return;
    if (failed) return self->Break(ErrorCode::kCannotConnect, failed.message());
    self->Connect(endpoints);
  });
}

void Connection::Connect(const Lookup::Endpoints& endpoints) {
  asio::async_connect(
      socket_, endpoints,
      [self = shared_from_this()](const error_code& error, const asio::ip::tcp::endpoint&) {
        const auto keep = self->guard_.lock();
        if (keep && self->state_ == State::kDialling) self->OnConnected(error);
      });
}

void Connection::OnConnected(const error_code& error) {
  if (error) return Break(ErrorCode::kCannotConnect, error.message());
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  state_ = State::kHello;
  wire::HelloRequest hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_cluster_id(settings_.cluster_id);
  hello.set_client(settings_.client_name.substr(0, kMaxClientNameBytes));
  wire::AppendFrame(out_, wire::FrameType::kHello, 0, kHelloRequest, hello, std::string_view());
  stream_queued_ = out_.size();
  Read();
  Flush();
}

bool Connection::TakeHello(const wire::Frame& frame) {
  wire::HelloReply hello;
  if (frame.type != wire::FrameType::kHello || (frame.flags & wire::kFlagReply) == 0 ||
      !hello.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    Break(ErrorCode::kProtocol, "answered Hello with something else: not a Quorate client port?");
    return false;
  }
  if (hello.has_error()) {
    const Error error = ToError(hello.error(), false);
    Break(error.code, error.detail);
    return false;
  }
  if (const std::optional<Breakage> refused = owner_.OnHello(*this, hello)) {
    Break(refused->code, refused->text);
    return false;
  }
  if (hello.limits().in_flight_bytes() != 0) max_pending_bytes_ = hello.limits().in_flight_bytes();
  state_ = State::kReady;
  dial_timer_.cancel();
  owner_.OnReady(*this);
  return state_ == State::kReady;
}

// ---- Requests ----

void Connection::Send(Call& call, Codec& codec, std::uint32_t deadline_ms) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t at = free_slots_.back();
  free_slots_.pop_back();
  slots_[at].call = &call;
  call.connection = this;
  call.request = (std::uint64_t{slots_[at].generation} << 32) | at;
  const std::size_t before = out_.size();
  codec.AppendRequest(out_, call.request, call, deadline_ms);
  stream_queued_ += out_.size() - before;
  call.stream_end = stream_queued_;
  pending_bytes_ += call.counted_bytes;
  ScheduleFlush();
}

void Connection::Release(Call& call) {
  Slot& slot = slots_[SlotOf(call.request)];
  slot.call = nullptr;
  if (++slot.generation == 0) slot.generation = 1;
  free_slots_.push_back(SlotOf(call.request));
  pending_bytes_ -= call.counted_bytes;
  call.connection = nullptr;
}

std::vector<Call*> Connection::Pending() const {
  std::vector<Call*> calls;
  for (const Slot& slot : slots_) {
    if (slot.call != nullptr) calls.push_back(slot.call);
  }
  return calls;
}

// ---- Writing ----

void Connection::ScheduleFlush() {
  if (flush_scheduled_ || write_active_) return;
  flush_scheduled_ = true;
  asio::post(loop_, [self = shared_from_this()] {
    self->flush_scheduled_ = false;
    if (const auto keep = self->guard_.lock()) self->Flush();
  });
}

void Connection::Flush() {
  if (state_ == State::kBroken || write_active_ || out_.empty()) return;
  writing_.swap(out_);
  error_code error;
  const std::size_t written = socket_.write_some(asio::buffer(writing_), error);
  if (error && error != asio::error::would_block) {
    return Break(ErrorCode::kConnectionLost, error.message());
  }
  if (!error && written == writing_.size()) {
    stream_handed_over_ = stream_queued_;
    return Empty(writing_);
  }
  FlushRest(error ? 0 : written);
}

void Connection::FlushRest(std::size_t written) {
  write_active_ = true;
  stream_handed_over_ = stream_queued_;
  asio::async_write(socket_, asio::buffer(writing_) + written,
                    [self = shared_from_this()](const error_code& failed, std::size_t) {
                      const auto keep = self->guard_.lock();
                      if (!keep || self->state_ == State::kBroken) return;
                      if (failed) return self->Break(ErrorCode::kConnectionLost, failed.message());
                      self->write_active_ = false;
                      Empty(self->writing_);
                      self->Flush();
                    });
}

// ---- Reading ----

void Connection::Read() {
  socket_.async_read_some(asio::buffer(in_.data() + in_end_, in_.size() - in_end_),
                          [self = shared_from_this()](const error_code& error, std::size_t bytes) {
                            const auto keep = self->guard_.lock();
                            if (keep && self->state_ != State::kBroken) self->OnRead(error, bytes);
                          });
}

void Connection::OnRead(const error_code& error, std::size_t bytes) {
  if (error) {
    const bool closed = error == asio::error::eof;
    const auto code =
        state_ == State::kReady ? ErrorCode::kConnectionLost : ErrorCode::kCannotConnect;
    return Break(code, closed ? "the node closed the connection" : error.message());
  }
  in_end_ += bytes;
  last_received_ = Clock::now();
  // Requests that the handlers of these replies start leave right after, in one write.
  const bool scheduled = std::exchange(flush_scheduled_, true);
  const bool intact = TakeFrames();
  flush_scheduled_ = scheduled;
  if (!intact) return;
  Flush();
  if (state_ != State::kBroken) Read();
}

bool Connection::TakeFrames() {
  for (;;) {
    wire::Frame frame;
    std::size_t needed = 0;
    const std::string_view unread(in_.data() + in_begin_, in_end_ - in_begin_);
    switch (wire::ParseFrame(unread, wire::kMaxClientFrameBytes, frame, needed)) {
      case wire::FrameStatus::kComplete:
        break;
      case wire::FrameStatus::kIncomplete:
        MakeRoom(needed);
        return true;
      case wire::FrameStatus::kTooLarge:
      case wire::FrameStatus::kMalformed:
        Break(state_ == State::kReady ? ErrorCode::kConnectionLost : ErrorCode::kProtocol,
              "sent bytes that are not a frame: not a Quorate client port?");
        return false;
    }
    const bool taken = state_ == State::kHello ? TakeHello(frame) : TakeReply(frame);
    if (!taken || state_ == State::kBroken) return false;
    in_begin_ += frame.total_bytes;
  }
}

bool Connection::TakeReply(const wire::Frame& frame) {
  const std::uint32_t at = SlotOf(frame.request_id);
  const bool known = at < slots_.size() && slots_[at].call != nullptr &&
                     slots_[at].generation == GenerationOf(frame.request_id);
  const bool sound =
      (frame.flags & wire::kFlagReply) != 0 && (!known || frame.type == slots_[at].call->type);
  if (!sound || (known && !owner_.OnReply(*this, *slots_[at].call, frame))) {
    Break(ErrorCode::kConnectionLost, "sent a malformed reply");
    return false;
  }
  return true;
}

void Connection::MakeRoom(std::size_t needed) {
  const std::size_t unread = in_end_ - in_begin_;
  if (in_begin_ > 0) {
    std::memmove(in_.data(), in_.data() + in_begin_, unread);
    in_begin_ = 0;
    in_end_ = unread;
  }
  if (needed > in_.size()) in_.resize(needed);
  if (unread == 0 && in_.size() > kKeepBytes) {
    in_.resize(kReadBytes);
    in_.shrink_to_fit();
  }
}

// ---- The end ----

void Connection::Break(ErrorCode code, std::string text) {
  if (state_ == State::kBroken) return;
  CloseSocket();
  owner_.OnBroken(*this, Breakage{.code = code, .text = std::move(text)});
}

void Connection::Shutdown() {
  if (state_ != State::kBroken) CloseSocket();
}

void Connection::CloseSocket() {
  state_ = State::kBroken;
  error_code ignored;
  socket_.close(ignored);
  dial_timer_.cancel();
  if (lookup_ != nullptr) lookup_->Cancel();
}

}  // namespace quorate::internal
