// What is wrong with a link, and what it has seen: plain data, set and asked for through control.h.
#pragma once

#include <chrono>
#include <cstdint>

namespace quorate::proxy {

using Clock = std::chrono::steady_clock;

enum class Flow {
  kPass,
  kStall,   // nothing is taken and nothing given: what was sent arrives after the fault
  kVanish,  // whole frames (of a stream without frames: bytes) are read and thrown away
};

// Of one direction of a link. Chances are of each frame, from 0 to 1; greetings are exempt from
// them, since both protocols treat a lost or second greeting as an error and not as weather.
struct Faults {
  Flow flow = Flow::kPass;
  std::chrono::microseconds delay{0};
  std::chrono::microseconds jitter{0};  // added to the delay, uniformly from 0 to this; keeps order
  std::uint64_t bytes_per_second = 0;   // 0: no limit
  double drop = 0;
  double duplicate = 0;
  double reorder = 0;                            // held back, so that others overtake it
  std::chrono::microseconds reorder_by{20'000};  // for how long

  bool NeedsFrames() const {
    return flow == Flow::kVanish || drop > 0 || duplicate > 0 || reorder > 0;
  }
  bool MayPass() const { return flow == Flow::kPass; }
};

struct LinkFaults {
  bool refuse = false;  // connections are closed, and new ones refused as by a closed port
  Faults forward;       // from the dialler to the target
  Faults backward;
};

struct DirectionCounters {
  std::uint64_t bytes = 0;   // received
  std::uint64_t frames = 0;  // received whole or seen to pass
  std::uint64_t dropped = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;
  std::uint64_t vanished_bytes = 0;
};

struct LinkCounters {
  std::uint64_t accepted = 0;
  std::uint64_t unreachable = 0;  // the target did not take the connection
  std::uint64_t reset = 0;        // by command
  DirectionCounters forward;
  DirectionCounters backward;
};

}  // namespace quorate::proxy
