#include "jepsen/check/json_scanner.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace quorate::check {

std::string JsonScanner::error() const {
  return std::string("expected ") + (failed() ? expected_ : "nothing") + " at column " +
         std::to_string(at_ - begin_ + 1);
}

bool JsonScanner::Fail(const char* expected) {
  if (expected_ == nullptr) expected_ = expected;
  return false;
}

bool JsonScanner::Literal(std::string_view word) {
  if (std::string_view(at_, static_cast<std::size_t>(end_ - at_)).substr(0, word.size()) != word) {
    return Fail("true, false or null");
  }
  at_ += word.size();
  return true;
}

bool JsonScanner::NextKey(std::string_view& key, bool& first) {
  const char next = Peek();
  if (next == '}' && !failed()) {
    ++at_;
    return false;
  }
  if (!first && !Take(',', "',' or '}'")) return false;
  first = false;
  if (Peek() != '"') return Fail("a name in quotes");
  return String(key) && Take(':', "':'");
}

bool JsonScanner::AtEnd() {
  return !failed() && (Peek() == '\0' && at_ == end_) ? true : Fail("the end of the line");
}

bool JsonScanner::Unsigned(std::uint64_t& number) {
  if (Peek() < '0' || *at_ > '9') return Fail("a number from 0 on");
  const auto [stop, error] = std::from_chars(at_, end_, number);
  if (error != std::errc()) return Fail("a number below 2^64");
  if (stop < end_ && (*stop == '.' || *stop == 'e' || *stop == 'E')) return Fail("a whole number");
  at_ = stop;
  return true;
}

bool JsonScanner::Signed(std::int64_t& number) {
  if (Peek() != '-' && (*at_ < '0' || *at_ > '9')) return Fail("a number");
  const auto [stop, error] = std::from_chars(at_, end_, number);
  if (error != std::errc()) return Fail("a number of 64 bits");
  if (stop < end_ && (*stop == '.' || *stop == 'e' || *stop == 'E')) return Fail("a whole number");
  at_ = stop;
  return true;
}

bool JsonScanner::Bool(bool& value) {
  value = Peek() == 't';
  return Literal(value ? "true" : "false");
}

bool JsonScanner::RawString(std::string_view& raw, bool& escaped) {
  if (!Take('"', "a string")) return false;
  const char* start = at_;
  escaped = false;
  while (at_ < end_ && *at_ != '"') {
    if (*at_ == '\\') {
      escaped = true;
      ++at_;
    }
    ++at_;
  }
  if (at_ >= end_) {
    at_ = end_;
    return Fail("the end of a string");
  }
  raw = {start, static_cast<std::size_t>(at_ - start)};
  ++at_;
  return true;
}

bool JsonScanner::String(std::string_view& text) {
  const char* start = at_;
  bool escaped = false;
  if (!RawString(text, escaped)) return false;
  if (!escaped) return true;
  const std::string quoted = '"' + std::string(text) + '"';
  const nlohmann::json parsed = nlohmann::json::parse(quoted, nullptr, false);
  if (!parsed.is_string()) {
    at_ = start;
    return Fail("a string with valid escapes");
  }
  decoded_ = parsed.get<std::string>();
  text = decoded_;
  return true;
}

bool JsonScanner::Skip(int depth) {
  if (depth > kMaxDepth) return Fail("less nesting (at most 32 levels)");
  std::string_view text;
  bool first = true;
  bool escaped = false;
  switch (Peek()) {
    case '"':
      return RawString(text, escaped);
    case '{':
      ++at_;
      while (NextKey(text, first)) {
        if (!Skip(depth + 1)) return false;
      }
      return !failed();
    case '[':
      ++at_;
      while (Peek() != ']') {
        if (!first && !Take(',', "',' or ']'")) return false;
        first = false;
        if (!Skip(depth + 1)) return false;
      }
      return Take(']', "']'");
    case 't':
      return Literal("true");
    case 'f':
      return Literal("false");
    case 'n':
      return Literal("null");
    default:
      break;
  }
  const char* start = at_;
  while (at_ < end_ && ((*at_ >= '0' && *at_ <= '9') || *at_ == '-' || *at_ == '+' || *at_ == '.' ||
                        *at_ == 'e' || *at_ == 'E')) {
    ++at_;
  }
  return at_ > start ? true : Fail("a value");
}

bool JsonScanner::Any(ValueTable& values, Value& value, int depth) {
  if (depth > kMaxDepth) return Fail("less nesting (at most 32 levels)");
  std::string_view text;
  switch (Peek()) {
    case '"':
      if (!String(text)) return false;
      value = values.Text(text);
      return true;
    case '[':
      return AnyArray(values, value, depth);
    case '{':
      return AnyObject(values, value, depth);
    case 'n':
      value = kNil;
      return Literal("null");
    case 't':
      value = values.Text("true");
      return Literal("true");
    case 'f':
      value = values.Text("false");
      return Literal("false");
    default:
      return AnyNumber(values, value);
  }
}

// What is no whole number of 64 bits is kept as it was written.
bool JsonScanner::AnyNumber(ValueTable& values, Value& value) {
  const char* start = at_;
  if (!Skip()) return false;
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(start, at_, number);
  if (error == std::errc() && stop == at_) {
    value = values.Number(number);
  } else if (stop == start) {
    return Fail("a value");
  } else {
    value = values.Text({start, static_cast<std::size_t>(at_ - start)});
  }
  return true;
}

bool JsonScanner::AnyArray(ValueTable& values, Value& value, int depth) {
  ++at_;
  std::vector<Value> items;
  while (Peek() != ']') {
    if (!items.empty() && !Take(',', "',' or ']'")) return false;
    Value item = kNil;
    if (!Any(values, item, depth + 1)) return false;
    items.push_back(item);
  }
  value = values.List(items);
  return Take(']', "']'");
}

bool JsonScanner::AnyObject(ValueTable& values, Value& value, int depth) {
  ++at_;
  std::vector<std::pair<std::string, Value>> members;
  std::string_view key;
  bool first = true;
  while (NextKey(key, first)) {
    members.emplace_back(key, kNil);
    if (!Any(values, members.back().second, depth + 1)) return false;
  }
  if (failed()) return false;
  std::sort(members.begin(), members.end());
  std::vector<Value> pairs;
  pairs.reserve(members.size());
  for (const auto& [name, member] : members) {
    pairs.push_back(values.List({values.Text(name), member}));
  }
  value = values.List(pairs);
  return true;
}

}  // namespace quorate::check
