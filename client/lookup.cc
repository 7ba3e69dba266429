#include "client/lookup.h"

#include <boost/asio/post.hpp>
#include <charconv>
#include <thread>
#include <utility>

namespace quorate::internal {

namespace asio = boost::asio;

std::optional<HostPort> ParseHostPort(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool valid = error == std::errc() && end == port.data() + port.size() && number >= 1 &&
                     number <= 65535 && !host.empty();
  if (!valid) return std::nullopt;
  return HostPort{.host = std::string(host), .port = std::string(port)};
}

void Lookup::Start(HostPort address, Done done) {
  done_ = std::move(done);
  std::thread([self = shared_from_this(), address = std::move(address)] {
    asio::io_context unused;
    asio::ip::tcp::resolver resolver(unused);
    boost::system::error_code error;
    const auto found = resolver.resolve(address.host, address.port, error);
    Endpoints endpoints;
    for (const auto& entry : found) endpoints.push_back(entry.endpoint());
    const std::lock_guard lock(self->mutex_);
    if (self->done_ == nullptr) return;
    asio::post(self->loop_, [self, error, endpoints = std::move(endpoints)]() mutable {
      Done ready;
      {
        const std::lock_guard taking(self->mutex_);
        ready = std::exchange(self->done_, nullptr);
      }
      if (ready != nullptr) ready(error, std::move(endpoints));
    });
  }).detach();
}

void Lookup::Cancel() {
  Done dropped;  // destroyed without the lock
  const std::lock_guard lock(mutex_);
  dropped = std::exchange(done_, nullptr);
}

}  // namespace quorate::internal
