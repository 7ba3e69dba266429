#include "quorate/token.h"

#include <charconv>
#include <cstdio>
#include <vector>

#include "client/errors.h"

namespace quorate {
namespace {

using internal::InvalidError;

constexpr std::string_view kPrefix = "q1-";
constexpr std::size_t kMaxTextBytes = 87;  // 3 + 16 + 1 + 16 + 1 + 20 + 1 + 20 + 1 + 8
constexpr std::size_t kParts = 5;          // cluster, incarnation, term, index, check

// FNV-1a: against typing errors and cut ends, not against forgers.
std::uint32_t Check(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 16777619U;
  return hash;
}

std::string Hex(std::uint64_t number) {
  char text[17];
  const auto end = std::to_chars(text, text + sizeof(text), number, 16);
  return {text, end.ptr};
}

tl::unexpected<Error> Wrong(const std::string& what) {
  return tl::make_unexpected(InvalidError("not a session token: " + what));
}

template <typename T>
bool Parse(std::string_view text, int base, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string ToString(const Token& token) {
  std::string text = std::string(kPrefix) + Hex(token.cluster_id) + "-" + Hex(token.incarnation) +
                     "-" + std::to_string(token.term) + "-" + std::to_string(token.index);
  char check[10];
  std::snprintf(check, sizeof(check), "-%08x", Check(text));
  return text + check;
}

Result<Token> ParseToken(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return Wrong("it has " + std::to_string(text.size()) + " characters, and none has more than " +
                 std::to_string(kMaxTextBytes));
  }
  if (text.substr(0, kPrefix.size()) != kPrefix) {
    return Wrong("it starts with \"" + std::string(text.substr(0, kPrefix.size())) +
                 "\", not with \"" + std::string(kPrefix) + "\"");
  }
  std::vector<std::string_view> parts;
  for (std::string_view rest = text.substr(kPrefix.size());;) {
    const std::size_t dash = rest.find('-');
    parts.push_back(rest.substr(0, dash));
    if (dash == std::string_view::npos) break;
    rest.remove_prefix(dash + 1);
  }
  if (parts.size() != kParts) {
    return Wrong("it has " + std::to_string(parts.size()) + " of " + std::to_string(kParts) +
                 " parts: cut off?");
  }
  Token token;
  std::uint32_t check = 0;
  if (!Parse(parts[0], 16, token.cluster_id)) return Wrong("its cluster is not a number");
  if (!Parse(parts[1], 16, token.incarnation)) return Wrong("its incarnation is not a number");
  if (!Parse(parts[2], 10, token.term)) return Wrong("its term is not a number");
  if (!Parse(parts[3], 10, token.index)) return Wrong("its index is not a number");
  if (parts[4].size() != 8 || !Parse(parts[4], 16, check)) {
    return Wrong("its checksum is not eight hexadecimal digits: cut off?");
  }
  if (check != Check(text.substr(0, text.size() - 9))) {
    return Wrong("its checksum does not match: a character was changed or lost");
  }
  return token;
}

}  // namespace quorate
