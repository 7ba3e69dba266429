// One connection through a link: the dialler's socket, the target's, and a pipe each way.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <span>

#include "tools/proxy/pipe.h"

namespace quorate::proxy {

class Relay : public std::enable_shared_from_this<Relay> {
 public:
  struct Setup {
    const LinkFaults& faults;
    LinkCounters& counters;
    std::uint64_t seed;
    std::span<char> buffer;
    std::function<void(Relay*)> on_end;  // by itself, not by Close()
  };

  Relay(boost::asio::ip::tcp::socket dialler, Setup setup);
  void Start(const boost::asio::ip::tcp::endpoint& target);

  void Continue();  // after the faults have changed
  enum class How { kClose, kReset };
  void Close(How how);

 private:
  void OnConnected(const boost::system::error_code& error);
  void OnPipeChange();

  Setup setup_;
  boost::asio::ip::tcp::socket dialler_;
  boost::asio::ip::tcp::socket target_;
  Pipe forward_;
  Pipe backward_;
  bool connected_ = false;
  bool forward_shut_ = false;
  bool backward_shut_ = false;
  bool closed_ = false;
};

}  // namespace quorate::proxy
