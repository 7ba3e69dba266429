// From bytes to a History: our own JSON lines, Jepsen's EDN, and Jepsen's log lines as kept with
// porcupine. The format is recognised by content.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "jepsen/check/byte_stream.h"
#include "jepsen/check/history.h"

namespace quorate::check {

struct ReadError {
  enum class Kind { kCannotOpen, kEmpty, kMalformed };
  Kind kind = Kind::kMalformed;
  std::string file;
  std::uint64_t line = 0;  // 0: of the file as a whole
  std::string message;     // what was expected

  // "file:line: message"
  std::string Show() const;
};

struct ReadOptions {
  std::uint64_t max_operations = 20'000'000;
  // Replaces what the file says.
  Model model = Model::kUnknown;
  // "nil", a number or text; absent: what is usual for the format (0 for registers in EDN).
  std::optional<std::string> initial;
};

using ReadResult = std::variant<History, ReadError>;

ReadResult ReadFile(const std::string& path, const ReadOptions& options);
// `name` is for messages.
ReadResult ReadStream(ByteStream& stream, const std::string& name, const ReadOptions& options);

// One format each; what they return is not checked as a whole yet.
ReadResult ReadQuorate(ByteStream& stream, const ReadOptions& options);
ReadResult ReadEdn(ByteStream& stream, const ReadOptions& options);
ReadResult ReadEtcdLog(ByteStream& stream, const ReadOptions& options);

inline ReadError Malformed(std::uint64_t line, std::string message) {
  return {ReadError::Kind::kMalformed, {}, line, std::move(message)};
}

}  // namespace quorate::check
