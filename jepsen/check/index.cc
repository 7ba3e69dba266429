#include "jepsen/check/index.h"

#include <algorithm>
#include <array>

namespace quorate::check {
namespace {

constexpr std::size_t kDigitBits = 11;

// Positions ordered by time: a radix sort, for times take few of a number's bits.
void SortByTime(std::vector<std::pair<std::uint64_t, Position>>& timed) {
  std::uint64_t smallest = kAbsent;
  std::uint64_t largest = 0;
  for (const auto& [time, position] : timed) {
    smallest = std::min(smallest, time);
    largest = std::max(largest, time);
  }
  std::vector<std::pair<std::uint64_t, Position>> other(timed.size());
  for (std::size_t shift = 0; shift < 64 && !timed.empty() && (largest - smallest) >> shift != 0;
       shift += kDigitBits) {
    std::array<std::size_t, (1 << kDigitBits) + 1> begin{};
    const auto digit = [&](std::uint64_t time) {
      return (time - smallest) >> shift & ((1 << kDigitBits) - 1);
    };
    for (const auto& [time, position] : timed) ++begin[digit(time) + 1];
    for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    for (const auto& entry : timed) other[begin[digit(entry.first)]++] = entry;
    timed.swap(other);
  }
}

// Keeps the order of signed times.
std::uint64_t Ordered(Time time) {
  return static_cast<std::uint64_t>(time) ^ 1ULL << 63;
}

std::vector<Position> Positions(const std::vector<std::pair<std::uint64_t, Position>>& timed) {
  std::vector<Position> positions;
  positions.reserve(timed.size());
  for (const auto& [time, position] : timed) positions.push_back(position);
  return positions;
}

}  // namespace

std::uint64_t ShownIndex(const Operation& op) {
  if (!op.ok() || op.function == Function::kUse) return kAbsent;
  if (op.is_read()) return op.certificate.index;
  return op.revision != kAbsent ? op.revision : op.certificate.index;
}

bool IsAnsweredWrite(const Operation& op) {
  return op.ok() && !op.is_read() && op.function != Function::kUse;
}

Index::Index(const History& history) : history_(history) {
  BuildSights();
  BuildOrders();
  BuildWrites();
  GroupWrites();
}

std::size_t Index::Slot(std::uint64_t index) const {
  if (dense_) return std::min<std::uint64_t>(index, sights_.size() - 1);
  return static_cast<std::size_t>(std::lower_bound(ranks_.begin(), ranks_.end(), index) -
                                  ranks_.begin());
}

void Index::BuildSights() {
  const auto& operations = history_.operations;
  std::uint64_t largest = 0;
  for (const Operation& op : operations) {
    const std::uint64_t index = ShownIndex(op);
    if (index != kAbsent) largest = std::max(largest, index);
  }
  dense_ = largest <= operations.size() * 8 + (1 << 20);
  if (!dense_) {
    for (const Operation& op : operations) {
      if (ShownIndex(op) != kAbsent) ranks_.push_back(ShownIndex(op));
    }
    std::sort(ranks_.begin(), ranks_.end());
    ranks_.erase(std::unique(ranks_.begin(), ranks_.end()), ranks_.end());
  }
  sights_.resize(dense_ ? largest + 2 : ranks_.size() + 1);
  for (Position i = 0; i < operations.size(); ++i) {
    const std::uint64_t index = ShownIndex(operations[i]);
    if (index == kAbsent) continue;
    FirstSight& sight = sights_[Slot(index)];
    if (operations[i].returned < sight.at) sight = {operations[i].returned, i};
  }
  for (std::size_t slot = sights_.size() - 1; slot-- > 0;) {
    if (sights_[slot + 1].at < sights_[slot].at) sights_[slot] = sights_[slot + 1];
  }
}

void Index::BuildOrders() {
  const auto& operations = history_.operations;
  std::vector<std::pair<std::uint64_t, Position>> invoked;
  std::vector<std::pair<std::uint64_t, Position>> returned;
  std::unordered_map<std::int64_t, std::uint32_t> numbers;
  invoked.reserve(operations.size());
  returned.reserve(operations.size());
  clients_.reserve(operations.size());
  for (Position i = 0; i < operations.size(); ++i) {
    const Operation& op = operations[i];
    invoked.emplace_back(Ordered(op.invoked), i);
    if (op.returned != kNever) returned.emplace_back(Ordered(op.returned), i);
    if (op.ok() && op.is_read() && op.certificate.index != kAbsent) {
      reads_[static_cast<std::size_t>(op.level)].push_back(i);
    }
    clients_.push_back(
        numbers.try_emplace(op.client, static_cast<std::uint32_t>(numbers.size())).first->second);
  }
  client_count_ = static_cast<std::uint32_t>(numbers.size());
  SortByTime(invoked);
  SortByTime(returned);
  by_invocation_ = Positions(invoked);
  by_return_ = Positions(returned);
}

void Index::BuildWrites() {
  const auto& operations = history_.operations;
  for (Position i = 0; i < operations.size(); ++i) {
    if (!IsAnsweredWrite(operations[i]) || ShownIndex(operations[i]) == kAbsent) continue;
    writes_.push_back({ShownIndex(operations[i]), i, operations[i].key, false});
  }
  std::stable_sort(writes_.begin(), writes_.end(),
                   [](const PlacedWrite& a, const PlacedWrite& b) { return a.index < b.index; });
  const auto same = [&](const PlacedWrite& a, const PlacedWrite& b) {
    if (a.index != b.index) return false;
    same_index_.emplace_back(a.operation, b.operation);
    return true;
  };
  writes_.erase(std::unique(writes_.begin(), writes_.end(), same), writes_.end());
}

// By key: a counting sort, values being numbered from 0. By slot: indices that no answer shows
// share the slot of the next, which At notices.
void Index::GroupWrites() {
  group_begin_.assign(history_.values.size() + 1, 0);
  for (const PlacedWrite& write : writes_) ++group_begin_[write.key + 1];
  for (std::size_t key = 1; key < group_begin_.size(); ++key) {
    group_begin_[key] += group_begin_[key - 1];
  }
  grouped_.resize(writes_.size());
  grouped_index_.resize(writes_.size());
  write_of_slot_.assign(sights_.size(), kNowhere);
  for (Position i = 0; i < writes_.size(); ++i) write_of_slot_[Slot(writes_[i].index)] = i;
  std::vector<Position> next(group_begin_.begin(), group_begin_.end());
  for (Position i = 0; i < writes_.size(); ++i) {
    const Position to = next[writes_[i].key]++;
    grouped_[to] = i;
    grouped_index_[to] = writes_[i].index;
  }
}

Position Index::At(std::uint64_t index) const {
  const Position write = write_of_slot_[Slot(index)];
  return write != kNowhere && writes_[write].index == index ? write : kNowhere;
}

std::size_t Index::CountBetween(std::uint64_t begin, std::uint64_t end) const {
  const auto above = [&](std::uint64_t index) {
    return std::upper_bound(
        writes_.begin(), writes_.end(), index,
        [](std::uint64_t wanted, const PlacedWrite& write) { return wanted < write.index; });
  };
  return begin < end ? static_cast<std::size_t>(above(end) - above(begin)) : 0;
}

std::span<const Position> Index::OfKey(Value key) const {
  if (key + std::size_t{1} >= group_begin_.size()) return {};
  return {grouped_.data() + group_begin_[key], group_begin_[key + 1] - group_begin_[key]};
}

Position Index::Latest(Value key, std::uint64_t index) const {
  if (key + std::size_t{1} >= group_begin_.size()) return kNowhere;
  const auto begin = grouped_index_.begin() + group_begin_[key];
  const auto after = std::upper_bound(begin, grouped_index_.begin() + group_begin_[key + 1], index);
  return after == begin ? kNowhere
                        : grouped_[static_cast<std::size_t>(after - grouped_index_.begin()) - 1];
}

void Index::Place(std::vector<PlacedWrite> proven) {
  if (proven.empty()) return;
  writes_.insert(writes_.end(), proven.begin(), proven.end());
  std::stable_sort(writes_.begin(), writes_.end(),
                   [](const PlacedWrite& a, const PlacedWrite& b) { return a.index < b.index; });
  GroupWrites();
}

}  // namespace quorate::check
