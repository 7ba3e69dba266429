// All outstanding calls, the one that must be looked at first on top.
#pragma once

#include <utility>
#include <vector>

#include "client/call.h"

namespace quorate::internal {

// A binary heap by Call::wake that knows each call's place, so that any call leaves in O(log n).
// Most calls share one timeout: they arrive in order, and adding them costs O(1).
class CallHeap {
 public:
  bool empty() const { return calls_.empty(); }
  std::size_t size() const { return calls_.size(); }
  Call& top() const { return *calls_.front(); }
  auto begin() const { return calls_.begin(); }
  auto end() const { return calls_.end(); }

  void Add(CallPtr call) {
    call->heap_index = calls_.size();
    calls_.push_back(std::move(call));
    Up(calls_.size() - 1);
  }

  CallPtr Remove(Call& call) {
    const std::size_t at = call.heap_index;
    Swap(at, calls_.size() - 1);
    CallPtr removed = std::move(calls_.back());
    calls_.pop_back();
    if (at < calls_.size()) Restore(at);
    return removed;
  }

  void SetWake(Call& call, TimePoint wake) {
    call.wake = wake;
    Restore(call.heap_index);
  }

 private:
  void Restore(std::size_t at) {
    Up(at);
    Down(at);
  }

  void Up(std::size_t at) {
    while (at > 0) {
      const std::size_t parent = (at - 1) / 2;
      if (calls_[parent]->wake <= calls_[at]->wake) return;
      Swap(at, parent);
      at = parent;
    }
  }

  void Down(std::size_t at) {
    for (;;) {
      std::size_t least = at;
      for (const std::size_t child : {2 * at + 1, 2 * at + 2}) {
        if (child < calls_.size() && calls_[child]->wake < calls_[least]->wake) least = child;
      }
      if (least == at) return;
      Swap(at, least);
      at = least;
    }
  }

  void Swap(std::size_t a, std::size_t b) {
    std::swap(calls_[a], calls_[b]);
    calls_[a]->heap_index = a;
    calls_[b]->heap_index = b;
  }

  std::vector<CallPtr> calls_;
};

}  // namespace quorate::internal
