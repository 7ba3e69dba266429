// How storage reports failure: as values.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace quorate::storage {

enum class ErrorCode {
  kIo,           // read, write or sync failed; final for the process unless said otherwise
  kNoSpace,      // the disk is full
  kNotFound,     // no such file, or nothing to open
  kExists,       // would overwrite
  kCorrupt,      // bytes that were durable have changed: the node is quarantined (D4)
  kMismatch,     // the directory of another node, cluster or format
  kLocked,       // another process holds the directory
  kInvalid,      // the caller asked for something that cannot be
};
const char* ToString(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string message;  // what was wrong, where, and what to do; a full sentence without trailing period
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return tl::make_unexpected(Error{code, std::move(message)});
}

}  // namespace quorate::storage
