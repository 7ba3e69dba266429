#include "jepsen/check/byte_stream.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace quorate::check {
namespace {
constexpr std::size_t kBlockBytes = 1 << 20;
}

ByteStream::ByteStream(int descriptor) : descriptor_(descriptor) {}

ByteStream::ByteStream(std::string_view memory) : memory_(memory) {}

bool ByteStream::Line(std::string_view& line) {
  std::size_t searched = 0;
  for (;;) {
    const void* found = begin_ + searched < end_ ? std::memchr(buffer_.data() + begin_ + searched,
                                                               '\n', end_ - begin_ - searched)
                                                 : nullptr;
    if (found != nullptr) {
      const auto length =
          static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) - begin_;
      line = std::string_view(buffer_).substr(begin_, length);
      begin_ += length + 1;
      ++line_number_;
      return true;
    }
    searched = end_ - begin_;
    if (searched > kMaxLineBytes) {
      error_ = "a line is longer than " + std::to_string(kMaxLineBytes >> 20) + " MiB";
      return false;
    }
    if (!Fill()) break;
  }
  if (!error_.empty() || begin_ == end_) return false;
  line = std::string_view(buffer_).substr(begin_, end_ - begin_);
  begin_ = end_;
  ++line_number_;
  line_was_ended_ = false;
  return true;
}

std::uint64_t ByteStream::size_hint() const {
  struct stat status = {};
  if (descriptor_ < 0) return memory_.size();
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  return static_cast<std::uint64_t>(status.st_size);
}

int ByteStream::Get() {
  const int byte = Peek();
  if (byte < 0) return byte;
  ++begin_;
  if (byte == '\n') ++line_number_;
  return byte;
}

std::string_view ByteStream::Ahead(std::size_t bytes) {
  while (end_ - begin_ < bytes && Fill()) {
  }
  return std::string_view(buffer_).substr(begin_, std::min(bytes, end_ - begin_));
}

// Adds a block behind what is left in the buffer, which moves to the front.
bool ByteStream::Fill() {
  if (!error_.empty()) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ + kBlockBytes + kSlack > buffer_.size()) {
    buffer_.resize(std::max(buffer_.size() * 2, kBlockBytes + kSlack));
  }
  const std::size_t got = Read(buffer_.data() + end_, buffer_.size() - kSlack - end_);
  end_ += got;
  std::memset(buffer_.data() + end_, 0, kSlack);
  return got > 0;
}

std::size_t ByteStream::Read(char* to, std::size_t bytes) {
  if (descriptor_ < 0) {
    const std::size_t got = std::min(bytes, memory_.size());
    std::memcpy(to, memory_.data(), got);
    memory_.remove_prefix(got);
    return got;
  }
  for (;;) {
    const ssize_t got = ::read(descriptor_, to, bytes);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    error_ = std::string("cannot read: ") + std::strerror(errno);
    return 0;
  }
}

}  // namespace quorate::check
