#include "tools/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "tools/output.h"

namespace quorate::tools {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod{100};
constexpr std::chrono::seconds kLinePeriod{2};
constexpr int kBarWidth = 24;

}  // namespace

Progress::Progress(std::string what, std::uint64_t total_bytes, bool verbose, std::string unit)
    : what_(std::move(what)),
      total_bytes_(total_bytes),
      unit_(std::move(unit)),
      terminal_(IsTerminal(STDERR_FILENO)),
      verbose_(verbose),
      next_(terminal_ ? start_ : start_ + kLinePeriod) {}

Progress::~Progress() {
  Clear();
}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::Update(std::uint64_t done, std::uint64_t bytes) {
  if (!terminal_ && !verbose_) return;
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + (terminal_ ? std::chrono::duration_cast<Clock::duration>(kTerminalPeriod)
                           : std::chrono::duration_cast<Clock::duration>(kLinePeriod));
  shown_ = true;
  Print(done, bytes);
}

void Progress::Print(std::uint64_t done, std::uint64_t bytes) const {
  const double elapsed = std::max(seconds(), 1e-3);
  const auto rate = static_cast<std::uint64_t>(static_cast<double>(done) / elapsed);
  std::string line = what_ + " ";
  if (total_bytes_ > 0) {
    const double part =
        std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total_bytes_));
    const auto filled = static_cast<std::size_t>(part * kBarWidth);
    line += "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " +
            std::to_string(static_cast<int>(part * 100)) + "%  ";
    const double left = part > 0 ? elapsed / part - elapsed : 0;
    line += Grouped(done) + unit_ + ", " + Grouped(rate) + unit_ + "/s, " +
            std::to_string(static_cast<std::uint64_t>(std::ceil(left))) + " s left";
  } else {
    line += Grouped(done) + ", " + Grouped(rate) + "/s, " + std::to_string(bytes >> 20) + " MiB";
  }
  std::fprintf(stderr, terminal_ ? "\r%s\x1b[K" : "%s\n", line.c_str());
  std::fflush(stderr);
}

void Progress::Clear() {
  if (terminal_ && shown_) std::fprintf(stderr, "\r\x1b[K");
  shown_ = false;
}

}  // namespace quorate::tools
