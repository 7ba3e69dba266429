#include "tools/interrupt.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "tools/exit_code.h"

namespace quorate::tools {
namespace {

// timeout(1) and other wrappers signal the process and then its group: two signals, one wish. To
// take the second for impatience would end the process before it has said what it did.
constexpr std::chrono::milliseconds kOneWish{300};

}  // namespace

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
  const auto now = std::chrono::steady_clock::now();
  const bool again = raised_;
  if (again && now - first_at_ < kOneWish) return;
  if (!again) first_at_ = now;
  raised_ = true;
  const std::lock_guard lock(mutex_);
  // Not exit(): destructors would run under the feet of the other threads.
  if (again || handler_ == nullptr) ::_exit(kExitInterrupted);
  handler_();
}

}  // namespace quorate::tools
