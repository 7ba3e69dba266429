#include "src/read_path.h"

#include <algorithm>
#include <utility>

#include "raft/assert.h"

namespace quorate::server {
namespace {

// Deadlines are kept to within this; what waits is not looked through more often.
constexpr raft::Duration kExpirySpacing{5'000};
constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr int kTypicalOver = 8;  // confirmations that a moving average covers, about

}  // namespace

void AgeWindow::Note(raft::Time now, raft::Duration age) {
  const std::int64_t number = now.count() / kMicrosPerSecond;
  Second& second = seconds_[static_cast<std::size_t>(number) % seconds_.size()];
  if (second.number != number) second = {number, raft::Duration(0)};
  second.largest = std::max(second.largest, age);
}

raft::Duration AgeWindow::Largest(raft::Time now) const {
  const std::int64_t oldest = now.count() / kMicrosPerSecond - std::ssize(seconds_);
  raft::Duration largest{0};
  for (const Second& second : seconds_) {
    if (second.number > oldest) largest = std::max(largest, second.largest);
  }
  return largest;
}

ReadPath::ReadPath(raft::Raft& core, raft::Index last_at_start, Grant grant)
    : core_(core),
      last_at_start_(last_at_start),
      grant_(std::move(grant)),
      anchors_(core.options().control) {}

// Before the restart this node may have served anything up to its last entry, and RocksDB may have
// fallen back to an earlier flush: it serves again once either its old log or what the cluster had
// committed meanwhile is applied (D6.1). Without any configuration it is new, or wiped: it may have
// served everything in an earlier life.
bool ReadPath::CaughtUp(raft::Index applied) const {
  if (caught_up_) return true;
  const bool known = core_.configuration().incarnation != 0;
  caught_up_ = known && (applied >= last_at_start_ || anchors_.Proving(applied, 0) != nullptr);
  return caught_up_;
}

Knowledge ReadPath::Know(const ReadNeed& need, raft::Index applied) const {
  Knowledge known{.anchors = anchors_,
                  .applied = applied,
                  .commit = core_.commit(),
                  .caught_up = CaughtUp(applied),
                  .own_past = std::nullopt,
                  .clock_jumped = clock_jumped_,
                  .diverged = std::nullopt};
  if (core_.configuration().incarnation != 0) known.own_past = last_at_start_;
  if (need.incarnation != 0 || need.min_term != 0) known.diverged = Divergence(need);
  return known;
}

// A leader change alone never makes a token wrong: what it has seen was committed, and stays so.
std::optional<Knowledge::Divergence> ReadPath::Divergence(const ReadNeed& need) const {
  const std::uint64_t incarnation = core_.configuration().incarnation;
  if (need.incarnation != 0 && incarnation != 0 && need.incarnation != incarnation) {
    return Knowledge::Divergence{incarnation, need.incarnation};
  }
  if (need.min_term == 0 || need.min_index == 0 || need.min_index > core_.commit()) {
    return std::nullopt;
  }
  const auto term = core_.log().TermAt(need.min_index);  // unknown below the log's start
  if (!term || *term == need.min_term) return std::nullopt;
  return Knowledge::Divergence{*term, need.min_term};
}

bool ReadPath::Judge(Read& read, raft::Index applied, raft::Time now) {
  const bool waited = read.waited_apply.count() > 0;
  const ReadVerdict verdict =
      JudgeRead(read.need, Know(read.need, applied), read.confirmed(), waited, now);
  Decided(read, verdict, applied, now);
  return verdict.step == ReadVerdict::Step::kServe || verdict.step == ReadVerdict::Step::kRefuse;
}

void ReadPath::Decided(Read& read, const ReadVerdict& verdict, raft::Index applied,
                       raft::Time now) {
  read.judged = now;
  read.clock = clock_;
  read.next = verdict;
  if (verdict.step == ReadVerdict::Step::kRefuse) {
    read.decision = Decision::kRefused;
    read.refusal = verdict.refusal;
  } else if (!verdict.met) {
    read.decision = Decision::kServedUnmet;
  } else if (read.confirmation && read.confirmation->failure == raft::ReadFailure::kNone) {
    read.decision = Decision::kConfirmed;
  } else if (read.waited_apply.count() > 0) {
    read.decision = Decision::kWaitedForApply;
  } else {
    read.decision = Decision::kServedLocally;
  }
  if (const auto* anchor = anchors_.Proving(applied, read.need.max_lag)) {
    read.anchor = *anchor;
  }
}

bool ReadPath::DecideAgain(Read& read, raft::Index index, raft::Time read_at) {
  if (read.clock == clock_ && read_at < read.judged) OnClockJump();
  if (read.decision == Decision::kServedUnmet) return true;
  if (read.confirmed() != nullptr && read.confirmed()->failure == raft::ReadFailure::kNone) {
    return true;  // as fresh as the request's arrival, however long the disk took
  }
  if (read.need.max_age) {
    const Proof proof = ProofOf(read, index, read_at);
    if (proof.basis != Proof::Basis::kNone && proof.age <= *read.need.max_age) return true;
    read.anchor.reset();
    return Judge(read, index, read_at);
  }
  return true;
}

Proof ReadPath::ProofOf(const Read& read, raft::Index index, raft::Time read_at) const {
  // A reading of a clock that has jumped since says nothing of how long ago an anchor was.
  if (read.clock != clock_) {
    return Prove(read.need, Anchors({}), read.confirmed(), nullptr, index, read_at);
  }
  const raft::Freshness* held = read.anchor ? &*read.anchor : nullptr;
  return Prove(read.need, anchors_, read.confirmed(), held, index, read_at);
}

void ReadPath::Wait(Read read, raft::Time now) {
  read.waiting_since = now;
  next_expiry_ = std::min(next_expiry_, std::max(read.deadline, last_expiry_ + kExpirySpacing));
  Queue(std::move(read), now);
}

void ReadPath::Queue(Read read, raft::Time now) {
  read.waiting_since = now;
  if (read.next.step == ReadVerdict::Step::kConfirm) {
    queued_.push_back(std::move(read));
  } else {
    const raft::Index index = read.next.wait_for;
    for_apply_.emplace(index, std::move(read));
  }
}

// What was read before the jump would say that less time has passed than has.
void ReadPath::OnClockJump() {
  core_.OnClockJump();
  anchors_.Clear();
  clock_jumped_ = true;
  ++clock_;
}

void ReadPath::NoteFreshness(raft::Index applied, raft::Time now) {
  if (raft::Broken(core_.options().control, raft::Control::kLastContact)) {
    anchors_.Note({applied, core_.leader_heard()});
  } else if (core_.freshness()) {
    anchors_.Note(*core_.freshness());
    clock_jumped_ = false;
  }
  const raft::Freshness* oldest = anchors_.oldest();
  if (oldest == nullptr || oldest->index > applied) return;
  const raft::Time before = oldest->at;
  anchors_.Trim(applied);
  if (anchors_.oldest()->at > before) ages_.Note(now, server::AgeOf(before, now));
}

void ReadPath::RequestConfirmation(raft::Time now) {
  if (queued_.empty()) return;
  const std::uint64_t id = next_batch_++;
  asked_[id] = {std::exchange(queued_, {}), now};
  core_.RequestRead(now, id);
}

void ReadPath::OnConfirmed(const raft::ReadResult& result, raft::Index applied, raft::Time now) {
  auto found = asked_.extract(result.id);
  QUORATE_ASSERT(!found.empty(), "every read is answered once");
  Batch batch = std::move(found.mapped());
  if (result.failure == raft::ReadFailure::kNone) {
    const raft::Duration took = std::max(now - batch.asked, raft::Duration(1));
    typical_confirm_ = typical_confirm_.count() == 0
                           ? took
                           : typical_confirm_ + (took - typical_confirm_) / kTypicalOver;
  }
  for (Read& read : batch.reads) {
    read.waited_confirm += std::max(now - read.waiting_since, raft::Duration(0));
    read.confirmation = Confirmation{result.failure, result.index, result.via_leader};
    JudgeWaiting(std::move(read), applied, now);
  }
}

void ReadPath::OnApplied(raft::Index applied, raft::Time now) {
  while (!for_apply_.empty() && for_apply_.begin()->first <= applied) {
    Read read = std::move(for_apply_.extract(for_apply_.begin()).mapped());
    // At least one, so that it is known to have waited.
    read.waited_apply += std::max(now - read.waiting_since, raft::Duration(1));
    JudgeWaiting(std::move(read), applied, now);
  }
}

void ReadPath::JudgeWaiting(Read read, raft::Index applied, raft::Time now) {
  if (now >= read.deadline) return RefuseLate(read, applied, now);
  if (Judge(read, applied, now)) return grant_(read);
  Queue(std::move(read), now);
}

void ReadPath::RefuseLate(Read& read, raft::Index applied, raft::Time now) {
  const bool confirming = read.next.step == ReadVerdict::Step::kConfirm;
  read.judged = now;
  read.decision = Decision::kRefused;
  read.refusal = {.code = Refused::kDeadline,
                  .because = Refused::kNo,
                  .have = applied,
                  .want = confirming ? 0 : read.next.wait_for,
                  .age = AgeAt(applied, now)};
  grant_(read);
}

void ReadPath::ExpireAll(std::vector<Read>& reads, raft::Index applied, raft::Time now) {
  const auto late = std::stable_partition(reads.begin(), reads.end(),
                                          [now](const Read& read) { return read.deadline > now; });
  for (auto read = late; read != reads.end(); ++read) {
    read->waited_confirm += std::max(now - read->waiting_since, raft::Duration(0));
    RefuseLate(*read, applied, now);
  }
  reads.erase(late, reads.end());
  for (const Read& read : reads) next_expiry_ = std::min(next_expiry_, read.deadline);
}

void ReadPath::Expire(raft::Index applied, raft::Time now) {
  if (now < next_expiry_) return;
  next_expiry_ = raft::Time::max();
  last_expiry_ = now;
  ExpireAll(queued_, applied, now);
  for (auto& [id, batch] : asked_) ExpireAll(batch.reads, applied, now);
  for (auto it = for_apply_.begin(); it != for_apply_.end();) {
    Read& read = it->second;
    if (read.deadline > now) {
      next_expiry_ = std::min(next_expiry_, read.deadline);
      ++it;
      continue;
    }
    read.waited_apply += std::max(now - read.waiting_since, raft::Duration(1));
    RefuseLate(read, applied, now);
    it = for_apply_.erase(it);
  }
  if (next_expiry_ != raft::Time::max()) {
    next_expiry_ = std::max(next_expiry_, now + kExpirySpacing);
  }
}

std::optional<raft::Duration> ReadPath::AgeAt(raft::Index applied, raft::Time now) const {
  const raft::Freshness* proof = anchors_.Proving(applied, 0);
  return proof == nullptr ? std::nullopt : std::optional(server::AgeOf(proof->at, now));
}

std::optional<raft::Duration> ReadPath::LocalBound(raft::Index applied, raft::Time now) const {
  const auto age = AgeAt(applied, now);
  return age ? std::optional(std::max(*age, ages_.Largest(now))) : std::nullopt;
}

}  // namespace quorate::server
