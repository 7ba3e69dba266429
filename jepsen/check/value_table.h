// The values of a history, each stored once: equal values have equal numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::check {

// 0 is nil: an absent key, JSON's null, EDN's nil.
using Value = std::uint32_t;
inline constexpr Value kNil = 0;

// Of a history's numbers. Wraps rather than overflows: a corrupt history must not be undefined
// behaviour.
inline std::int64_t Plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
inline std::int64_t Minus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

// Not thread-safe. Text that it returns stays valid and in place as long as the table.
class ValueTable {
 public:
  enum class Kind : std::uint8_t { kNothing, kNumber, kText, kList };

  ValueTable();
  ValueTable(ValueTable&&) = default;
  ValueTable& operator=(ValueTable&&) = default;

  Value Number(std::int64_t number);
  Value Text(std::string_view text);
  // A list, vector, or map (as a list of pairs, ordered by key) of other values.
  Value List(const std::vector<Value>& items);

  Kind kind(Value value) const { return entries_[value].kind; }
  std::int64_t number(Value value) const { return entries_[value].number; }
  // Empty for what is not text.
  std::string_view text(Value value) const;
  std::vector<Value> items(Value value) const;
  // Of a list: one of its items, kNil if it has not so many.
  Value item(Value value, std::size_t at) const;
  std::size_t item_count(Value value) const;
  // A number, or text that is one: counters are kept as decimal text by some.
  bool AsNumber(Value value, std::int64_t& number) const;
  // For people; long ones are cut.
  std::string Show(Value value) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Kind kind = Kind::kNothing;
    std::uint32_t bytes = 0;
    std::int64_t number = 0;
    const char* text = nullptr;
  };

  Value Intern(Kind kind, std::int64_t number, std::string_view bytes);
  const char* Keep(std::string_view bytes);
  void Grow();

  std::vector<Entry> entries_;
  std::vector<std::uint64_t> hashes_;  // of the entry with the same number
  std::vector<Value> slots_;           // open addressing; 0: free
  std::deque<std::string> blocks_;
  std::size_t block_used_ = 0;
};

}  // namespace quorate::check
