// Session tokens: what a client has seen, as a value that can be printed, stored and handed on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quorate/result.h"

namespace quorate {

// Everything up to `index` of one history of one cluster. A read that includes a token sees at
// least that (D6.1): hand a token to another process and it reads your writes. A cluster restored
// from a backup is another incarnation: tokens of the old one are refused there with kDiverged.
struct Token {
  std::uint64_t cluster_id = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t term = 0;   // of the entry at `index`
  std::uint64_t index = 0;  // 0: nothing has been seen; such a token asks for nothing

  explicit operator bool() const { return index != 0; }
  friend bool operator==(const Token&, const Token&) = default;
};

// "q1-CLUSTER-INCARNATION-TERM-INDEX-CHECK", all hexadecimal but term and index: at most 87
// characters, safe in URLs, shells and HTTP headers.
std::string ToString(const Token& token);

// kInvalid: not a whole token; the detail says what is wrong (cut off, changed, another format).
Result<Token> ParseToken(std::string_view text);

}  // namespace quorate
