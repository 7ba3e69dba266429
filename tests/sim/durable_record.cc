#include "tests/sim/durable_record.h"

#include <algorithm>

namespace quorate::sim {
namespace {

LogImage Expand(const raft::LogContents& contents) {
  LogImage image{contents.start, std::vector<raft::Term>(contents.last - contents.start.index)};
  for (const raft::TermRun& run : contents.terms) {
    const auto from = std::max(run.first, contents.start.index + 1) - contents.start.index - 1;
    if (from < image.terms.size()) {
      std::fill(image.terms.begin() + static_cast<std::ptrdiff_t>(from), image.terms.end(),
                run.term);
    }
  }
  return image;
}

std::string Show(const raft::HardState& state) {
  return "term " + std::to_string(state.term) + " vote " + std::to_string(state.vote);
}

}  // namespace

raft::Term LogImage::TermAt(raft::Index index) const {
  if (index == start.index) return start.term;
  return index < start.index || index > last() ? 0 : terms[index - start.index - 1];
}

bool DurableRecord::Holds(raft::Index index, raft::Term term) const {
  return index <= covered_ || index <= durable_.start.index || TermAt(index) == term;
}

bool DurableRecord::Certain(raft::Index index, raft::Term term) const {
  if (index <= covered_) return true;
  const auto replaces = [index](const Pending& batch) { return Spared(batch, index) < index; };
  return TermAt(index) == term && std::none_of(pending_.begin(), pending_.end(), replaces) &&
         std::none_of(uncertain_.begin(), uncertain_.end(), replaces);
}

raft::Index DurableRecord::Spared(const Pending& batch, raft::Index index) {
  if (batch.reset) return 0;
  return batch.first == 0 ? index : std::min(index, batch.first - 1);
}

void DurableRecord::Overwrite(LogImage& log, const Pending& batch) {
  if (batch.reset) log = {*batch.reset, {}};
  if (batch.first == 0) return;
  log.terms.resize(batch.first - 1 - log.start.index);
  log.terms.insert(log.terms.end(), batch.terms.begin(), batch.terms.end());
}

DurableRecord::Pending DurableRecord::Describe(SimTime begin, SimTime end,
                                               const raft::AppendBatch& batch) {
  Pending pending{begin,
                  end,
                  batch.reset ? std::optional(batch.reset->position) : std::nullopt,
                  batch.hard_state,
                  batch.entries.empty() ? 0 : batch.entries.front().index,
                  {}};
  for (const raft::Entry& entry : batch.entries) pending.terms.push_back(entry.term);
  return pending;
}

void DurableRecord::BeginAppend() {
  if (uncertain_.empty()) {
    written_before_ = written_;
  } else {
    written_ = written_before_;
  }
}

void DurableRecord::Issue(SimTime begin, SimTime end, const raft::AppendBatch& batch) {
  uncertain_.clear();  // what was given up has been written again, before this
  pending_.push_back(Describe(begin, end, batch));
  Overwrite(written_, pending_.back());
}

void DurableRecord::IssueUncertain(const raft::AppendBatch& batch) {
  uncertain_.push_back(Describe(SimTime::max(), SimTime::max(), batch));
  Overwrite(written_, uncertain_.back());
}

void DurableRecord::NoteSync(const Pending& batch) {
  if (batch.end != last_sync_end_) {
    last_sync_end_ = batch.end;
    cuts_.clear();
  }
  AddCuts(batch, hard_state_, durable_.last());
}

// Before its first record, and between its entries and its term and vote.
void DurableRecord::AddCuts(const Pending& batch, const raft::HardState& before, raft::Index last) {
  cuts_.push_back({before, last});
  if (batch.hard_state) cuts_.push_back({*batch.hard_state, last});
  for (Cut& cut : cuts_) cut.last = Spared(batch, cut.last);
}

void DurableRecord::Settle(SimTime now) {
  auto batch = pending_.begin();
  for (; batch != pending_.end() && batch->end <= now; ++batch) {
    NoteSync(*batch);
    Overwrite(durable_, *batch);
    if (batch->hard_state) hard_state_ = *batch->hard_state;
  }
  pending_.erase(pending_.begin(), batch);
}

void DurableRecord::Killed(SimTime now) {
  Settle(now);
  for (Pending& batch : pending_) {
    if (batch.begin > now) batch.end = SimTime::max();
  }
}

void DurableRecord::PowerCut(SimTime now) {
  Settle(now);
  for (Pending& batch : pending_) batch.end = SimTime::max();
}

std::optional<std::string> DurableRecord::Contradiction(const storage::LogRecovery& found) const {
  raft::Index certain = durable_.last();
  bool known = found.hard_state == hard_state_;
  for (const auto& batches : {&pending_, &uncertain_}) {
    for (const Pending& batch : *batches) {
      certain = Spared(batch, certain);
      known = known || found.hard_state == batch.hard_state;
    }
  }
  const raft::Position start = found.contents.start;
  // A snapshot took the place of a log that did not lead to it; that may have raised the term.
  const bool replaced = start.index > durable_.start.index && TermAt(start.index) != start.term;
  if (!known && !(replaced && found.hard_state == raft::HardState{start.term, raft::kNoNode} &&
                  start.term > hard_state_.term)) {
    return "recovered " + Show(found.hard_state) + ", but " + Show(hard_state_) + " was durable";
  }
  if (replaced) return std::nullopt;
  if (found.contents.last < certain) {
    return "recovered " + std::to_string(found.contents.last) + " entries, but " +
           std::to_string(certain) + " were durable";
  }
  const LogImage image = Expand(found.contents);
  for (raft::Index index = std::max(start.index, durable_.start.index) + 1; index <= certain;
       ++index) {
    if (image.TermAt(index) != TermAt(index)) {
      return "recovered entry " + std::to_string(index) + " with term " +
             std::to_string(image.TermAt(index)) + ", but term " + std::to_string(TermAt(index)) +
             " was durable";
    }
  }
  return std::nullopt;
}

bool DurableRecord::LacksLastSyncOnly(const storage::LogRecovery& found) const {
  return std::any_of(cuts_.begin(), cuts_.end(), [&](const Cut& cut) {
    DurableRecord left = *this;
    left.hard_state_ = cut.hard_state;
    left.durable_.terms.resize(std::max(cut.last, durable_.start.index) - durable_.start.index);
    return !left.Contradiction(found);
  });
}

void DurableRecord::Restart(const storage::LogRecovery& found, raft::Index applied) {
  // What a sync that never ended has left proves those before it; recovery has synced it again, and
  // nothing proves that.
  const bool found_more = found.hard_state != hard_state_ || found.contents.last > durable_.last();
  if (found_more) cuts_.clear();
  for (const auto& batches : {&pending_, &uncertain_}) {
    for (const Pending& batch : *batches) AddCuts(batch, hard_state_, durable_.last());
  }
  hard_state_ = found.hard_state;
  durable_ = written_ = Expand(found.contents);
  covered_ = applied;
  pending_.clear();
  uncertain_.clear();
}

}  // namespace quorate::sim
