// Latencies in logarithmic buckets, in the manner of HdrHistogram: a fixed size, a relative error
// below 1/64.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace quorate::tools {

class Histogram {
 public:
  void Record(std::uint64_t value) {
    ++counts_[BucketOf(value)];
    ++count_;
    sum_ += value;
    max_ = std::max(max_, value);
  }

  void Merge(const Histogram& other) {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t max() const { return max_; }
  double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }

  // The least value that `fraction` (0..1) of all values do not exceed, rounded up within its
  // bucket; 0 if empty.
  std::uint64_t Quantile(double fraction) const {
    const auto rank =
        static_cast<std::uint64_t>(std::llround(fraction * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen > 0 && seen >= rank) return std::min(HighestOf(i), max_);
    }
    return max_;
  }

 private:
  static constexpr int kSubBits = 6;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (64 - kSubBits + 1) * kSub;

  // Values below kSub have a bucket each; above, each power of two is split into kSub buckets.
  static std::size_t BucketOf(std::uint64_t value) {
    if (value < kSub) return static_cast<std::size_t>(value);
    const auto shift = static_cast<int>(std::bit_width(value)) - kSubBits - 1;
    return static_cast<std::size_t>(shift) * kSub + static_cast<std::size_t>(value >> shift);
  }

  static std::uint64_t HighestOf(std::size_t bucket) {
    if (bucket < 2 * kSub) return bucket;
    const std::size_t shift = bucket / kSub - 1;
    const std::uint64_t first = std::uint64_t{bucket % kSub + kSub} << shift;
    return first + ((std::uint64_t{1} << shift) - 1);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace quorate::tools
