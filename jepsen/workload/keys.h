// Which keys a workload uses: a few at a time, each for so many writes, then a new one in its
// place.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "jepsen/workload/chance.h"

namespace quorate::workload {

class Keys {
 public:
  // `prefix`0, `prefix`1, ...
  Keys(std::string prefix, std::size_t at_a_time, std::uint64_t writes_each)
      : prefix_(std::move(prefix)), writes_each_(writes_each), slots_(at_a_time) {
    for (Slot& slot : slots_) Renew(slot);
  }

  std::string ForWrite(Chance& chance) {
    Slot& slot = slots_[chance.Below(slots_.size())];
    if (slot.writes == writes_each_) Renew(slot);
    ++slot.writes;
    return slot.key;
  }

  // Mostly one that is being written, at times one of the past: what was written must stay.
  std::string ForRead(Chance& chance) {
    if (!past_.empty() && chance.Of(0.05)) return past_[chance.Below(past_.size())];
    return slots_[chance.Below(slots_.size())].key;
  }

  // Those of now and of late.
  std::vector<std::string> Recent() const {
    std::vector<std::string> keys(past_.begin(), past_.end());
    for (const Slot& slot : slots_) keys.push_back(slot.key);
    return keys;
  }

 private:
  static constexpr std::size_t kPast = 100;

  struct Slot {
    std::string key;
    std::uint64_t writes = 0;
  };

  void Renew(Slot& slot) {
    if (!slot.key.empty()) past_.push_back(slot.key);
    if (past_.size() > kPast) past_.pop_front();
    slot = {prefix_ + std::to_string(next_++), 0};
  }

  std::string prefix_;
  std::uint64_t writes_each_;
  std::uint64_t next_ = 0;
  std::vector<Slot> slots_;
  std::deque<std::string> past_;
};

}  // namespace quorate::workload
