// A directed link: whoever connects to its address reaches the target, through the faults.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tools/proxy/relay.h"

namespace quorate::proxy {

struct LinkSetup {
  std::string name;
  boost::asio::ip::tcp::endpoint listen;  // port 0: any free one
  boost::asio::ip::tcp::endpoint target;
  std::uint64_t seed = 0;
};

// Beyond this many connections the oldest is reset.
inline constexpr std::size_t kMaxRelays = 512;

class Link {
 public:
  // `buffer` is where all connections of all links read.
  Link(boost::asio::io_context& io, LinkSetup setup, std::span<char> buffer);

  // Empty, or why not.
  std::string Listen();
  // From now on the link must live as long as the loop runs.
  void Start() { AcceptNext(); }
  void Set(const LinkFaults& faults);
  void Reset();

  boost::asio::ip::tcp::endpoint address() const { return acceptor_.local_endpoint(); }
  const LinkCounters& counters() const { return counters_; }
  std::size_t open() const { return relays_.size(); }

 private:
  boost::system::error_code Bind();
  void AcceptNext();
  void Take(boost::asio::ip::tcp::socket socket);
  void CloseAll(Relay::How how);

  LinkSetup setup_;
  std::span<char> buffer_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  bool accept_armed_ = false;
  LinkFaults faults_;
  LinkCounters counters_;
  std::vector<std::shared_ptr<Relay>> relays_;  // oldest first
};

}  // namespace quorate::proxy
