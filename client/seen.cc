#include "client/seen.h"

namespace quorate::internal {

bool SameHistory(const Token& a, const Token& b) {
  const auto agree = [](std::uint64_t x, std::uint64_t y) { return x == 0 || y == 0 || x == y; };
  return agree(a.cluster_id, b.cluster_id) && agree(a.incarnation, b.incarnation);
}

Token Later(const Token& a, const Token& b) {
  const bool a_is_later = a.index > b.index || (a.index == b.index && a.term != 0);
  Token later = a_is_later ? a : b;
  const Token& other = a_is_later ? b : a;
  if (later.cluster_id == 0) later.cluster_id = other.cluster_id;
  if (later.incarnation == 0) later.incarnation = other.incarnation;
  return later;
}

Token Seen::Get() const {
  const std::lock_guard lock(mutex_);
  return token_;
}

Token Seen::Raise(const Token& token) {
  const std::lock_guard lock(mutex_);
  if (token.index > token_.index && SameHistory(token, token_)) token_ = Later(token, token_);
  return token_;
}

void Seen::Include(const Token& token) {
  if (!token) return;
  const std::lock_guard lock(mutex_);
  token_ = SameHistory(token, token_) ? Later(token, token_) : token;
}

}  // namespace quorate::internal
