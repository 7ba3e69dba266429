#include "client/cancellation.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "client/core.h"

namespace quorate {

Cancellation Cancellation::Make() {
  Cancellation made;
  made.state_ = std::make_shared<State>();
  return made;
}

void Cancellation::Cancel() const {
  if (state_ == nullptr) return;
  std::vector<std::shared_ptr<internal::Door>> doors;
  {
    const std::lock_guard lock(state_->mutex);
    state_->cancelled = true;
    doors.swap(state_->doors);
  }
  for (const auto& door : doors) door->Cancel(state_);
}

bool Cancellation::State::Watch(const std::shared_ptr<internal::Door>& door) {
  const std::lock_guard lock(mutex);
  if (cancelled) return false;
  if (std::ranges::find(doors, door) == doors.end()) doors.push_back(door);
  return true;
}

namespace internal {

void Door::Cancel(std::shared_ptr<Cancellation::State> state) {
  const std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return;
  boost::asio::post(*loop_, [weak = core_, state = std::move(state)] {
    if (const auto core = weak.lock()) core->Cancel(*state);
  });
}

void Door::Close() {
  const std::lock_guard lock(mutex_);
  loop_ = nullptr;
}

}  // namespace internal
}  // namespace quorate
