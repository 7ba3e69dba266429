#include "jepsen/check/linearizability.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace quorate::check {
namespace {

constexpr std::uint32_t kHead = 0;
constexpr std::size_t kShownStates = 5;

struct Fingerprint {
  std::uint64_t a = 0;
  std::uint64_t b = 0;

  void Toggle(const Fingerprint& other) {
    a ^= other.a;
    b ^= other.b;
  }
};

std::uint64_t SplitMix(std::uint64_t& state) {
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// What has been seen: per set of linearized operations and state, how many of each class of
// operations without an answer had been used.
class Seen {
 public:
  explicit Seen(std::size_t classes) : classes_(classes) {}

  // False if the configuration, or one that can do all it can, was there before.
  bool Add(const Fingerprint& set, State state, const std::vector<std::uint32_t>& used) {
    const auto [at, is_new] = heads_.try_emplace(Key{set.a, set.b, state}, kNone);
    for (std::uint32_t node = at->second; node != kNone; node = next_[node]) {
      const std::uint32_t* before = used_.data() + std::size_t{node} * classes_;
      bool covers = true;
      for (std::size_t i = 0; i < classes_ && covers; ++i) covers = before[i] <= used[i];
      if (covers) return false;
    }
    next_.push_back(at->second);
    at->second = static_cast<std::uint32_t>(next_.size() - 1);
    used_.insert(used_.end(), used.begin(), used.end());
    return true;
  }

  std::size_t size() const { return next_.size(); }
  std::size_t bytes() const { return heads_.size() * 80 + next_.size() * (4 + classes_ * 4); }

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  struct Key {
    std::uint64_t a;
    std::uint64_t b;
    State state;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const { return key.a ^ key.state * 0x9e3779b97f4a7c15; }
  };

  std::size_t classes_;
  std::unordered_map<Key, std::uint32_t, KeyHash> heads_;
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> used_;
};

// The events of operations with an answer, as a list from which an operation can be lifted and put
// back (Lowe).
class Events {
 public:
  struct Event {
    Time time = 0;
    bool is_return = false;
    std::uint32_t operation = 0;
  };

  explicit Events(std::span<const Operation> operations) : at_(operations.size()) {
    events_.emplace_back();
    for (std::uint32_t i = 0; i < operations.size(); ++i) {
      if (operations[i].returned == kNever) continue;
      events_.push_back({operations[i].invoked, false, i});
      events_.push_back({operations[i].returned, true, i});
    }
    // Invocations first at equal times: operations that touch are taken as concurrent.
    std::stable_sort(events_.begin() + 1, events_.end(), [](const Event& a, const Event& b) {
      return std::tie(a.time, a.is_return) < std::tie(b.time, b.is_return);
    });
    next_.resize(events_.size());
    previous_.resize(events_.size());
    for (std::uint32_t i = 0; i < events_.size(); ++i) {
      next_[i] = i + 1 < events_.size() ? i + 1 : kHead;
      previous_[i] = i > 0 ? i - 1 : static_cast<std::uint32_t>(events_.size() - 1);
      if (i == kHead) continue;
      auto& [invoke, end] = at_[events_[i].operation];
      (events_[i].is_return ? end : invoke) = i;
    }
  }

  const Event& operator[](std::uint32_t event) const { return events_[event]; }
  std::uint32_t First() const { return next_[kHead]; }
  std::uint32_t Next(std::uint32_t event) const { return next_[event]; }
  std::uint32_t ReturnOf(std::uint32_t operation) const { return at_[operation].second; }

  void Lift(std::uint32_t operation) {
    for (const std::uint32_t event : {at_[operation].first, at_[operation].second}) {
      next_[previous_[event]] = next_[event];
      previous_[next_[event]] = previous_[event];
    }
  }
  void PutBack(std::uint32_t operation) {
    for (const std::uint32_t event : {at_[operation].second, at_[operation].first}) {
      next_[previous_[event]] = event;
      previous_[next_[event]] = event;
    }
  }

 private:
  std::vector<Event> events_;
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> previous_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> at_;  // of each operation
};

// Operations without an answer, by what they do.
class Unanswered {
 public:
  explicit Unanswered(std::span<const Operation> operations) : operations_(operations) {
    std::unordered_map<std::uint64_t, std::size_t> classes;
    for (std::uint32_t i = 0; i < operations.size(); ++i) {
      const Operation& op = operations[i];
      if (op.returned != kNever || op.is_read()) continue;
      const auto [at, is_new] = classes.try_emplace(
          static_cast<std::uint64_t>(op.function) << 32 | op.value, classes_.size());
      if (is_new) classes_.emplace_back();
      classes_[at->second].push_back(i);
    }
    for (auto& members : classes_) {
      std::sort(members.begin(), members.end(), [&](std::uint32_t a, std::uint32_t b) {
        return operations[a].invoked < operations[b].invoked;
      });
    }
    used_.resize(classes_.size());
  }

  std::size_t classes() const { return classes_.size(); }
  const std::vector<std::uint32_t>& used() const { return used_; }
  // The next of a class that was invoked by then; nullptr: none.
  const Operation* Candidate(std::size_t of_class, Time by) const {
    const auto& members = classes_[of_class];
    const std::uint32_t used = used_[of_class];
    if (used == members.size() || operations_[members[used]].invoked > by) return nullptr;
    return &operations_[members[used]];
  }
  void Use(std::size_t of_class) { ++used_[of_class]; }
  void GiveBack(std::size_t of_class) { --used_[of_class]; }

 private:
  std::span<const Operation> operations_;
  std::vector<std::vector<std::uint32_t>> classes_;
  std::vector<std::uint32_t> used_;
};

class Search {
 public:
  Search(Stepper& stepper, const ValueTable& values, std::span<const Operation> operations,
         const Budget& budget)
      : stepper_(stepper),
        values_(values),
        operations_(operations),
        budget_(budget),
        events_(operations),
        unanswered_(operations),
        seen_(unanswered_.classes()),
        state_(stepper.Initial()) {
    std::uint64_t random = 0x517cc1b727220a95;
    fingerprints_.resize(operations.size());
    for (Fingerprint& fingerprint : fingerprints_) {
      fingerprint = {SplitMix(random), SplitMix(random)};
    }
    only_appends_ = std::all_of(operations.begin(), operations.end(), [](const Operation& op) {
      return op.function == Function::kAppend || op.function == Function::kRead;
    });
    CountNeeds();
  }

  Linearization Run() {
    if (ReadFromNowhere()) return Done(Verdict::kInvalid);
    Position position{events_.First(), 0};
    while (events_.First() != kHead) {
      if ((++steps_ & 0x3ff) == 0 && Exhausted()) return Done(Verdict::kUnknown);
      const bool is_fresh = position.event == events_.First() && position.of_class == 0;
      const std::uint32_t holds = is_fresh ? Observation() : kHead;
      if (holds != kHead) {
        const bool taken = Take(holds, state_, true);
        if (!taken && !Back(position)) return Done(Verdict::kInvalid);
        if (taken) position = {events_.First(), 0};
        continue;
      }
      const Events::Event& event = events_[position.event];
      if (!event.is_return) {
        position = TryAnswered(position, event.operation);
      } else if (position.of_class < unanswered_.classes()) {
        NoteReached(position.event);
        position = TryUnanswered(position, event.time);
      } else {
        NoteReached(position.event);
        if (!Back(position)) return Done(Verdict::kInvalid);
      }
    }
    return Done(Verdict::kValid);
  }

 private:
  // Where the trying of candidates stands: at an event up to the first return, then at a class.
  struct Position {
    std::uint32_t event;
    std::size_t of_class;
  };
  struct Taken {
    Position position;
    State before;
    bool answered;
    bool forced;  // no other choice needs to be tried
  };

  bool Exhausted() const {
    return seen_.bytes() > budget_.bytes || std::chrono::steady_clock::now() > budget_.deadline;
  }

  Linearization Done(Verdict verdict) {
    Linearization result;
    result.verdict = verdict;
    result.configurations = seen_.size();
    if (verdict == Verdict::kInvalid) {
      result.stuck_at = events_[furthest_].operation;
      result.states = std::move(stuck_states_);
    }
    return result;
  }

  // How often each value is waited for by an answer, for registers: an unanswered write of a value
  // that nobody waits for cannot help.
  void CountNeeds() {
    counts_needs_ = stepper_.model() == Model::kRegister &&
                    std::all_of(operations_.begin(), operations_.end(), [](const Operation& op) {
                      return op.function == Function::kRead || op.function == Function::kWrite ||
                             op.function == Function::kDelete || op.function == Function::kCas;
                    });
    if (!counts_needs_) return;
    for (const Operation& op : operations_) Need(op, 1);
  }

  void Need(const Operation& op, int change) {
    if (!counts_needs_) return;
    if (op.compared_unequal) {
      any_change_helps_ += change;
    } else if (op.is_read()) {
      if (op.ok()) needs_[op.result] += change;
    } else if (op.function == Function::kCas) {
      needs_[values_.items(op.value).front()] += change;
    }
  }

  // A register's read of a value that nobody had begun to write when it returned: no order explains
  // that, and to find so by trying all orders can take for ever.
  bool ReadFromNowhere() {
    if (!counts_needs_) return false;
    std::unordered_map<Value, Time> begun;
    begun[static_cast<Value>(state_)] = std::numeric_limits<Time>::min();
    for (const Operation& op : operations_) {
      if (op.only_observes()) continue;
      Time& first = begun.try_emplace(Made(values_, op), op.invoked).first->second;
      first = std::min(first, op.invoked);
    }
    for (std::uint32_t i = 0; i < operations_.size(); ++i) {
      const Operation& op = operations_[i];
      if (!op.is_read() || !op.ok()) continue;
      const auto made = begun.find(op.result);
      if (made != begun.end() && made->second <= op.returned) continue;
      // Not one whose answer is unknown: that steps from any state.
      if (!op.has_result || stepper_.Step(state_, op)) continue;
      furthest_ = events_.ReturnOf(i);
      return true;
    }
    return false;
  }

  bool CanHelp(State state) {
    if (!counts_needs_ || any_change_helps_ > 0) return true;
    const auto at = needs_.find(static_cast<Value>(state));
    return at != needs_.end() && at->second > 0;
  }

  Position TryAnswered(Position position, std::uint32_t operation) {
    const Operation& op = operations_[operation];
    const auto next = stepper_.Step(state_, op);
    if (next && (*next == state_ || LeadsOn(op, *next)) && Take(position.event, *next, false)) {
      return {events_.First(), 0};
    }
    return {events_.Next(position.event), 0};
  }

  // Linearizes what is invoked there. False, and nothing is done, if that leads to where it was
  // before.
  bool Take(std::uint32_t event, State next, bool forced) {
    const std::uint32_t operation = events_[event].operation;
    set_.Toggle(fingerprints_[operation]);
    if (!seen_.Add(set_, next, unanswered_.used())) {
      set_.Toggle(fingerprints_[operation]);
      return false;
    }
    trail_.push_back({{event, 0}, state_, true, forced});
    state_ = next;
    events_.Lift(operation);
    Need(operations_[operation], -1);
    return true;
  }

  // The invocation of an operation that may come next, only observes, and is right as things are;
  // kHead if there is none. In any order in which it comes later it can be moved to here, for it
  // changes nothing: it is taken at once, and nothing else is tried in its place.
  std::uint32_t Observation() {
    for (std::uint32_t event = events_.First(); !events_[event].is_return;
         event = events_.Next(event)) {
      const Operation& op = operations_[events_[event].operation];
      if (!op.only_observes()) continue;
      const auto next = stepper_.Step(state_, op);
      if (next && *next == state_) return event;
    }
    return kHead;
  }

  Position TryUnanswered(Position position, Time by) {
    const std::size_t of_class = position.of_class;
    const Operation* op = unanswered_.Candidate(of_class, by);
    const auto next = op != nullptr ? stepper_.Step(state_, *op) : std::nullopt;
    if (next && *next != state_ && CanHelp(*next) && LeadsOn(*op, *next)) {
      unanswered_.Use(of_class);
      if (seen_.Add(set_, *next, unanswered_.used())) {
        trail_.push_back({position, state_, false, false});
        state_ = *next;
        return {events_.First(), 0};
      }
      unanswered_.GiveBack(of_class);
    }
    return {position.event, of_class + 1};
  }

  // To the last choice that has alternatives; false if there is none.
  bool Back(Position& position) {
    while (!trail_.empty()) {
      const Taken taken = trail_.back();
      trail_.pop_back();
      state_ = taken.before;
      if (!taken.answered) {
        unanswered_.GiveBack(taken.position.of_class);
        position = {taken.position.event, taken.position.of_class + 1};
        return true;
      }
      const std::uint32_t operation = events_[taken.position.event].operation;
      set_.Toggle(fingerprints_[operation]);
      events_.PutBack(operation);
      Need(operations_[operation], 1);
      if (taken.forced) continue;
      position = {events_.Next(taken.position.event), 0};
      return true;
    }
    return false;
  }

  // Where only appends change the state, every answer still to come must continue it. The next one
  // that shows the state is enough to look at.
  bool LeadsOn(const Operation& op, State next) {
    if (!only_appends_ || values_.kind(static_cast<Value>(next)) != ValueTable::Kind::kText) {
      return true;
    }
    int looked_at = 0;
    for (std::uint32_t event = events_.First(); event != kHead && looked_at < 256;
         event = events_.Next(event), ++looked_at) {
      const Operation& other = operations_[events_[event].operation];
      if (events_[event].is_return || &other == &op || !other.ok() || !other.has_result) continue;
      return values_.text(other.result).starts_with(values_.text(static_cast<Value>(next)));
    }
    return true;
  }

  // All that returned before this event has been linearized, and what returns here has not.
  void NoteReached(std::uint32_t event) {
    if (event > furthest_) {
      furthest_ = event;
      stuck_states_.clear();
    }
    if (event == furthest_ && stuck_states_.size() < kShownStates &&
        std::find(stuck_states_.begin(), stuck_states_.end(), state_) == stuck_states_.end()) {
      stuck_states_.push_back(state_);
    }
  }

  Stepper& stepper_;
  const ValueTable& values_;
  std::span<const Operation> operations_;
  const Budget& budget_;
  Events events_;
  Unanswered unanswered_;
  Seen seen_;
  State state_;
  Fingerprint set_;
  std::vector<Fingerprint> fingerprints_;
  std::vector<Taken> trail_;
  std::unordered_map<Value, int> needs_;
  int any_change_helps_ = 0;
  bool counts_needs_ = false;
  bool only_appends_ = false;
  std::uint32_t furthest_ = 0;
  std::vector<State> stuck_states_;
  std::uint64_t steps_ = 0;
};

}  // namespace

bool TakesPart(const Operation& op) {
  if (op.outcome == Outcome::kFail) return op.compared_unequal;
  return op.ok() || !op.is_read();
}

Linearization Linearize(Stepper& stepper, const ValueTable& values,
                        std::span<const Operation> operations, const Budget& budget) {
  return Search(stepper, values, operations, budget).Run();
}

}  // namespace quorate::check
