#include "tools/proxy/frame_cutter.h"

#include <algorithm>
#include <utility>

namespace quorate::proxy {
namespace {

constexpr std::size_t kLengthAndVersionBytes = 5;

}  // namespace

void FrameCutter::Take(std::string_view in, bool whole, const Emit& emit) {
  if (whole && !raw_) return Cut(in, emit);
  if (!held_.empty()) Skim(std::exchange(held_, {}), emit);
  Skim(in, emit);
}

void FrameCutter::Skim(std::string_view in, const Emit& emit) {
  if (in.empty()) return;
  Follow(in, false);
  emit({in});
}

// Returns how many bytes of `in` it has gone over.
std::size_t FrameCutter::Follow(std::string_view in, bool stop_at_boundary) {
  const std::size_t size = in.size();
  while (!in.empty() && !raw_ && !(stop_at_boundary && AtBoundary())) {
    if (remaining_ == 0) {
      const std::size_t some = std::min(kLengthAndVersionBytes - prefix_.size(), in.size());
      prefix_.append(in.substr(0, some));
      in.remove_prefix(some);
      if (prefix_.size() < kLengthAndVersionBytes) break;
      wire::Frame frame;
      std::size_t needed = 0;
      const auto status = ParseFrame(prefix_, wire::kMaxPeerFrameBytes, frame, needed);
      raw_ = status != wire::FrameStatus::kIncomplete;
      remaining_ = needed - std::min(needed, prefix_.size());
      prefix_.clear();
      continue;
    }
    const std::size_t some = std::min(remaining_, in.size());
    in.remove_prefix(some);
    remaining_ -= some;
    if (remaining_ == 0) ++frames_;
  }
  return raw_ ? size : size - in.size();
}

void FrameCutter::Cut(std::string_view in, const Emit& emit) {
  if (!AtBoundary()) {
    const std::size_t rest = Follow(in, true);
    if (rest > 0) emit({in.substr(0, rest)});
    in.remove_prefix(rest);
  }
  const bool joined = !held_.empty();
  if (joined) held_.append(in);
  std::string_view data = joined ? std::string_view(held_) : in;
  while (!data.empty()) {
    wire::Frame frame;
    std::size_t needed = 0;
    const auto status = ParseFrame(data, wire::kMaxPeerFrameBytes, frame, needed);
    if (status == wire::FrameStatus::kIncomplete) break;
    raw_ = status != wire::FrameStatus::kComplete;
    const std::size_t size = raw_ ? data.size() : frame.total_bytes;
    if (!raw_) ++frames_;
    emit({data.substr(0, size), !raw_, frame.type});
    data.remove_prefix(size);
  }
  if (joined) {
    held_.erase(0, held_.size() - data.size());
  } else {
    held_.assign(data);
  }
}

}  // namespace quorate::proxy
