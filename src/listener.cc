#include "src/listener.h"

#include <utility>

namespace quorate::server {
namespace {

using Tcp = boost::asio::ip::tcp;
constexpr std::chrono::milliseconds kRetryAccept{100};

tl::unexpected<storage::Error> CannotListen(const HostPort& address, const std::string& what,
                                            const boost::system::error_code& error) {
  std::string why = error.message();
  if (error == boost::asio::error::address_in_use) {
    why = "the port is in use by another process; stop it or choose another port";
  } else if (error == boost::system::errc::address_not_available) {
    why = "the address does not belong to this machine";
  } else if (error == boost::asio::error::access_denied) {
    why = "not permitted; ports below 1024 need privileges";
  }
  return storage::Fail(storage::ErrorCode::kInvalid,
                       "cannot listen on " + what + " " + address.ToString() + ": " + why);
}

}  // namespace

storage::Result<std::unique_ptr<Listener>> Listener::Bind(boost::asio::io_context& io,
                                                          const HostPort& address,
                                                          const std::string& what) {
  boost::system::error_code error;
  Tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(address.host, std::to_string(address.port), Tcp::resolver::passive, error);
  if (error || found.empty()) return CannotListen(address, what, error);
  const Tcp::endpoint endpoint = found.begin()->endpoint();
  std::unique_ptr<Listener> listener(new Listener(io));
  auto& acceptor = listener->acceptor_;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (error) return CannotListen(address, what, error);
  return listener;
}

storage::Status Listener::Start(Accepted accepted) {
  boost::system::error_code error;
  acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    const auto local = acceptor_.local_endpoint();
    return CannotListen({local.address().to_string(), local.port()}, "address", error);
  }
  accepted_ = std::move(accepted);
  AcceptNext();
  return {};
}

void Listener::Stop() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
}

void Listener::AcceptNext() {
  acceptor_.async_accept([this](const boost::system::error_code& error, Tcp::socket socket) {
    if (!acceptor_.is_open() || error == boost::asio::error::operation_aborted) return;
    if (!error) {
      accepted_(std::move(socket));
      return AcceptNext();
    }
    // Out of descriptors or memory: accepting again at once would spin.
    retry_.expires_after(kRetryAccept);
    retry_.async_wait([this](const boost::system::error_code& stopped) {
      if (!stopped && acceptor_.is_open()) AcceptNext();
    });
  });
}

}  // namespace quorate::server
