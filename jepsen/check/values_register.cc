// Registers: each answer is the value that the last write at or before its index made.
//
// A read names the index of the write that made its value. If no answer placed a write there, one
// of unknown outcome must have been executed there: at most once, and not one that failed.
#include <algorithm>
#include <string>
#include <unordered_map>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

struct KeyAndValue {
  Value key = kNil;
  Value value = kNil;
  bool operator==(const KeyAndValue&) const = default;
};
struct KeyAndValueHash {
  std::size_t operator()(const KeyAndValue& pair) const {
    return (std::uint64_t{pair.key} << 32 | pair.value) * 0x9e3779b97f4a7c15 >> 16;
  }
};
using Writers = std::unordered_map<KeyAndValue, std::vector<Position>, KeyAndValueHash>;

class Registers {
 public:
  Registers(Index& index, Findings& findings)
      : index_(index), history_(index.history()), findings_(findings) {}

  void Check() {
    const Timed timed(findings_, "values");
    PlaceProven();
    seen_until_.assign(index_.writes().size(), 0);
    gone_from_.assign(index_.writes().size(), kAbsent);
    for (const Level level : {Level::kStrong, Level::kBounded, Level::kSession, Level::kEventual}) {
      for (const Position at : index_.reads(level)) CheckRead(at);
      findings_.Row("values").checked += index_.reads(level).size();
    }
    CheckDeletes();
    CheckComparisons();
    findings_.Row("values").detail = "reads against the state at their index; see their levels";
  }

 private:
  const Operation& Op(Position position) const { return index_.operation(position); }

  // Reads of a write that no answer has placed: find a write of unknown outcome for each.
  void PlaceProven() {
    std::unordered_map<std::uint64_t, Position> proofs;  // index: the first read of it
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (!op.ok() || !op.is_read() || op.revision == kAbsent || op.revision == 0) continue;
      const Position write = index_.At(op.revision);
      if (write != kNowhere) {
        CheckAgainstWrite(i, index_.writes()[write]);
        continue;
      }
      const auto [first, is_new] = proofs.try_emplace(op.revision, i);
      if (!is_new) CheckAgainstRead(i, first->second);
    }
    if (proofs.empty()) return;
    CollectUnplaced();
    std::vector<std::pair<std::uint64_t, Position>> ordered(proofs.begin(), proofs.end());
    std::sort(ordered.begin(), ordered.end());
    std::vector<PlacedWrite> placed;
    for (const auto& [revision, read] : ordered) {
      const Position writer = TakeWriter(read);
      if (writer != kNowhere) placed.push_back({revision, writer, Op(read).key, true});
    }
    index_.Place(std::move(placed));
  }

  void CheckAgainstWrite(Position at, const PlacedWrite& write) {
    const Operation& read = Op(at);
    const Operation& op = Op(write.operation);
    if (read.key == write.key && (!read.has_result || read.result == Made(history_.values, op)) &&
        op.function != Function::kDelete) {
      return;
    }
    findings_.Violated(Name(read.level), {at, write.operation}, [&] {
      return Describe(history_, read) + " as written at index " + std::to_string(write.index) +
             ", but that is " + Describe(history_, op);
    });
  }

  void CheckAgainstRead(Position at, Position other) {
    const Operation& read = Op(at);
    if (read.key == Op(other).key && read.result == Op(other).result) return;
    findings_.Violated(Name(read.level), {at, other}, [&] {
      return Describe(history_, read) + " as written at index " + std::to_string(read.revision) +
             ", but " + Describe(history_, Op(other)) + " as written there";
    });
  }

  void CollectUnplaced() {
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.is_read()) continue;
      const KeyAndValue made{op.key, Made(history_.values, op)};
      if (op.outcome == Outcome::kInfo || (op.ok() && ShownIndex(op) == kAbsent)) {
        unknown_[made].push_back(i);
      } else {
        certain_[made].push_back(i);
      }
    }
  }

  // A write that can have been executed where this read saw it. An index is given after the write
  // began, so before that nobody can have seen the index or a later one. Reads are asked in the
  // order of indices, so that whoever can serve one can serve all later ones: any choice is right.
  Position TakeWriter(Position read) {
    const Operation& op = Op(read);
    const KeyAndValue made{op.key, op.result};
    const Time sighted = std::min(index_.SightOf(op.revision).at, op.returned);
    auto& candidates = unknown_[made];
    for (Position& candidate : candidates) {
      if (candidate == kNowhere || Op(candidate).invoked > sighted) continue;
      const Position taken = candidate;
      taken_[made] = taken;
      candidate = kNowhere;
      return taken;
    }
    BlameWriter(read, made);
    return kNowhere;
  }

  void BlameWriter(Position read, const KeyAndValue& made) {
    const Operation& op = Op(read);
    const std::string seen =
        Describe(history_, op) + ", made at index " + std::to_string(op.revision);
    for (const Position other : certain_[made]) {
      const Operation& writer = Op(other);
      findings_.Violated("exactly-once", {read, other}, [&] {
        if (writer.outcome == Outcome::kFail) {
          return seen + ": by " + Called(history_, writer) + ", which had failed as not executed";
        }
        return seen + ": " + Called(history_, writer) +
               " took effect twice, and was acknowledged at index " +
               std::to_string(ShownIndex(writer));
      });
      return;
    }
    const auto taken = taken_.find(made);
    if (taken != taken_.end()) {
      findings_.Violated("exactly-once", {read, taken->second}, [&] {
        return seen + ": " + Called(history_, Op(taken->second)) + " took effect twice";
      });
      return;
    }
    findings_.Violated(Name(op.level), {read},
                       [&] { return seen + ", which nobody had written by then"; });
  }

  void CheckRead(Position at) {
    const Operation& read = Op(at);
    const std::uint64_t index = read.certificate.index;
    const Position latest = index_.Latest(read.key, index);
    const PlacedWrite* write = latest == kNowhere ? nullptr : &index_.writes()[latest];
    const bool exists = write != nullptr && Op(write->operation).function != Function::kDelete;
    if (read.revision == kAbsent) return CheckValueOnly(at, exists ? write : nullptr);
    if (read.revision > index) {
      findings_.Violated(Name(read.level), {at}, [&] {
        return Called(history_, read) + " returned what was written at index " +
               std::to_string(read.revision) + ", beyond its own index " + std::to_string(index);
      });
    } else if (read.revision == 0) {
      CheckAbsent(at, exists ? latest : kNowhere);
    } else if (write != nullptr && read.revision < write->index) {
      findings_.Violated(Name(read.level), {at, write->operation}, [&] {
        return Describe(history_, read) + ", made at index " + std::to_string(read.revision) +
               ", but at its index " + std::to_string(index) + " " +
               Describe(history_, Op(write->operation)) + " had replaced that, at index " +
               std::to_string(write->index);
      });
    } else if (write != nullptr && read.revision == write->index) {
      seen_until_[latest] = std::max(seen_until_[latest], index);
      if (write->proven_by_read) CheckAgainstWrite(at, *write);
    }
  }

  // The key was absent. If its last write is no delete, a delete of unknown outcome must have come.
  void CheckAbsent(Position at, Position latest) {
    const Operation& read = Op(at);
    if (read.has_result && read.result != kNil) {
      findings_.Violated(Name(read.level), {at}, [&] {
        return Describe(history_, read) + ", but says that the key was absent";
      });
    }
    if (latest == kNowhere) return;
    gone_from_[latest] = std::min(gone_from_[latest], read.certificate.index);
    if (CanBeDeleted(read.key, index_.SightOf(read.certificate.index).at)) return;
    const PlacedWrite& write = index_.writes()[latest];
    findings_.Violated(Name(read.level), {at, write.operation}, [&] {
      return Called(history_, read) + " at index " + std::to_string(read.certificate.index) +
             " found nothing, but " + Describe(history_, Op(write.operation)) + " at index " +
             std::to_string(write.index);
    });
  }

  bool CanBeDeleted(Value key, Time by) {
    if (!deletes_collected_) {
      deletes_collected_ = true;
      for (const Operation& op : history_.operations) {
        if (op.function == Function::kDelete && op.outcome == Outcome::kInfo) {
          Time& first = first_delete_.try_emplace(op.key, kNever).first->second;
          first = std::min(first, op.invoked);
        }
      }
    }
    const auto found = first_delete_.find(key);
    return found != first_delete_.end() && found->second <= by;
  }

  // What a delete of unknown outcome took away does not come back.
  void CheckDeletes() {
    for (Position i = 0; i < gone_from_.size(); ++i) {
      if (gone_from_[i] > seen_until_[i]) continue;
      const PlacedWrite& write = index_.writes()[i];
      findings_.Violated("eventual", {write.operation}, [&] {
        return Describe(history_, Op(write.operation)) + " was gone at index " +
               std::to_string(gone_from_[i]) + " and there again at index " +
               std::to_string(seen_until_[i]);
      });
    }
  }

  // A write of unknown outcome that had begun when `index` was first shown.
  bool MayHaveMade(Value key, Value value, std::uint64_t index) {
    if (unknown_.empty() && certain_.empty()) CollectUnplaced();
    const Time sighted = index_.SightOf(index).at;
    const auto& candidates = unknown_[{key, value}];
    return std::any_of(candidates.begin(), candidates.end(), [&](Position candidate) {
      return candidate != kNowhere && Op(candidate).invoked <= sighted;
    });
  }

  // Without a revision, the value must do: that of the last write, or of one of unknown outcome.
  void CheckValueOnly(Position at, const PlacedWrite* write) {
    const Operation& read = Op(at);
    const Value expected = write != nullptr ? Made(history_.values, Op(write->operation)) : kNil;
    if (!read.has_result || read.result == expected) return;
    if (MayHaveMade(read.key, read.result, read.certificate.index)) return;
    findings_.Violated(Name(read.level), {at, write != nullptr ? write->operation : kNowhere}, [&] {
      return Describe(history_, read) + ", but at its index " +
             std::to_string(read.certificate.index) + " the value was " +
             history_.values.Show(expected);
    });
  }

  void CheckComparisons() {
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.function != Function::kCas) continue;
      if (op.compared_unequal) CheckUnequal(i);
      if (op.ok() && ShownIndex(op) != kAbsent && ShownIndex(op) > 0) CheckEqual(i);
    }
  }

  void CheckUnequal(Position at) {
    const Operation& op = Op(at);
    const std::uint64_t have = history_.failure(op).have;
    const Position write = have == kAbsent || have == 0 ? kNowhere : index_.At(have);
    if (write == kNowhere || index_.writes()[write].key != op.key) return;
    const Operation& writer = Op(index_.writes()[write].operation);
    if (Made(history_.values, writer) != history_.values.item(op.value, 0)) return;
    findings_.Violated("strong", {at, index_.writes()[write].operation}, [&] {
      return Describe(history_, op) + " with what was written at index " + std::to_string(have) +
             ", but " + Describe(history_, writer) + ": it was equal";
    });
  }

  void CheckEqual(Position at) {
    const Operation& op = Op(at);
    const std::uint64_t index = ShownIndex(op);
    const Position latest = index_.Latest(op.key, index - 1);
    const Value before =
        latest == kNowhere ? kNil : Made(history_.values, Op(index_.writes()[latest].operation));
    const Value old = history_.values.item(op.value, 0);
    if (before == old) return;
    if (MayHaveMade(op.key, old, index)) return;
    findings_.Violated(
        "strong", {at, latest == kNowhere ? kNowhere : index_.writes()[latest].operation}, [&] {
          return Describe(history_, op) + " at index " + std::to_string(index) +
                 ", but the value before was " + history_.values.Show(before);
        });
  }

  Index& index_;
  const History& history_;
  Findings& findings_;
  Writers unknown_;  // outcome or place unknown, not yet found anywhere; kNowhere: found
  Writers certain_;
  std::unordered_map<KeyAndValue, Position, KeyAndValueHash> taken_;
  std::vector<std::uint64_t> seen_until_;  // by write: the largest index that still showed it
  std::vector<std::uint64_t> gone_from_;   // by write: the smallest index that found the key absent
  bool deletes_collected_ = false;
  std::unordered_map<Value, Time> first_delete_;
};

}  // namespace

void CheckRegisters(Index& index, Findings& findings) {
  Registers(index, findings).Check();
}

}  // namespace quorate::check
