// Bytes of a file, a block at a time, by line or by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quorate::check {

inline constexpr std::size_t kMaxLineBytes = 64 << 20;

// Not thread-safe. Views that it returns hold until the next call, and may be read a few bytes
// past their end (kSlack zero bytes or the following line).
class ByteStream {
 public:
  static constexpr std::size_t kSlack = 16;

  // The descriptor stays the caller's.
  explicit ByteStream(int descriptor);
  explicit ByteStream(std::string_view memory);

  // The next line without its end; false at the end, after an error or if it is too long.
  bool Line(std::string_view& line);
  // Whether the line returned last had an end: a file that was cut off often lacks it.
  bool line_was_ended() const { return line_was_ended_; }

  // The next byte, or -1 at the end. Peek does not take it.
  int Peek() { return begin_ < end_ || Fill() ? static_cast<unsigned char>(buffer_[begin_]) : -1; }
  int Get();

  // Up to `bytes` of what comes next, without taking it.
  std::string_view Ahead(std::size_t bytes);

  // Bytes of the whole, as far as known; else 0.
  std::uint64_t size_hint() const;

  // Of the next byte, from 1. The line that Line returned last is the one before.
  std::uint64_t line_number() const { return line_number_; }
  // Why there is no more; empty at a proper end.
  const std::string& error() const { return error_; }

 private:
  bool Fill();
  std::size_t Read(char* to, std::size_t bytes);

  int descriptor_ = -1;
  std::string_view memory_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t line_number_ = 1;
  bool line_was_ended_ = true;
  std::string error_;
};

}  // namespace quorate::check
