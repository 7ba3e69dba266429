#include "tools/proxy/link.h"

#include <sys/socket.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace quorate::proxy {
namespace {

using Tcp = boost::asio::ip::tcp;
using boost::system::error_code;
constexpr std::chrono::milliseconds kRetryAccept{50};

// Neighbouring seeds must not give neighbouring streams (splitmix64).
std::uint64_t Mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

std::string Explain(const error_code& error) {
  if (error == boost::asio::error::address_in_use) {
    return "the port is in use by another process; choose another, or 0 for any";
  }
  if (error == boost::system::errc::address_not_available) {
    return "the address does not belong to this machine";
  }
  return error.message();
}

}  // namespace

Link::Link(boost::asio::io_context& io, LinkSetup setup, std::span<char> buffer)
    : setup_(std::move(setup)), buffer_(buffer), acceptor_(io), retry_(io) {}

// Only a port that was asked for by number stays bound while it does not listen (Set): one that the
// kernel chose is asked for again, before it is let go.
error_code Link::Bind() {
  error_code error;
  Tcp::acceptor chooser(acceptor_.get_executor());
  const auto bind = [&](Tcp::acceptor& acceptor) {
    acceptor.open(setup_.listen.protocol(), error);
    if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(setup_.listen, error);
  };
  if (setup_.listen.port() == 0) {
    bind(chooser);
    if (!error) setup_.listen.port(chooser.local_endpoint().port());
  }
  if (!error) bind(acceptor_);
  return error;
}

std::string Link::Listen() {
  error_code error = Bind();
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error) {
    std::ostringstream text;
    text << "link " << setup_.name << " cannot listen on " << setup_.listen << ": "
         << Explain(error);
    return text.str();
  }
  return {};
}

void Link::Set(const LinkFaults& faults) {
  const bool refused = faults_.refuse;
  faults_ = faults;
  if (faults.refuse && !refused) {
    // Stops listening and keeps the port: what dials is refused, and nobody else can take it.
    ::shutdown(acceptor_.native_handle(), SHUT_RD);
    CloseAll(Relay::How::kClose);
  } else if (!faults.refuse && refused) {
    error_code ignored;
    acceptor_.listen(boost::asio::socket_base::max_listen_connections, ignored);
    AcceptNext();
  }
  const auto relays = relays_;  // some may end meanwhile
  for (const auto& relay : relays) relay->Continue();
}

void Link::Reset() {
  counters_.reset += relays_.size();
  CloseAll(Relay::How::kReset);
}

void Link::CloseAll(Relay::How how) {
  const auto relays = std::exchange(relays_, {});
  for (const auto& relay : relays) relay->Close(how);
}

void Link::AcceptNext() {
  if (std::exchange(accept_armed_, true)) return;
  acceptor_.async_accept([this](const error_code& error, Tcp::socket socket) {
    accept_armed_ = false;
    if (!error) Take(std::move(socket));
    if (faults_.refuse) return;
    if (!error) return AcceptNext();
    // Out of descriptors, or it has just begun to listen again.
    retry_.expires_after(kRetryAccept);
    retry_.async_wait([this](const error_code& stopped) {
      if (!stopped && !faults_.refuse) AcceptNext();
    });
  });
}

void Link::Take(Tcp::socket socket) {
  if (faults_.refuse) return;  // closes it
  ++counters_.accepted;
  if (relays_.size() >= kMaxRelays) {
    relays_.front()->Close(Relay::How::kReset);
    relays_.erase(relays_.begin());
  }
  relays_.push_back(std::make_shared<Relay>(
      std::move(socket), Relay::Setup{faults_, counters_, Mix(setup_.seed + counters_.accepted),
                                      buffer_, [this](Relay* ended) {
                                        std::erase_if(relays_, [&](const auto& relay) {
                                          return relay.get() == ended;
                                        });
                                      }}));
  relays_.back()->Start(setup_.target);
}

}  // namespace quorate::proxy
