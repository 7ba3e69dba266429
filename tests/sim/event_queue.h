// Virtual time: what happens next.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/sim/random.h"

namespace quorate::sim {

// Events in order of time; those of one moment in the order in which they were added.
class EventQueue {
 public:
  using Action = std::function<void()>;

  SimTime now() const { return now_; }
  void At(SimTime when, Action action);  // never before now()
  void After(SimTime delay, Action action) { At(now_ + delay, std::move(action)); }
  // Runs the next event at or before `limit`. False, and now() == limit, if there is none.
  bool RunNext(SimTime limit);
  std::uint64_t events_run() const { return events_run_; }

 private:
  struct Event {
    SimTime when;
    std::uint64_t sequence;
    Action action;
  };
  static bool Later(const Event& a, const Event& b);

  SimTime now_{0};
  std::uint64_t next_sequence_ = 0;
  std::uint64_t events_run_ = 0;
  std::vector<Event> heap_;
};

}  // namespace quorate::sim
