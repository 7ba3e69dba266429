#include "tools/workload.h"

#include <algorithm>
#include <cmath>

namespace quorate::tools {
namespace {

constexpr double kTheta = 0.99;
constexpr std::size_t kSpareBytes = 64 << 10;

double Zeta(std::uint64_t n, double theta) {
  double sum = 0;
  for (std::uint64_t i = 1; i <= n; ++i) sum += 1 / std::pow(static_cast<double>(i), theta);
  return sum;
}

double Unit(Random& random) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53;
}

// A bijection of 64 bits (splitmix64's finalizer): it scatters the popular keys over the key space.
std::uint64_t Scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

double ReadShare(const std::string& name) {
  if (name == "get" || name == "ycsb-c") return 1;
  if (name == "ycsb-a") return 0.5;
  if (name == "ycsb-b") return 0.95;
  return 0;
}

Workload::Kind WriteKind(const std::string& name) {
  if (name == "incr") return Workload::Kind::kIncrement;
  if (name == "append") return Workload::Kind::kAppend;
  if (name == "txn") return Workload::Kind::kTransaction;
  return Workload::Kind::kPut;
}

}  // namespace

Zipf::Zipf(std::uint64_t n, double theta)
    : n_(n), alpha_(1 / (1 - theta)), zeta_n_(Zeta(n, theta)), second_(1 + std::pow(0.5, theta)) {
  const double zeta_2 = Zeta(2, theta);
  eta_ = (1 - std::pow(2.0 / static_cast<double>(n), 1 - theta)) / (1 - zeta_2 / zeta_n_);
}

std::uint64_t Zipf::operator()(Random& random) const {
  const double u = Unit(random);
  const double scaled = u * zeta_n_;
  if (scaled < 1) return 0;
  if (scaled < second_) return n_ > 1 ? 1 : 0;
  const auto rank =
      static_cast<std::uint64_t>(static_cast<double>(n_) * std::pow(eta_ * u - eta_ + 1, alpha_));
  return rank < n_ ? rank : n_ - 1;
}

Workload::Workload(const WorkloadSettings& settings)
    : settings_(settings), read_share_(ReadShare(settings.name)), write_(WriteKind(settings.name)) {
  if (settings.name.starts_with("ycsb") && settings.keys > 2) zipf_.emplace(settings.keys, kTheta);
  Random random(settings.seed);
  bytes_.resize(settings.value_bytes + kSpareBytes);
  for (char& byte : bytes_) byte = static_cast<char>('!' + random() % 94);
}

Workload::Operation Workload::Next(Random& random) const {
  const bool read = read_share_ >= 1 || (read_share_ > 0 && Unit(random) < read_share_);
  const std::uint64_t key = zipf_ ? Scramble((*zipf_)(random)) : random();
  return {.kind = read ? Kind::kGet : write_, .key = key % settings_.keys};
}

std::string_view Workload::Value(Random& random) const {
  return std::string_view(bytes_).substr(random() % kSpareBytes, settings_.value_bytes);
}

KeyName::KeyName(std::uint64_t number, const char (&prefix)[5]) {
  std::copy_n(prefix, 4, text_);
  for (std::size_t at = sizeof(text_); at > 4; number /= 10) {
    text_[--at] = static_cast<char>('0' + number % 10);
  }
}

}  // namespace quorate::tools
