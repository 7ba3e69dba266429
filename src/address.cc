#include "src/address.h"

#include <charconv>

namespace quorate::server {
namespace {

constexpr std::size_t kMaxHostBytes = 255;

tl::unexpected<storage::Error> Bad(std::string_view text, const char* why) {
  return storage::Fail(storage::ErrorCode::kInvalid,
                       "'" + std::string(text) + "' is not host:port: " + why);
}

}  // namespace

std::string HostPort::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

storage::Result<HostPort> ParseHostPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return Bad(text, "there is no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Bad(text, "an IPv6 address goes in brackets");
  }
  if (host.empty()) return Bad(text, "the host is empty");
  if (host.size() > kMaxHostBytes) return Bad(text, "the host is longer than 255 bytes");
  if (host.find_first_of(" \t,=/") != std::string_view::npos) {
    return Bad(text, "the host holds a character that no host name has");
  }
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0) {
    return Bad(text, "the port must be a number from 1 to 65535");
  }
  return HostPort{std::string(host), number};
}

}  // namespace quorate::server
