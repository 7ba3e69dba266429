// How storage reports failure: as values.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace quorate::storage {

enum class ErrorCode {
  kIo,        // read, write or sync failed; final for the process unless said otherwise
  kNoSpace,   // the disk is full
  kNotFound,  // no such file, or nothing to open
  kExists,    // would overwrite
  kCorrupt,   // bytes that were durable have changed: the node is quarantined (D4)
  kMismatch,  // the directory of another node, cluster or format
  kLocked,    // another process holds the directory
  kInvalid,   // the caller asked for something that cannot be
};
const char* ToString(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kIo;
  std::string
      message;  // what was wrong, where, and what to do; a full sentence without trailing period
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return tl::make_unexpected(Error{code, std::move(message)});
}

// Passes the error of one result on as another's: `if (!size) return Forward(size);`
template <typename T>
tl::unexpected<Error> Forward(const Result<T>& failed) {
  return tl::make_unexpected(failed.error());
}

}  // namespace quorate::storage

// Leaves the function with the error if `expression`, a Status, is one.
#define QUORATE_RETURN_IF_ERROR(expression)                    \
  do {                                                         \
    if (auto quorate_status = (expression); !quorate_status) { \
      return ::quorate::storage::Forward(quorate_status);      \
    }                                                          \
  } while (false)
