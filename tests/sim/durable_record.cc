#include "tests/sim/durable_record.h"

#include <algorithm>

namespace quorate::sim {
namespace {

raft::Term At(const std::vector<raft::Term>& terms, raft::Index index) {
  return index == 0 || index > terms.size() ? 0 : terms[index - 1];
}

std::vector<raft::Term> Expand(const raft::LogContents& contents) {
  std::vector<raft::Term> terms(contents.last);
  for (const raft::TermRun& run : contents.terms) {
    std::fill(terms.begin() + static_cast<std::ptrdiff_t>(run.first - 1), terms.end(), run.term);
  }
  return terms;
}

std::string Show(const raft::HardState& state) {
  return "term " + std::to_string(state.term) + " vote " + std::to_string(state.vote);
}

}  // namespace

raft::Term DurableRecord::TermAt(raft::Index index) const {
  return At(terms_, index);
}
raft::Term DurableRecord::WrittenTermAt(raft::Index index) const {
  return At(written_, index);
}

bool DurableRecord::Certain(raft::Index index, raft::Term term) const {
  const auto replaces = [index](const Pending& batch) {
    return batch.first != 0 && batch.first <= index;
  };
  return TermAt(index) == term && std::none_of(pending_.begin(), pending_.end(), replaces) &&
         std::none_of(uncertain_.begin(), uncertain_.end(), replaces);
}

void DurableRecord::Overwrite(std::vector<raft::Term>& log, const Pending& batch) {
  if (batch.first == 0) return;
  log.resize(batch.first - 1);
  log.insert(log.end(), batch.terms.begin(), batch.terms.end());
}

DurableRecord::Pending DurableRecord::Describe(SimTime begin, SimTime end,
                                               const raft::AppendBatch& batch) {
  Pending pending{
      begin, end, batch.hard_state, batch.entries.empty() ? 0 : batch.entries.front().index, {}};
  for (const raft::Entry& entry : batch.entries) pending.terms.push_back(entry.term);
  return pending;
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

void DurableRecord::Settle(SimTime now) {
  auto batch = pending_.begin();
  for (; batch != pending_.end() && batch->end <= now; ++batch) {
    Overwrite(terms_, *batch);
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
  raft::Index certain = last();
  bool known = found.hard_state == hard_state_;
  for (const auto& batches : {&pending_, &uncertain_}) {
    for (const Pending& batch : *batches) {
      if (batch.first != 0) certain = std::min(certain, batch.first - 1);
      known = known || found.hard_state == batch.hard_state;
    }
  }
  if (!known) {
    return "recovered " + Show(found.hard_state) + ", but " + Show(hard_state_) + " was durable";
  }
  if (found.contents.last < certain) {
    return "recovered " + std::to_string(found.contents.last) + " entries, but " +
           std::to_string(certain) + " were durable";
  }
  const std::vector<raft::Term> terms = Expand(found.contents);
  for (raft::Index index = 1; index <= certain; ++index) {
    if (At(terms, index) != TermAt(index)) {
      return "recovered entry " + std::to_string(index) + " with term " +
             std::to_string(At(terms, index)) + ", but term " + std::to_string(TermAt(index)) +
             " was durable";
    }
  }
  return std::nullopt;
}

void DurableRecord::Restart(const storage::LogRecovery& found) {
  hard_state_ = found.hard_state;
  terms_ = written_ = Expand(found.contents);
  pending_.clear();
  uncertain_.clear();
}

}  // namespace quorate::sim
