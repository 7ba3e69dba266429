// What a client has seen: the largest token of all its replies and acknowledged writes.
#pragma once

#include <mutex>

#include "quorate/token.h"

namespace quorate::internal {

// Indexes of both count in one history. What is not known (0) contradicts nothing.
bool SameHistory(const Token& a, const Token& b);

// The one of two tokens of one history that includes the other, with what either knows of it.
Token Later(const Token& a, const Token& b);

// Thread-safe. Every call reads it once as it starts, every reply raises it.
class Seen {
 public:
  Token Get() const;
  // By a reply. One of another history leaves what was seen: the cluster was restored from a
  // backup, and the reads that include the old token say so. Returns what has been seen now.
  Token Raise(const Token& token);
  // By the caller, who may want another history.
  void Include(const Token& token);

 private:
  mutable std::mutex mutex_;
  Token token_;
};

}  // namespace quorate::internal
