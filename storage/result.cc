#include "storage/result.h"

namespace quorate::storage {

const char* ToString(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIo:
      return "i/o error";
    case ErrorCode::kNoSpace:
      return "no space";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kExists:
      return "exists";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kMismatch:
      return "mismatch";
    case ErrorCode::kLocked:
      return "locked";
    case ErrorCode::kInvalid:
      return "invalid";
  }
  return "unknown";
}

}  // namespace quorate::storage
