// An immutable, reference-counted run of bytes: what a client's command is from the socket to the
// state machine.
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>
#include <utility>

namespace quorate {

// Copying shares the bytes; only Copy() copies them. One allocation holds the count and the data.
// Thread-safe in the way of std::shared_ptr: distinct objects that share bytes may be used from
// distinct threads.
class Bytes {
 public:
  Bytes() = default;
  static Bytes Copy(std::string_view data) { return Copy(data, {}); }
  // Both, one after the other.
  static Bytes Copy(std::string_view data, std::string_view more);

  Bytes(const Bytes& other) : block_(other.block_) { Acquire(); }
  Bytes(Bytes&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Bytes() { Release(); }

  std::string_view view() const;
  std::size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  bool empty() const { return size() == 0; }
  friend bool operator==(const Bytes& a, const Bytes& b) { return a.view() == b.view(); }

 private:
  struct Block {
    std::atomic<std::size_t> references;
    std::size_t size;  // the data follows
  };

  void Acquire() const;
  void Release();

  Block* block_ = nullptr;
};

}  // namespace quorate
