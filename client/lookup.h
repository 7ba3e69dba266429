// Host names, without Asio's resolver: it joins its thread on destruction, and getaddrinfo can take
// minutes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::internal {

struct HostPort {
  std::string host;  // a name, or a numeric address without brackets
  std::string port;
};

// "host:port" or "[v6]:port". Nothing if it is neither or the port is not within 1..65535.
std::optional<HostPort> ParseHostPort(std::string_view address);

// One lookup on a detached thread, which may outlive everything but this object.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;
  using Done = std::function<void(boost::system::error_code, Endpoints)>;

  explicit Lookup(boost::asio::io_context& loop) : loop_(loop) {}

  // Calls `done` on the loop, unless cancelled.
  void Start(HostPort address, Done done);

  // `done` is destroyed, and neither it nor the loop is touched after this has returned.
  void Cancel();

 private:
  std::mutex mutex_;
  boost::asio::io_context& loop_;  // not touched once `done_` is gone
  Done done_;                      // gone once called or cancelled, with all that it keeps alive
};

}  // namespace quorate::internal
