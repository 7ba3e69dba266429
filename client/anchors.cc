#include "client/anchors.h"

#include <algorithm>
#include <iterator>

namespace quorate::internal {

using std::chrono::microseconds;

void Anchors::Add(std::uint64_t incarnation, std::uint64_t index, BootTime at) {
  if (index == 0) return;
  if (incarnation != incarnation_) {
    anchors_.clear();
    incarnation_ = incarnation;
  }
  // Behind those that are not above `index`: nearly always the end.
  auto next = anchors_.end();
  while (next != anchors_.begin() && std::prev(next)->index > index) --next;
  // So much or less was committed by then, or even later: this one adds nothing.
  if (next != anchors_.begin() && std::prev(next)->at >= at) return;
  // Those at `index` or above that are older say less than this one.
  auto first = next;
  while (first != anchors_.begin() && std::prev(first)->index == index) --first;
  while (next != anchors_.end() && next->at <= at) ++next;
  anchors_.insert(anchors_.erase(first, next), {.index = index, .at = at});
  if (anchors_.size() > kMost) Thin();
}

void Anchors::Thin() {
  std::deque<Anchor> kept;
  for (std::size_t i = 0; i < anchors_.size(); ++i) {
    if (i >= anchors_.size() / 2 || i % 2 == 0) kept.push_back(anchors_[i]);
  }
  anchors_ = std::move(kept);
}

std::optional<microseconds> Anchors::Age(std::uint64_t incarnation, std::uint64_t applied,
                                         BootTime when) const {
  if (incarnation != incarnation_) return std::nullopt;
  auto next = anchors_.end();
  if (next != anchors_.begin() && std::prev(next)->index > applied) {
    next = std::upper_bound(
        anchors_.begin(), anchors_.end(), applied,
        [](std::uint64_t index, const Anchor& anchor) { return index < anchor.index; });
  }
  if (next == anchors_.begin()) return std::nullopt;
  const BootTime at = std::prev(next)->at;
  if (at >= when) return microseconds(0);
  return std::chrono::ceil<microseconds>(when - at);
}

}  // namespace quorate::internal
