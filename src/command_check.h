// What a client's command must keep to before it enters the log. There every node must decide
// alike, whatever its version; here limits are named, and may change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "client/proto/wire.pb.h"

namespace quorate::server {

struct CommandRefusal {
  wire::Code code = wire::INVALID;  // INVALID, TOO_LARGE or UNSUPPORTED
  std::string message;              // what is wrong, and what would be right
  std::uint64_t have = 0;           // with TOO_LARGE
  std::uint64_t want = 0;
};

// `encoded_bytes`: of the whole command. Nothing: it may enter the log.
std::optional<CommandRefusal> CheckCommand(const wire::Command& command, std::size_t encoded_bytes);

}  // namespace quorate::server
