// A history by applied index: what was known when, and which write made which state.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "jepsen/check/history.h"

namespace quorate::check {

// Positions in History::operations, and in Index::writes().
using Position = std::uint32_t;
inline constexpr Position kNowhere = 0xffffffff;

// A write whose place in the log is known: by its answer, or because a read proves it.
struct PlacedWrite {
  std::uint64_t index = 0;
  Position operation = kNowhere;
  Value key = kNil;
  bool proven_by_read = false;
};

// The first answer, by time, that showed an index or a later one.
struct FirstSight {
  Time at = kNever;  // kNever: none did
  Position operation = kNowhere;
};

// The index that an `ok` operation shows as committed: a read's applied index, a write's own.
// kAbsent: none.
std::uint64_t ShownIndex(const Operation& operation);
// Whether it is a write of the store that has an answer.
bool IsAnsweredWrite(const Operation& operation);

// Refers to the history, which must stay as it is. Everything is O(n), or O(n log n) where indices
// are far apart. Read-only once Place is done.
class Index {
 public:
  explicit Index(const History& history);

  const History& history() const { return history_; }
  const Operation& operation(Position position) const { return history_.operations[position]; }

  // ---- What was known when ----

  // Of `index` or any above it.
  FirstSight SightOf(std::uint64_t index) const { return sights_[Slot(index)]; }
  FirstSight SightAbove(std::uint64_t index, std::uint64_t lag = 0) const {
    return index >= kAbsent - lag ? FirstSight{} : SightOf(index + lag + 1);
  }

  // A number for each index that is shown, rising with it, below slot_count(): for tables.
  std::size_t Slot(std::uint64_t index) const;
  std::size_t slot_count() const { return sights_.size(); }

  // Positions of all operations, by time.
  std::span<const Position> by_invocation() const { return by_invocation_; }
  // Only those that returned.
  std::span<const Position> by_return() const { return by_return_; }
  // `ok` reads with an applied index, in the order of the file.
  std::span<const Position> reads(Level level) const {
    return reads_[static_cast<std::size_t>(level)];
  }
  // Clients and nodes, numbered from 0.
  std::uint32_t client(Position operation) const { return clients_[operation]; }
  std::uint32_t client_count() const { return client_count_; }

  // ---- Writes ----

  // By index. Of two with one index, only the first in the file (exactly_once.cc reports it).
  const std::vector<PlacedWrite>& writes() const { return writes_; }
  std::span<const std::pair<Position, Position>> same_index() const { return same_index_; }
  // The write at exactly this index; kNowhere.
  Position At(std::uint64_t index) const;
  // How many have an index above `begin` and up to `end`.
  std::size_t CountBetween(std::uint64_t begin, std::uint64_t end) const;
  // Those of one key, by index: positions in writes().
  std::span<const Position> OfKey(Value key) const;
  // The last of a key at or before an index; kNowhere.
  Position Latest(Value key, std::uint64_t index) const;

  // Adds writes whose place a read has proven, at indices that no write has yet.
  void Place(std::vector<PlacedWrite> proven);

 private:
  void BuildSights();
  void BuildOrders();
  void BuildWrites();
  void GroupWrites();

  const History& history_;
  bool dense_ = true;                 // slots are the indices themselves
  std::vector<std::uint64_t> ranks_;  // not dense: the indices shown, ascending
  std::vector<FirstSight> sights_;    // by slot; the last one is of what nobody has shown
  std::vector<Position> by_invocation_;
  std::vector<Position> by_return_;
  std::vector<Position> reads_[4];
  std::vector<std::uint32_t> clients_;
  std::uint32_t client_count_ = 0;
  std::vector<PlacedWrite> writes_;
  std::vector<Position> write_of_slot_;  // positions in writes_
  std::vector<std::pair<Position, Position>> same_index_;
  std::vector<Position> grouped_;             // positions in writes_, by key, then index
  std::vector<std::uint64_t> grouped_index_;  // their indices
  std::vector<Position> group_begin_;         // by key; one more than keys
};

}  // namespace quorate::check
