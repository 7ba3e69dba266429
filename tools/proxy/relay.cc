#include "tools/proxy/relay.h"

#include <utility>

namespace quorate::proxy {
namespace {

using Tcp = boost::asio::ip::tcp;
using boost::system::error_code;

void Tune(Tcp::socket& socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.set_option(Tcp::no_delay(true), ignored);
}

void End(Tcp::socket& socket, Relay::How how) {
  error_code ignored;
  if (how == Relay::How::kReset) {
    socket.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  }
  socket.close(ignored);
}

}  // namespace

Relay::Relay(Tcp::socket dialler, Setup setup)
    : setup_(std::move(setup)),
      dialler_(std::move(dialler)),
      target_(dialler_.get_executor()),
      forward_({dialler_, target_}, {setup_.faults.forward, setup_.counters.forward}, setup_.seed,
               setup_.buffer, [this] { OnPipeChange(); }),
      backward_({target_, dialler_}, {setup_.faults.backward, setup_.counters.backward},
                ~setup_.seed, setup_.buffer, [this] { OnPipeChange(); }) {}

void Relay::Start(const Tcp::endpoint& target) {
  Tune(dialler_);
  target_.async_connect(target, [this, keep = shared_from_this()](const error_code& error) {
    if (!closed_) OnConnected(error);
  });
}

void Relay::OnConnected(const error_code& error) {
  if (error) {
    ++setup_.counters.unreachable;
    Close(How::kReset);
    return setup_.on_end(this);
  }
  connected_ = true;
  Tune(target_);
  forward_.Start(shared_from_this());
  backward_.Start(shared_from_this());
}

void Relay::Continue() {
  if (!connected_ || closed_) return;
  const auto keep = shared_from_this();
  forward_.Continue();
  if (!closed_) backward_.Continue();
}

void Relay::Close(How how) {
  if (closed_) return;
  closed_ = true;
  forward_.Stop();
  backward_.Stop();
  End(dialler_, how);
  End(target_, how);
}

// Passes the end of one side on to the other, unless that is what the fault keeps from arriving.
void Relay::OnPipeChange() {
  if (closed_) return;
  const auto keep = shared_from_this();
  error_code ignored;
  const bool reset =
      (forward_.ended() && forward_.broken()) || (backward_.ended() && backward_.broken());
  if (forward_.ended() && !std::exchange(forward_shut_, true)) {
    target_.shutdown(Tcp::socket::shutdown_send, ignored);
  }
  if (backward_.ended() && !std::exchange(backward_shut_, true)) {
    dialler_.shutdown(Tcp::socket::shutdown_send, ignored);
  }
  if (!reset && !(forward_shut_ && backward_shut_)) return;
  Close(reset ? How::kReset : How::kClose);
  setup_.on_end(this);
}

}  // namespace quorate::proxy
