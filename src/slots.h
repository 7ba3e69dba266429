// A table whose entries are named by tickets that are never reused: a slot's number and its
// generation.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace quorate::server {

// Freed entries keep their memory (the capacity of their strings) for the next user. A ticket is
// never 0.
template <typename T>
class Slots {
 public:
  using Ticket = std::uint64_t;

  // The entry is what its last user left: set every field.
  std::pair<Ticket, T*> Add() {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const std::uint32_t number = free_.back();
    free_.pop_back();
    Slot& slot = slots_[number];
    slot.used = true;
    return {Name(slot.generation, number), &slot.value};
  }

  // Null if the ticket's entry has been freed.
  T* Find(Ticket ticket) {
    const auto number = static_cast<std::uint32_t>(ticket);
    if (number >= slots_.size()) return nullptr;
    Slot& slot = slots_[number];
    return slot.used && Name(slot.generation, number) == ticket ? &slot.value : nullptr;
  }

  void Free(Ticket ticket) {
    if (Find(ticket) == nullptr) return;
    const auto number = static_cast<std::uint32_t>(ticket);
    slots_[number].used = false;
    ++slots_[number].generation;
    free_.push_back(number);
  }

  std::size_t size() const { return slots_.size() - free_.size(); }

  // `visit(ticket, value)`; it may free the entry it is given, and add none.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (std::uint32_t number = 0; number < slots_.size(); ++number) {
      Slot& slot = slots_[number];
      if (slot.used) visit(Name(slot.generation, number), slot.value);
    }
  }
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (std::uint32_t number = 0; number < slots_.size(); ++number) {
      const Slot& slot = slots_[number];
      if (slot.used) visit(Name(slot.generation, number), slot.value);
    }
  }

 private:
  struct Slot {
    T value;
    std::uint32_t generation = 1;
    bool used = false;
  };

  static Ticket Name(std::uint32_t generation, std::uint32_t number) {
    return std::uint64_t{generation} << 32 | number;
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
};

}  // namespace quorate::server
