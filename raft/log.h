// The log as the core sees it: recent entries in memory, and the term of every entry.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "raft/entry.h"
#include "raft/types.h"

namespace quorate::raft {

// Entries from `first` on (to the next run, or the end) have `term`.
struct TermRun {
  Index first = 0;
  Term term = 0;
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

// What a log holds, without the entries themselves.
struct LogContents {
  Position start;  // the entry before the first one: {0, 0}, or where a snapshot cut the log
  std::vector<TermRun> terms;  // ascending in both fields
  Index last = 0;              // == start.index if there are no entries
};

// Terms are kept for the whole log as runs (one per leader, so a handful); entries only for a tail.
// Entries leave memory from the front, oldest first.
class Log {
 public:
  explicit Log(LogContents contents);

  Position start() const { return start_; }
  Index first() const { return start_.index + 1; }
  Index last() const { return last_; }
  Position last_position() const { return {last_, TermAt(last_).value_or(0)}; }
  // Nothing if the index is before the start or after the last entry.
  std::optional<Term> TermAt(Index index) const;
  bool Matches(Position position) const { return TermAt(position.index) == position.term; }
  // The last position at or before `index` whose term is at most `term`: where two logs may still
  // agree. Skips a whole term per round trip (Raft 5.3).
  Position LastNotAfter(Index index, Term term) const;

  // Entries [first, ...] from memory, up to `max_bytes` but at least one. Empty if `first` is not
  // in memory.
  std::vector<Entry> Slice(Index first, Index last, std::size_t max_bytes) const;
  Index first_cached() const { return last_ + 1 - cache_.size(); }
  std::size_t cached_bytes() const { return cached_bytes_; }
  // Bytes of entries after `index` that are in memory.
  std::size_t BytesAfter(Index index) const;

  void Append(Entry entry);   // index must be last() + 1, term not below the last one
  void Truncate(Index from);  // drops entries from `from` on
  // Forgets everything up to `start`, which must be a position of this log.
  void CutTo(Position start);
  // Forgets everything: the log is empty behind `start`.
  void Reset(Position start);
  // Forgets entries up to `limit` from memory until at most `max_bytes` are held.
  void Evict(Index limit, std::size_t max_bytes);

 private:
  void PopFront();

  Position start_;
  Index last_;
  std::vector<TermRun> terms_;
  std::deque<Entry> cache_;  // ends at last_
  std::deque<std::size_t>
      bytes_before_;             // for each cached entry, the total of all appended before it
  std::size_t total_bytes_ = 0;  // of everything ever appended, minus what was cut
  std::size_t cached_bytes_ = 0;
};

}  // namespace quorate::raft
