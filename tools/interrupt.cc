#include "tools/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "tools/exit_code.h"

namespace quorate::tools {

Interrupt::Interrupt() : signals_(loop_, SIGINT, SIGTERM) {
  Wait();
  thread_ = std::thread([this] { loop_.run(); });
}

Interrupt::~Interrupt() {
  loop_.stop();
  thread_.join();
}

void Interrupt::SetHandler(std::function<void()> handler) {
  const std::lock_guard lock(mutex_);
  handler_ = std::move(handler);
}

void Interrupt::Wait() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    OnSignal();
    Wait();
  });
}

void Interrupt::OnSignal() {
  const bool again = raised_.exchange(true);
  const std::lock_guard lock(mutex_);
  // Not exit(): destructors would run under the feet of the other threads.
  if (again || handler_ == nullptr) ::_exit(kExitInterrupted);
  handler_();
}

}  // namespace quorate::tools
