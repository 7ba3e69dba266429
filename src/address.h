// host:port, as people write it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/result.h"

namespace quorate::server {

struct HostPort {
  std::string host;  // a name, an IPv4 or an IPv6 address (without brackets)
  std::uint16_t port = 0;

  std::string ToString() const;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "host:port" or "[v6]:port", port 1 to 65535. kInvalid names what is wrong.
storage::Result<HostPort> ParseHostPort(std::string_view text);

}  // namespace quorate::server
