#include "jepsen/check/value_table.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace quorate::check {
namespace {

constexpr std::size_t kBlockBytes = 256 << 10;
constexpr std::size_t kShownBytes = 60;

std::uint64_t Mix(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93;
  x ^= x >> 32;
  return x;
}

// Eight bytes at a time; it need not resist an adversary, only spread.
std::uint64_t Hash(std::uint64_t seed, std::string_view bytes) {
  std::uint64_t hash = Mix(seed + bytes.size() * 0x9e3779b97f4a7c15);
  while (bytes.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = Mix(hash ^ word) * 0x9e3779b97f4a7c15;
    bytes.remove_prefix(8);
  }
  std::uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  return Mix(hash ^ word);
}

}  // namespace

ValueTable::ValueTable() : entries_(1), hashes_(1), slots_(1 << 10) {}

Value ValueTable::Number(std::int64_t number) {
  return Intern(Kind::kNumber, number, {});
}

Value ValueTable::Text(std::string_view text) {
  return Intern(Kind::kText, 0, text);
}

Value ValueTable::List(const std::vector<Value>& items) {
  return Intern(Kind::kList, 0,
                {reinterpret_cast<const char*>(items.data()), items.size() * sizeof(Value)});
}

std::string_view ValueTable::text(Value value) const {
  const Entry& entry = entries_[value];
  return entry.kind == Kind::kText ? std::string_view(entry.text, entry.bytes) : std::string_view();
}

std::vector<Value> ValueTable::items(Value value) const {
  const Entry& entry = entries_[value];
  if (entry.kind != Kind::kList) return {};
  std::vector<Value> items(entry.bytes / sizeof(Value));
  if (!items.empty()) std::memcpy(items.data(), entry.text, entry.bytes);
  return items;
}

std::size_t ValueTable::item_count(Value value) const {
  const Entry& entry = entries_[value];
  return entry.kind == Kind::kList ? entry.bytes / sizeof(Value) : 0;
}

Value ValueTable::item(Value value, std::size_t at) const {
  Value item = kNil;
  if (at < item_count(value)) {
    std::memcpy(&item, entries_[value].text + at * sizeof(Value), sizeof item);
  }
  return item;
}

bool ValueTable::AsNumber(Value value, std::int64_t& number) const {
  const Entry& entry = entries_[value];
  if (entry.kind == Kind::kNumber) {
    number = entry.number;
    return true;
  }
  if (entry.kind != Kind::kText || entry.bytes == 0) return false;
  const char* end = entry.text + entry.bytes;
  const auto [stop, error] = std::from_chars(entry.text, end, number);
  return error == std::errc() && stop == end;
}

std::string ValueTable::Show(Value value) const {
  switch (kind(value)) {
    case Kind::kNothing:
      return "nothing";
    case Kind::kNumber:
      return std::to_string(number(value));
    case Kind::kText: {
      const std::string_view all = text(value);
      if (all.size() <= kShownBytes) return '"' + std::string(all) + '"';
      return '"' + std::string(all.substr(0, kShownBytes / 2)) + "..." +
             std::string(all.substr(all.size() - kShownBytes / 2)) + "\" (" +
             std::to_string(all.size()) + " bytes)";
    }
    case Kind::kList:
      break;
  }
  std::string shown = "[";
  const std::vector<Value> all = items(value);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) shown += ' ';
    if (shown.size() > kShownBytes) return shown + "...] (" + std::to_string(all.size()) + ")";
    shown += Show(all[i]);
  }
  return shown + ']';
}

Value ValueTable::Intern(Kind kind, std::int64_t number, std::string_view bytes) {
  const std::uint64_t hash =
      Hash(static_cast<std::uint64_t>(number) * 4 + static_cast<std::uint64_t>(kind), bytes);
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const Value value = slots_[slot];
    if (hashes_[value] != hash) continue;
    const Entry& entry = entries_[value];
    if (entry.kind == kind && entry.number == number && entry.bytes == bytes.size() &&
        (bytes.empty() || std::memcmp(entry.text, bytes.data(), bytes.size()) == 0)) {
      return value;
    }
  }
  const auto value = static_cast<Value>(entries_.size());
  slots_[slot] = value;
  entries_.push_back({kind, static_cast<std::uint32_t>(bytes.size()), number, Keep(bytes)});
  hashes_.push_back(hash);
  if (entries_.size() * 2 > slots_.size()) Grow();
  return value;
}

const char* ValueTable::Keep(std::string_view bytes) {
  if (bytes.empty()) return nullptr;
  if (blocks_.empty() || block_used_ + bytes.size() > blocks_.back().size()) {
    blocks_.emplace_back(std::max(kBlockBytes, bytes.size()), '\0');
    block_used_ = 0;
  }
  char* kept = blocks_.back().data() + block_used_;
  std::memcpy(kept, bytes.data(), bytes.size());
  block_used_ += bytes.size();
  return kept;
}

void ValueTable::Grow() {
  slots_.assign(slots_.size() * 2, 0);
  const std::size_t mask = slots_.size() - 1;
  for (Value value = 1; value < entries_.size(); ++value) {
    std::size_t slot = hashes_[value] & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = value;
  }
}

}  // namespace quorate::check
