// Finds the frames in a stream of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "client/proto/frame.h"

namespace quorate::proxy {

struct Piece {
  std::string_view bytes;  // dies with the call
  bool frame = false;      // exactly one frame; else any bytes
  wire::FrameType type = wire::FrameType::kHello;
};

// While nobody needs whole frames it only follows their lengths, and hands on what it gets at once;
// told to cut, it begins at the next boundary. So that a fault can begin and end at any time
// without breaking the stream. A stream that is none of ours is handed on as it is. Holds one frame
// at most.
class FrameCutter {
 public:
  using Emit = std::function<void(const Piece&)>;

  // With `whole` every piece is a frame, but for the rest of one that has begun to pass.
  void Take(std::string_view in, bool whole, const Emit& emit);

  bool raw() const { return raw_; }  // not frames
  std::uint64_t frames() const { return frames_; }

 private:
  bool AtBoundary() const { return prefix_.empty() && remaining_ == 0; }
  std::size_t Follow(std::string_view in, bool stop_at_boundary);
  void Skim(std::string_view in, const Emit& emit);
  void Cut(std::string_view in, const Emit& emit);

  bool raw_ = false;
  std::uint64_t frames_ = 0;
  std::string prefix_;         // of a frame that passes: too short to know its length
  std::size_t remaining_ = 0;  // of a frame that passes
  std::string held_;           // the beginning of a frame that is wanted whole
};

}  // namespace quorate::proxy
