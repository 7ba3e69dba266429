// Append and counter: every state is the one before plus what was added, nothing twice, nothing
// lost.
//
// Answers fix the state at their index: points of a line. Between two points only what the writes
// between them added may come, and what writes of unknown outcome added, each at most once.
#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr int kMaxTries = 20'000;

// A state of a counter (a number) or of an appended text (in two pieces, so that none is copied).
struct Sum {
  std::int64_t number = 0;
  std::string_view front;
  std::string_view back;

  std::size_t bytes() const { return front.size() + back.size(); }
};

// What is known at one index.
struct Point {
  std::uint64_t index = 0;
  Position operation = kNowhere;
  bool is_write = false;
  bool known = false;  // a write that answered nothing only adds
  Sum before;          // of a write
  Sum after;
  Value added = kNil;
  std::uint64_t shown_until = 0;  // the largest index of a read that showed this state
};

// A write that may be anywhere after it began, or nowhere.
struct Loose {
  Position operation = kNowhere;
  std::int64_t number = 0;
  std::string_view piece;
  bool used = false;
};

class Sums {
 public:
  Sums(Index& index, Findings& findings)
      : index_(index),
        history_(index.history()),
        findings_(findings),
        is_counter_(index.history().model == Model::kCounter) {}

  void Check() {
    const Timed timed(findings_, "values");
    Collect();
    for (auto& [key, line] : lines_) CheckLine(line);
    for (const Level level : {Level::kStrong, Level::kBounded, Level::kSession, Level::kEventual}) {
      for (const Position at : index_.reads(level)) CheckRead(at);
      findings_.Row("values").checked += index_.reads(level).size();
    }
    findings_.Row("values").detail = "reads against the state at their index; see their levels";
    if (undecided_ > 0) {
      findings_.Row("values").detail +=
          "; " + std::to_string(undecided_) + " gaps with too many explanations, not decided";
      CheckerResult& row = findings_.Row("values");
      if (row.verdict == Verdict::kValid) row.verdict = Verdict::kUnknown;
    }
  }

 private:
  struct Line {
    std::vector<Point> points;
    std::vector<Loose> loose;
    std::uint64_t empty_until = 0;  // the largest index of a read that found nothing yet
    bool ambiguous = false;  // a gap had several explanations: later ones may lack what it took
  };

  const Operation& Op(Position position) const { return index_.operation(position); }

  // False: not a state of this model.
  bool ToSum(Value value, Sum& sum) const {
    if (value == kNil) return true;
    if (is_counter_) return history_.values.AsNumber(value, sum.number);
    sum.front = history_.values.text(value);
    return history_.values.kind(value) == ValueTable::Kind::kText;
  }

  std::int64_t Amount(Value value) const {
    std::int64_t amount = 1;
    if (value != kNil && !history_.values.AsNumber(value, amount)) amount = 0;
    return amount;
  }

  void Collect() {
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.is_read()) {
        if (op.ok() && op.has_result && op.revision != kAbsent) AddRead(i);
      } else if (op.outcome == Outcome::kInfo || (op.ok() && ShownIndex(op) == kAbsent)) {
        lines_[op.key].loose.push_back(
            {i, Amount(op.value), history_.values.text(op.value), false});
      } else if (op.ok()) {
        AddWrite(i);
      }
    }
    std::vector<PlacedWrite> placed;
    for (const auto& [index, read] : proofs_) placed.push_back({index, read, Op(read).key, true});
    index_.Place(std::move(placed));
    for (auto& [key, line] : lines_) {
      std::stable_sort(line.points.begin(), line.points.end(), [](const Point& a, const Point& b) {
        return a.index != b.index ? a.index < b.index : a.is_write && !b.is_write;
      });
    }
  }

  void AddRead(Position at) {
    const Operation& op = Op(at);
    if (op.revision == 0) {
      std::uint64_t& until = lines_[op.key].empty_until;
      if (op.certificate.index != kAbsent) until = std::max(until, op.certificate.index);
      return;
    }
    Point point{op.revision, at, false, true, {}, {}, kNil, 0};
    if (op.certificate.index != kAbsent) point.shown_until = op.certificate.index;
    if (!IsOfItsKey(at)) return;
    if (ToSum(op.result, point.after)) {
      lines_[op.key].points.push_back(point);
    } else {
      NotAState(at);
    }
  }

  // What a read shows must have been written to its own key.
  bool IsOfItsKey(Position at) {
    const Operation& read = Op(at);
    const Position write = index_.At(read.revision);
    Position other = kNowhere;
    if (write != kNowhere) {
      if (index_.writes()[write].key != read.key) other = index_.writes()[write].operation;
    } else {
      const Position first = proofs_.try_emplace(read.revision, at).first->second;
      if (Op(first).key != read.key) other = first;
    }
    if (other == kNowhere) return true;
    findings_.Violated(Name(read.level), {at, other}, [&] {
      return Describe(history_, read) + " as written at index " + std::to_string(read.revision) +
             ", but " + Describe(history_, Op(other)) + ", of another key, is of that index";
    });
    return false;
  }

  void AddWrite(Position at) {
    const Operation& op = Op(at);
    Point point{ShownIndex(op), at, true, op.has_result, {}, {}, op.value, 0};
    if (op.has_result && !ToSum(op.result, is_counter_ ? point.after : point.before)) {
      NotAState(at);
      return;
    }
    if (is_counter_) {
      point.before.number = Minus(point.after.number, Amount(op.value));
    } else {
      point.after = {0, point.before.front, history_.values.text(op.value)};
    }
    lines_[op.key].points.push_back(point);
  }

  void NotAState(Position at) {
    findings_.Violated(Op(at).is_read() ? Name(Op(at).level) : "exactly-once", {at}, [&] {
      return Describe(history_, Op(at)) + ", which is no state of a " +
             std::string(Name(history_.model));
    });
  }

  bool Same(const Sum& a, const Sum& b) const {
    if (is_counter_) return a.number == b.number;
    if (a.bytes() != b.bytes()) return false;
    if (a.front.size() == b.front.size()) return a.front == b.front && a.back == b.back;
    const Sum& longer = a.front.size() > b.front.size() ? a : b;
    const Sum& shorter = &longer == &a ? b : a;
    return longer.front.starts_with(shorter.front) &&
           shorter.back.starts_with(longer.front.substr(shorter.front.size())) &&
           shorter.back.substr(longer.front.size() - shorter.front.size()) == longer.back;
  }

  void CheckLine(Line& line) {
    Point last;  // the state before all writes
    last.known = true;
    last.shown_until = line.empty_until;
    std::vector<const Point*> between;  // writes that answered nothing
    const Point* previous = nullptr;
    for (const Point& point : line.points) {
      if (previous != nullptr && previous->index == point.index) {
        if (point.known && previous->known && !Same(previous->after, point.after)) {
          Differ(point, *previous);
        }
        last.shown_until = std::max(last.shown_until, point.shown_until);
        continue;
      }
      if (!point.known) {
        between.push_back(&point);
        previous = &point;
        continue;
      }
      Gap(line, last, between, point);
      between.clear();
      last = point;
      previous = &point;
    }
  }

  void Differ(const Point& point, const Point& other) {
    const Operation& op = Op(point.operation);
    findings_.Violated(
        op.is_read() ? Name(op.level) : "exactly-once", {point.operation, other.operation}, [&] {
          return Describe(history_, op) + ", made at index " + std::to_string(point.index) +
                 ", but " + Describe(history_, Op(other.operation)) + " there";
        });
  }

  // From one known state to the next, by the writes between and some of unknown outcome.
  void Gap(Line& line, const Point& from, const std::vector<const Point*>& between,
           const Point& to) {
    const Sum& target = to.is_write ? to.before : to.after;
    // They need indices that no other write has: after the last read that showed the state before,
    // and before the next write's, or up to the index that a read proves.
    free_ = Free(std::max(from.index, from.shown_until), to, line.loose.size());
    const Time by = free_.empty() ? 0 : index_.SightOf(free_.front()).at;
    proves_write_ = !to.is_write;
    const bool was_ambiguous = line.ambiguous;
    const bool explained = is_counter_ ? CounterGap(line, from, between, target, by)
                                       : AppendGap(line, from, between, target, by);
    if (explained) return;
    if (was_ambiguous || tries_ <= 0) {
      ++undecided_;
      return;
    }
    Unexplained(line, from, to, target);
  }

  // The largest ones, descending.
  std::vector<std::uint64_t> Free(std::uint64_t begin, const Point& to, std::size_t at_most) const {
    std::vector<std::uint64_t> free;
    if (!to.is_write && begin < to.index && at_most > 0) free.push_back(to.index);
    std::size_t write = index_.CountBetween(0, to.index - 1);  // that many are before
    for (std::uint64_t index = to.index - 1; index > begin && free.size() < at_most; --index) {
      if (write > 0 && index_.writes()[write - 1].index == index) {
        --write;
      } else {
        free.push_back(index);
      }
    }
    return free;
  }

  // Whether writes of unknown outcome, in this order, fit into the largest free indices: nobody may
  // have seen such an index, or a later one, before the write began.
  bool Fit(const std::vector<Loose*>& chosen) const {
    if (chosen.size() > free_.size()) return false;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const std::uint64_t index = free_[chosen.size() - 1 - i];
      if (Op(chosen[i]->operation).invoked > index_.SightOf(index).at) return false;
    }
    return true;
  }

  bool CounterGap(Line& line, const Point& from, const std::vector<const Point*>& between,
                  const Sum& target, Time by) {
    std::int64_t missing = Minus(target.number, from.after.number);
    for (const Point* point : between) missing = Minus(missing, Amount(point->added));
    tries_ = kMaxTries;
    // A read that shows an index of its own proves a write there.
    if (missing == 0) return !proves_write_;
    std::vector<Loose*> open;
    bool alike = true;
    for (Loose& loose : line.loose) {
      if (loose.used || Op(loose.operation).invoked > by) continue;
      open.push_back(&loose);
      alike = alike && loose.number == open.front()->number;
    }
    if (open.empty()) return false;
    if (alike) {
      const std::int64_t each = open.front()->number;
      if (each == 0 || missing % each != 0 || missing / each < 0 ||
          static_cast<std::uint64_t>(missing / each) > open.size()) {
        return false;
      }
      // The earliest: whoever can serve here can serve later too.
      std::sort(open.begin(), open.end(), [&](const Loose* a, const Loose* b) {
        return Op(a->operation).invoked < Op(b->operation).invoked;
      });
      open.resize(static_cast<std::size_t>(missing / each));
      if (!Fit(open)) return false;
      for (Loose* loose : open) loose->used = true;
      return true;
    }
    line.ambiguous = true;
    room_ = free_.size();
    return SubsetSum(open, 0, missing);
  }

  bool SubsetSum(const std::vector<Loose*>& open, std::size_t from, std::int64_t missing) {
    if (missing == 0) return true;
    if (from == open.size() || --tries_ <= 0) return false;
    if (room_ > 0) {
      open[from]->used = true;
      --room_;
      if (SubsetSum(open, from + 1, Minus(missing, open[from]->number))) return true;
      ++room_;
      open[from]->used = false;
    }
    return SubsetSum(open, from + 1, missing);
  }

  bool AppendGap(Line& line, const Point& from, const std::vector<const Point*>& between,
                 const Sum& target, Time by) {
    tries_ = kMaxTries;
    // Targets are whole texts: answers.
    std::string_view rest = target.front;
    if (!rest.starts_with(from.after.front)) return false;
    rest.remove_prefix(from.after.front.size());
    if (!rest.starts_with(from.after.back)) return false;
    rest.remove_prefix(from.after.back.size());
    target_moved_ = !rest.empty();
    chosen_.clear();
    return Segment(line, between, 0, rest, by);
  }

  bool Segment(Line& line, const std::vector<const Point*>& between, std::size_t next,
               std::string_view rest, Time by) {
    if (rest.empty() && next == between.size()) {
      return (!proves_write_ || target_moved_) && Fit(chosen_);
    }
    if (--tries_ <= 0) return false;
    if (next < between.size()) {
      const std::string_view piece = history_.values.text(between[next]->added);
      if (rest.starts_with(piece) &&
          Segment(line, between, next + 1, rest.substr(piece.size()), by)) {
        return true;
      }
    }
    int choices = 0;
    for (Loose& loose : line.loose) {
      if (chosen_.size() == free_.size()) break;
      if (loose.used || loose.piece.empty() || !rest.starts_with(loose.piece) ||
          Op(loose.operation).invoked > by) {
        continue;
      }
      if (++choices > 1) line.ambiguous = true;
      loose.used = true;
      chosen_.push_back(&loose);
      if (Segment(line, between, next, rest.substr(loose.piece.size()), by)) return true;
      chosen_.pop_back();
      loose.used = false;
    }
    return false;
  }

  void Unexplained(const Line& line, const Point& from, const Point& to, const Sum& target) {
    Position blamed = kNowhere;
    std::string rest;
    if (!is_counter_) {
      const std::string whole(target.front);
      const std::string start = std::string(from.after.front) + std::string(from.after.back);
      if (whole.starts_with(start)) {
        rest = whole.substr(start.size());
        blamed = Writer(line, Op(to.operation).key, rest);
      }
    }
    findings_.Violated("exactly-once", {to.operation, from.operation, blamed}, [&] {
      const Operation& op = Op(to.operation);
      std::string text = Describe(history_, op) + " at index " + std::to_string(to.index);
      const std::string since = from.operation == kNowhere
                                    ? "from the beginning"
                                    : "after index " + std::to_string(from.index);
      if (is_counter_) {
        text += ": " + since + " the counter went from " + std::to_string(from.after.number) +
                " to " + std::to_string(target.number) +
                ", which the additions between do not add up to";
      } else if (rest.empty()) {
        text +=
            ": what stood there at index " + std::to_string(from.index) + " is not there any more";
      } else {
        text += ": " + since + " came \"" + rest.substr(0, 80) + '"';
      }
      if (blamed == kNowhere)
        return text + (is_counter_ || rest.empty() ? "" : ", which nobody appended then");
      const Operation& writer = Op(blamed);
      return text +
             (writer.outcome == Outcome::kFail
                  ? ", from " + Called(history_, writer) + ", which had failed as not executed"
                  : ", from " + Called(history_, writer) + ", which took effect elsewhere: twice");
    });
  }

  // Who else had the piece that comes first.
  Position Writer(const Line& line, Value key, std::string_view rest) const {
    for (const Loose& loose : line.loose) {
      if (loose.used && !loose.piece.empty() && rest.starts_with(loose.piece))
        return loose.operation;
    }
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.function != Function::kAppend || op.key != key || op.outcome == Outcome::kInfo)
        continue;
      const std::string_view piece = history_.values.text(op.value);
      if (!piece.empty() && rest.starts_with(piece)) return i;
    }
    return kNowhere;
  }

  // The last point at or before the read's index is the one it shows.
  void CheckRead(Position at) {
    const Operation& read = Op(at);
    const auto found = lines_.find(read.key);
    const std::uint64_t index = read.certificate.index;
    if (read.revision != kAbsent && read.revision > index) {
      findings_.Violated(Name(read.level), {at}, [&] {
        return Called(history_, read) + " returned what was written at index " +
               std::to_string(read.revision) + ", beyond its own index " + std::to_string(index);
      });
      return;
    }
    if (read.revision == 0 && read.has_result) CheckEmpty(at);
    if (read.revision == kAbsent || found == lines_.end()) return;
    const auto& points = found->second.points;
    const auto after = std::upper_bound(
        points.begin(), points.end(), index,
        [](std::uint64_t wanted, const Point& point) { return wanted < point.index; });
    if (after == points.begin() || std::prev(after)->index <= read.revision) return;
    const Point& latest = *std::prev(after);
    findings_.Violated(Name(read.level), {at, latest.operation}, [&] {
      return Describe(history_, read) + ", made at index " + std::to_string(read.revision) +
             ", but at its index " + std::to_string(index) + " there was already what " +
             Called(history_, Op(latest.operation)) + " shows of index " +
             std::to_string(latest.index);
    });
  }

  void CheckEmpty(Position at) {
    const Operation& read = Op(at);
    Sum sum;
    if (ToSum(read.result, sum) && sum.number == 0 && sum.bytes() == 0) return;
    findings_.Violated(Name(read.level), {at}, [&] {
      return Describe(history_, read) + ", but says that the key was absent";
    });
  }

  Index& index_;
  const History& history_;
  Findings& findings_;
  const bool is_counter_;
  std::unordered_map<std::uint64_t, Position>
      proofs_;  // index of a write that only reads show: the first of them
  std::unordered_map<Value, Line> lines_;
  int tries_ = 0;              // left, of the present gap
  bool proves_write_ = false;  // its end is a write that only a read shows
  bool target_moved_ = false;
  std::size_t room_ = 0;             // indices left in it, for SubsetSum
  std::vector<std::uint64_t> free_;  // indices in it that no write is known to have, descending
  std::vector<Loose*> chosen_;       // for it so far, in order
  std::uint64_t undecided_ = 0;
};

}  // namespace

void CheckSums(Index& index, Findings& findings) {
  Sums(index, findings).Check();
}

}  // namespace quorate::check
