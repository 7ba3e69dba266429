#include "raft/bytes.h"

#include <cstring>
#include <new>

namespace quorate {

Bytes Bytes::Copy(std::string_view data) {
  Bytes bytes;
  if (data.empty()) return bytes;
  void* memory = ::operator new(sizeof(Block) + data.size());
  bytes.block_ = new (memory) Block{{1}, data.size()};
  std::memcpy(static_cast<char*>(memory) + sizeof(Block), data.data(), data.size());
  return bytes;
}

std::string_view Bytes::view() const {
  if (block_ == nullptr) return {};
  return {reinterpret_cast<const char*>(block_) + sizeof(Block), block_->size};
}

void Bytes::Acquire() const {
  if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
}

void Bytes::Release() {
  if (block_ == nullptr) return;
  if (block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    block_->~Block();
    ::operator delete(block_);
  }
  block_ = nullptr;
}

}  // namespace quorate
