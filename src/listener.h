// A listening socket.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "src/address.h"
#include "storage/result.h"

namespace quorate::server {

// For the loop's thread.
class Listener {
 public:
  using Accepted = std::function<void(boost::asio::ip::tcp::socket)>;

  // Takes the address without accepting anything yet. The error says whether the port is in use or
  // the address is not this machine's; `what` names the address for people, e.g. "--client-addr".
  static storage::Result<std::unique_ptr<Listener>> Bind(boost::asio::io_context& io,
                                                         const HostPort& address,
                                                         const std::string& what);

  storage::Status Start(Accepted accepted);
  void Stop();
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  explicit Listener(boost::asio::io_context& io) : acceptor_(io), retry_(io) {}
  void AcceptNext();

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  Accepted accepted_;
};

}  // namespace quorate::server
