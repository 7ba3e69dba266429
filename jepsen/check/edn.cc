#include "jepsen/check/edn.h"

#include <charconv>
#include <utility>

namespace quorate::check {
namespace {

bool IsSpace(int byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\f' || byte == ',';
}

bool IsDelimiter(int byte) {
  return byte < 0 || IsSpace(byte) || byte == '(' || byte == ')' || byte == '[' || byte == ']' ||
         byte == '{' || byte == '}' || byte == '"' || byte == ';';
}

void AppendUtf8(std::string& text, unsigned code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace

const Edn* Edn::Find(std::string_view keyword) const {
  if (kind != Kind::kMap) return nullptr;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].Is(keyword)) return &items[i + 1];
  }
  return nullptr;
}

bool EdnReader::Fail(std::string message) {
  if (error_.empty()) error_ = std::move(message);
  return false;
}

int EdnReader::PeekDatum() {
  return Space(0) ? stream_.Peek() : -1;
}

bool EdnReader::Next(Edn& datum) {
  const int next = PeekDatum();
  if (next < 0 || next == ')' || next == ']' || next == '}') return false;
  return Datum(datum, 0);
}

bool EdnReader::Close(char bracket) {
  if (PeekDatum() != bracket) return false;
  stream_.Get();
  return true;
}

bool EdnReader::Space(int depth) {
  for (;;) {
    const int byte = stream_.Peek();
    if (IsSpace(byte)) {
      stream_.Get();
    } else if (byte == ';') {
      while (stream_.Peek() >= 0 && stream_.Peek() != '\n') stream_.Get();
    } else if (byte == '#' && stream_.Ahead(2) == "#_") {
      stream_.Get();
      stream_.Get();
      Edn discarded;
      if (!Datum(discarded, depth + 1)) return false;
    } else {
      return error_.empty();
    }
  }
}

bool EdnReader::Datum(Edn& datum, int depth) {
  if (depth > kMaxDepth) return Fail("nested more than 64 deep");
  if (!Space(depth)) return false;
  datum = {};
  const int byte = stream_.Peek();
  switch (byte) {
    case -1:
      return Fail("the file is cut off: a datum was expected");
    case '(':
      return Collection(datum, ')', depth);
    case '[':
      return Collection(datum, ']', depth);
    case '{':
      if (!Collection(datum, '}', depth)) return false;
      datum.kind = Edn::Kind::kMap;
      return datum.items.size() % 2 == 0 || Fail("a map has a key without a value");
    case '"':
      return Text(datum);
    case '\\':
      return Character(datum);
    case '#':
      return Dispatch(datum, depth);
    case ')':
    case ']':
    case '}':
      return Fail("a closing bracket where a datum was expected");
    default:
      return Word(datum);
  }
}

bool EdnReader::Collection(Edn& datum, char close, int depth) {
  const std::uint64_t line = stream_.line_number();
  const auto open = static_cast<char>(stream_.Get());
  datum.kind = Edn::Kind::kVector;
  for (;;) {
    if (!Space(depth)) return false;
    const int byte = stream_.Peek();
    if (byte < 0) {
      std::string message = "the file is cut off: the bracket ";
      message += open;
      return Fail(message + " of line " + std::to_string(line) + " is not closed");
    }
    if (byte == close) {
      stream_.Get();
      return true;
    }
    if (!Datum(datum.items.emplace_back(), depth + 1)) return false;
  }
}

bool EdnReader::Text(Edn& datum) {
  const std::uint64_t line = stream_.line_number();
  stream_.Get();
  datum.kind = Edn::Kind::kText;
  for (;;) {
    const int byte = stream_.Get();
    if (byte < 0) {
      return Fail("the file is cut off: the string of line " + std::to_string(line) +
                  " is not closed");
    }
    if (byte == '"') return true;
    if (byte == '\\') {
      if (!Escape(datum.text)) return false;
    } else {
      datum.text += static_cast<char>(byte);
    }
    if (datum.text.size() > kMaxTextBytes) return Fail("a string is longer than 16 MiB");
  }
}

bool EdnReader::Escape(std::string& text) {
  const int byte = stream_.Get();
  switch (byte) {
    case 'n':
      text += '\n';
      return true;
    case 't':
      text += '\t';
      return true;
    case 'r':
      text += '\r';
      return true;
    case 'b':
      text += '\b';
      return true;
    case 'f':
      text += '\f';
      return true;
    case '"':
    case '\\':
    case '/':
    case '\'':
      text += static_cast<char>(byte);
      return true;
    case 'u':
      break;
    default:
      return Fail("a string has an unknown escape");
  }
  std::string digits;
  for (int i = 0; i < 4 && stream_.Peek() >= 0; ++i) digits += static_cast<char>(stream_.Get());
  unsigned code = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, code, 16);
  if (error != std::errc() || stop != end || digits.size() != 4) {
    return Fail("expected four hexadecimal digits after \\u");
  }
  AppendUtf8(text, code);
  return true;
}

bool EdnReader::Character(Edn& datum) {
  stream_.Get();
  datum.kind = Edn::Kind::kText;
  if (stream_.Peek() < 0) return Fail("the file is cut off in a character");
  datum.text += static_cast<char>(stream_.Get());
  datum.text += Token();
  if (datum.text == "newline") datum.text = "\n";
  if (datum.text == "space") datum.text = " ";
  if (datum.text == "tab") datum.text = "\t";
  if (datum.text == "return") datum.text = "\r";
  return true;
}

bool EdnReader::Dispatch(Edn& datum, int depth) {
  stream_.Get();
  if (stream_.Peek() == '{') return Collection(datum, '}', depth);
  if (stream_.Peek() == '#') {  // ##Inf, ##NaN
    stream_.Get();
    datum.kind = Edn::Kind::kSymbol;
    datum.text = Token();
    return true;
  }
  const std::string tag = Token();
  if (tag.empty()) return Fail("'#' without a tag");
  if (!Datum(datum, depth + 1)) return false;
  if (tag == "jepsen.independent/tuple") datum.is_tuple = datum.items.size() == 2;
  return true;
}

std::string EdnReader::Token() {
  std::string token;
  while (!IsDelimiter(stream_.Peek()) && token.size() < kMaxTextBytes) {
    token += static_cast<char>(stream_.Get());
  }
  return token;
}

bool EdnReader::Word(Edn& datum) {
  std::string word = Token();
  if (word.empty()) return Fail("a datum was expected");
  if (word == "nil") return true;
  if (word.front() == ':') {
    if (word.size() == 1) return Fail("':' without a name");
    datum.kind = Edn::Kind::kKeyword;
    datum.text = word.substr(1);
    return true;
  }
  const char* start = word.data() + (word.front() == '+' ? 1 : 0);
  const char* end = word.data() + word.size();
  if (end - start > 1 && end[-1] == 'N') --end;
  const auto [stop, error] = std::from_chars(start, end, datum.integer);
  if (error == std::errc() && stop == end) {
    datum.kind = Edn::Kind::kInteger;
    return true;
  }
  if (error == std::errc::result_out_of_range) datum.integer = 0;
  datum.kind = Edn::Kind::kSymbol;
  datum.text = std::move(word);
  return true;
}

}  // namespace quorate::check
