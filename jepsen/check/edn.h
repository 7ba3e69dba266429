// A reader of EDN data, one datum at a time: what Jepsen and knossos write.
//
// Maps, vectors, lists, sets, keywords, symbols, strings, characters, numbers, nil; comments and
// #_ are skipped, and so are tags: what they tag is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jepsen/check/byte_stream.h"

namespace quorate::check {

struct Edn {
  enum class Kind : std::uint8_t { kNothing, kInteger, kText, kKeyword, kSymbol, kVector, kMap };
  Kind kind = Kind::kNothing;
  bool is_tuple = false;  // tagged #jepsen.independent/tuple: a key and a value
  std::int64_t integer = 0;
  // Of text, and of keywords (without the colon) and symbols. Numbers that are not whole are
  // symbols.
  std::string text;
  // Of vectors, lists and sets; of maps: key, value, key, value...
  std::vector<Edn> items;

  bool Is(std::string_view keyword) const { return kind == Kind::kKeyword && text == keyword; }
  // Of a map; nullptr if it has no such keyword.
  const Edn* Find(std::string_view keyword) const;
};

class EdnReader {
 public:
  static constexpr int kMaxDepth = 64;
  static constexpr std::size_t kMaxTextBytes = 16 << 20;

  explicit EdnReader(ByteStream& stream) : stream_(stream) {}

  // The next datum at this place; false at the end, before a closing bracket, and after an error.
  bool Next(Edn& datum);
  // The bracket that encloses a whole file.
  void Open() { stream_.Get(); }
  // False if it is not there.
  bool Close(char bracket);
  // Past white space, comments and discarded data. -1 at the end.
  int PeekDatum();
  std::uint64_t line_number() const { return stream_.line_number(); }
  // Empty: none.
  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string message);
  bool Datum(Edn& datum, int depth);
  bool Collection(Edn& datum, char close, int depth);
  bool Text(Edn& datum);
  bool Escape(std::string& text);
  bool Character(Edn& datum);
  bool Dispatch(Edn& datum, int depth);
  bool Word(Edn& datum);
  // Skips what stands for nothing; false after an error.
  bool Space(int depth);
  std::string Token();

  ByteStream& stream_;
  std::string error_;
};

}  // namespace quorate::check
