// The core's log against a naive model that keeps every entry, under random operations.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "raft/log.h"

namespace quorate::raft {
namespace {

Entry Make(Index index, Term term, std::size_t size = 8) {
  return {term, index, EntryKind::kCommand, Bytes::Copy(std::string(size, 'x'))};
}

Log Empty() {
  return Log(LogContents{});
}

// Every entry since the start, and how many of them memory still holds.
struct Model {
  Position start;
  std::vector<Entry> entries;
  std::size_t cached = 0;

  Index last() const { return start.index + entries.size(); }
  std::optional<Term> TermAt(Index index) const {
    if (index == start.index) return start.term;
    if (index < start.index || index > last()) return std::nullopt;
    return entries[index - start.index - 1].term;
  }
  const Entry& At(Index index) const { return entries[index - start.index - 1]; }
  Index first_cached() const { return last() + 1 - cached; }

  Position LastNotAfter(Index index, Term term) const {
    for (Index i = std::min(index, last()); i > start.index; --i) {
      if (*TermAt(i) <= term) return {i, *TermAt(i)};
    }
    return index < start.index || start.term > term ? Position{} : start;
  }
  std::vector<Entry> Slice(Index first, Index to, std::size_t max_bytes) const {
    std::vector<Entry> slice;
    std::size_t bytes = 0;
    for (Index i = first; i >= first_cached() && i <= std::min(to, last()); ++i) {
      bytes += At(i).ByteSize();
      if (!slice.empty() && bytes > max_bytes) break;
      slice.push_back(At(i));
    }
    return slice;
  }
  std::size_t BytesAfter(Index index) const {
    std::size_t bytes = 0;
    for (Index i = std::max(index + 1, first_cached()); i <= last(); ++i) bytes += At(i).ByteSize();
    return bytes;
  }
};

void Compare(const Log& log, const Model& model, std::mt19937_64& random) {
  ASSERT_EQ(log.first(), model.start.index + 1);
  ASSERT_EQ(log.last(), model.last());
  ASSERT_EQ(log.last_position(), (Position{model.last(), *model.TermAt(model.last())}));
  ASSERT_EQ(log.first_cached(), model.first_cached());
  ASSERT_EQ(log.cached_bytes(), model.BytesAfter(0));
  for (Index i = 0; i <= model.last() + 2; ++i) {
    ASSERT_EQ(log.TermAt(i), model.TermAt(i)) << i;
    ASSERT_EQ(log.BytesAfter(i), model.BytesAfter(i)) << i;
    const Term term = random() % 12;
    ASSERT_EQ(log.LastNotAfter(i, term), model.LastNotAfter(i, term)) << i << " " << term;
    ASSERT_EQ(log.Matches({i, term}), model.TermAt(i) == term);
    const Index to = i + random() % 5;
    const std::size_t bytes = random() % 300;
    ASSERT_EQ(log.Slice(i, to, bytes), model.Slice(i, to, bytes)) << i << ".." << to;
  }
}

void RandomStep(Log& log, Model& model, std::mt19937_64& random) {
  const auto choice = random() % 10;
  if (choice < 6 || model.entries.empty()) {
    const Term last = *model.TermAt(model.last());
    const Entry entry =
        Make(model.last() + 1, std::max<Term>(1, last + (random() % 4 == 0)), random() % 100);
    log.Append(entry);
    model.entries.push_back(entry);
    ++model.cached;
  } else if (choice < 8) {
    const Index from = model.start.index + 1 + random() % (model.entries.size() + 1);
    log.Truncate(from);
    const std::size_t kept = from - model.start.index - 1;
    const std::size_t cut = model.entries.size() - kept;
    model.entries.resize(kept);
    model.cached -= std::min(model.cached, cut);
  } else {
    const Index limit = random() % (model.last() + 2);
    const std::size_t max_bytes = random() % 600;
    log.Evict(limit, max_bytes);
    while (model.cached > 0 && model.BytesAfter(0) > max_bytes && model.first_cached() <= limit) {
      --model.cached;
    }
  }
}

TEST(RaftLog, MatchesNaiveModel) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    Model model;
    if (seed % 2 == 0) model.start = {5, 2};
    Log log(LogContents{model.start, {}, model.start.index});
    for (int step = 0; step < 150; ++step) {
      RandomStep(log, model, random);
      ASSERT_NO_FATAL_FAILURE(Compare(log, model, random)) << "seed " << seed << " step " << step;
    }
  }
}

TEST(RaftLog, OpensWithTermsAndWithoutEntries) {
  const Log log(LogContents{{3, 1}, {{4, 1}, {6, 4}}, 8});
  EXPECT_EQ(log.first(), 4U);
  EXPECT_EQ(log.last_position(), (Position{8, 4}));
  EXPECT_EQ(log.TermAt(2), std::nullopt);
  EXPECT_EQ(log.TermAt(3), 1U);
  EXPECT_EQ(log.TermAt(5), 1U);
  EXPECT_EQ(log.TermAt(6), 4U);
  EXPECT_EQ(log.TermAt(9), std::nullopt);
  EXPECT_TRUE(log.Slice(4, 8, 1000).empty());
  EXPECT_EQ(log.first_cached(), 9U);
}

// A tail that was only on disk is cut, and entries of a new term follow.
TEST(RaftLog, TruncatesBelowWhatIsCached) {
  Log log(LogContents{{0, 0}, {{1, 1}, {4, 2}}, 6});
  log.Append(Make(7, 3));
  log.Truncate(3);
  EXPECT_EQ(log.last_position(), (Position{2, 1}));
  EXPECT_EQ(log.cached_bytes(), 0U);
  log.Append(Make(3, 5));
  EXPECT_EQ(log.TermAt(3), 5U);
  EXPECT_EQ(log.Slice(3, 3, 1).size(), 1U);
}

TEST(RaftLog, IsCutAtAPositionAndKeepsTheRest) {
  Log log(LogContents{{0, 0}, {{1, 1}, {4, 2}}, 6});
  log.Append(Make(7, 3));
  log.Append(Make(8, 3));
  log.CutTo({4, 2});
  EXPECT_EQ(log.first(), 5U);
  EXPECT_EQ(log.start(), (Position{4, 2}));
  EXPECT_EQ(log.TermAt(3), std::nullopt);
  EXPECT_EQ(log.TermAt(5), 2U);
  EXPECT_EQ(log.LastNotAfter(6, 2), (Position{6, 2}));
  EXPECT_EQ(log.LastNotAfter(6, 1), (Position{0, 0}));
  log.CutTo({7, 3});
  EXPECT_EQ(log.Slice(8, 8, 1000).size(), 1U);
  EXPECT_EQ(log.BytesAfter(7), log.cached_bytes());
  log.CutTo({8, 3});
  EXPECT_EQ(log.last_position(), (Position{8, 3}));
  EXPECT_EQ(log.cached_bytes(), 0U);
  log.Append(Make(9, 3));
  EXPECT_EQ(log.TermAt(9), 3U);
}

TEST(RaftLog, StartsAnewBehindASnapshot) {
  Log log(LogContents{{0, 0}, {{1, 1}}, 6});
  log.Append(Make(7, 3));
  log.Reset({5, 4});
  EXPECT_EQ(log.last_position(), (Position{5, 4}));
  EXPECT_EQ(log.first(), 6U);
  EXPECT_EQ(log.cached_bytes(), 0U);
  log.Append(Make(6, 4));
  EXPECT_EQ(log.BytesAfter(5), log.cached_bytes());
}

TEST(RaftLog, SliceReturnsAtLeastOneEntry) {
  Log log = Empty();
  log.Append(Make(1, 1, 5000));
  log.Append(Make(2, 1, 5000));
  EXPECT_EQ(log.Slice(1, 2, 1).size(), 1U);
  EXPECT_EQ(log.Slice(1, 2, 20000).size(), 2U);
  EXPECT_EQ(log.Slice(1, 1, 20000).size(), 1U);
}

TEST(RaftLogDeath, RefusesWhatWouldBreakTheLog) {
  Log log = Empty();
  log.Append(Make(1, 2));
  EXPECT_DEATH(log.Append(Make(3, 2)), "consecutive");
  EXPECT_DEATH(log.Append(Make(2, 1)), "terms never go back");
  EXPECT_DEATH(log.Truncate(0), "never cut");
}

}  // namespace
}  // namespace quorate::raft
