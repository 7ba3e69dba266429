#include "raft/bytes.h"

#include <cstring>
#include <new>

namespace quorate {

Bytes Bytes::Copy(std::string_view data, std::string_view more) {
  Bytes bytes;
  const std::size_t size = data.size() + more.size();
  if (size == 0) return bytes;
  void* memory = ::operator new(sizeof(Block) + size);
  bytes.block_ = new (memory) Block{{1}, size};
  char* const copy = static_cast<char*>(memory) + sizeof(Block);
  if (!data.empty()) std::memcpy(copy, data.data(), data.size());
  if (!more.empty()) std::memcpy(copy + data.size(), more.data(), more.size());
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
