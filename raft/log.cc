#include "raft/log.h"

#include <algorithm>
#include <utility>

#include "raft/assert.h"

namespace quorate::raft {

Log::Log(LogContents contents)
    : start_(contents.start), last_(contents.last), terms_(std::move(contents.terms)) {
  QUORATE_ASSERT(last_ >= start_.index, "a log ends at or after its start");
  QUORATE_ASSERT((last_ == start_.index) == terms_.empty(), "every entry has a term");
}

std::optional<Term> Log::TermAt(Index index) const {
  if (index == start_.index) return start_.term;
  if (index < start_.index || index > last_) return std::nullopt;
  // A handful of runs, and nearly always the last one.
  const auto run = std::find_if(terms_.rbegin(), terms_.rend(),
                                [index](const TermRun& r) { return r.first <= index; });
  QUORATE_ASSERT(run != terms_.rend(), "every entry has a term");
  return run->term;
}

Position Log::LastNotAfter(Index index, Term term) const {
  index = std::min(index, last_);
  for (auto run = terms_.rbegin(); run != terms_.rend(); ++run) {
    if (run->first > index) continue;
    if (run->term <= term) return {index, run->term};
    index = run->first - 1;
  }
  return index < start_.index || start_.term > term ? Position{0, 0} : start_;
}

std::vector<Entry> Log::Slice(Index first, Index last, std::size_t max_bytes) const {
  std::vector<Entry> entries;
  if (first < first_cached() || first > last_) return entries;
  std::size_t bytes = 0;
  for (auto it = cache_.begin() + static_cast<std::ptrdiff_t>(first - first_cached());
       it != cache_.end() && it->index <= last; ++it) {
    bytes += it->ByteSize();
    if (!entries.empty() && bytes > max_bytes) break;
    entries.push_back(*it);
  }
  return entries;
}

std::size_t Log::BytesAfter(Index index) const {
  if (index >= last_) return 0;
  if (index + 1 <= first_cached()) return cached_bytes_;
  return total_bytes_ - bytes_before_[index + 1 - first_cached()];
}

void Log::Append(Entry entry) {
  QUORATE_ASSERT(entry.index == last_ + 1, "log entries are consecutive");
  QUORATE_ASSERT(entry.term >= last_position().term, "terms never go back along the log");
  if (terms_.empty() || terms_.back().term != entry.term)
    terms_.push_back({entry.index, entry.term});
  last_ = entry.index;
  bytes_before_.push_back(total_bytes_);
  total_bytes_ += entry.ByteSize();
  cached_bytes_ += entry.ByteSize();
  cache_.push_back(std::move(entry));
}

void Log::Truncate(Index from) {
  QUORATE_ASSERT(from > start_.index, "what a snapshot covers is never cut");
  while (!cache_.empty() && cache_.back().index >= from) {
    cached_bytes_ -= cache_.back().ByteSize();
    total_bytes_ -= cache_.back().ByteSize();
    cache_.pop_back();
    bytes_before_.pop_back();
  }
  last_ = std::min(last_, from - 1);
  while (!terms_.empty() && terms_.back().first > last_) terms_.pop_back();
}

void Log::CutTo(Position start) {
  QUORATE_ASSERT(Matches(start), "a log is cut at a position that it holds");
  while (!cache_.empty() && cache_.front().index <= start.index) PopFront();
  while (!terms_.empty() && (terms_.size() > 1 ? terms_[1].first : last_ + 1) <= start.index + 1) {
    terms_.erase(terms_.begin());
  }
  if (!terms_.empty()) terms_.front().first = std::max(terms_.front().first, start.index + 1);
  start_ = start;
}

void Log::Reset(Position start) {
  *this = Log(LogContents{.start = start, .terms = {}, .last = start.index});
}

void Log::PopFront() {
  cached_bytes_ -= cache_.front().ByteSize();
  cache_.pop_front();
  bytes_before_.pop_front();
}

void Log::Evict(Index limit, std::size_t max_bytes) {
  while (cached_bytes_ > max_bytes && !cache_.empty() && cache_.front().index <= limit) PopFront();
}

}  // namespace quorate::raft
