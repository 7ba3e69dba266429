#include "tests/sim/event_queue.h"

#include <algorithm>
#include <utility>

namespace quorate::sim {

bool EventQueue::Later(const Event& a, const Event& b) {
  return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
}

void EventQueue::At(SimTime when, Action action) {
  heap_.push_back({std::max(when, now_), next_sequence_++, std::move(action)});
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

bool EventQueue::RunNext(SimTime limit) {
  if (heap_.empty() || heap_.front().when > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  std::pop_heap(heap_.begin(), heap_.end(), Later);
  Event event = std::move(heap_.back());
  heap_.pop_back();
  now_ = event.when;
  ++events_run_;
  event.action();
  return true;
}

}  // namespace quorate::sim
