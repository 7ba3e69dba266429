// Commands, encoded as wire.proto's Command by hand where it is easy: no message objects on the way
// of a write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quorate/read.h"
#include "quorate/write.h"

namespace quorate::internal {

std::string EncodePut(std::string_view key, std::string_view value, const WriteOptions& o);
std::string EncodeDelete(std::string_view key, const WriteOptions& o);
std::string EncodeCompareAndSet(std::string_view key, const Expectation& expect,
                                std::string_view value, const WriteOptions& o);
std::string EncodeIncrement(std::string_view key, std::int64_t by);
std::string EncodeAppend(std::string_view key, std::string_view value);
std::string EncodeTransaction(const Transaction& transaction);
std::string EncodeDeleteRange(const Range& range, std::uint32_t max_keys);
std::string EncodeOpenSession(std::uint64_t ttl_us);
std::string EncodeKeepSession(std::uint64_t id);
std::string EncodeCloseSession(std::uint64_t id);

struct SessionRef {
  std::uint64_t id = 0;
  std::uint64_t seq = 0;
  std::uint64_t acked_below = 0;
  bool ordered = false;
};

// Behind an encoded command: fields may come in any order.
void AppendSessionRef(std::string& command, const SessionRef& session);

}  // namespace quorate::internal
