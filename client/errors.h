// Errors that this library finds itself, and what codes say about execution.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "quorate/result.h"

namespace quorate::internal {

inline Error MakeError(ErrorCode code, ErrorClass error_class, std::string detail,
                       std::uint64_t have = 0, std::uint64_t want = 0) {
  Error error;
  error.code = code;
  error.error_class = error_class;
  error.detail = std::move(detail);
  error.have = have;
  error.want = want;
  return error;
}

inline Error InvalidError(std::string detail) {
  return MakeError(ErrorCode::kInvalid, ErrorClass::kFinal, std::move(detail));
}

// The command went through the log and had this outcome, the same however often it is asked.
inline bool IsResultOfExecution(ErrorCode code) {
  return code == ErrorCode::kCompareFailed || code == ErrorCode::kNotANumber ||
         code == ErrorCode::kOutOfRange || code == ErrorCode::kValueTooLarge;
}

}  // namespace quorate::internal
