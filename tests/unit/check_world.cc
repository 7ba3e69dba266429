#include "tests/unit/check_world.h"

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

namespace quorate::check {
namespace {

constexpr Time kTick = 100;

std::int64_t Below(std::mt19937_64& random, std::int64_t limit) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
}

bool Chance(std::mt19937_64& random, double probability) {
  return static_cast<double>(random() % 1'000'000) < probability * 1e6;
}

// A key's value and the write that made it.
struct Cell {
  Value value = kNil;
  std::uint64_t revision = 0;
};

struct Entry {
  std::uint64_t index = 0;
  Time committed = 0;
  Value key = kNil;
  Value after = kNil;
};

Value Applied(History& history, Value before, const Operation& op) {
  ValueTable& values = history.values;
  switch (history.model) {
    case Model::kAppend:
      return values.Text(std::string(values.text(before)) + std::string(values.text(op.value)));
    case Model::kCounter:
      return values.Number((before == kNil ? 0 : values.number(before)) + values.number(op.value));
    default:
      return op.value;
  }
}

class World {
 public:
  World(const WorldOptions& options, std::mt19937_64& random)
      : options_(options), random_(random), applied_(static_cast<std::size_t>(options.nodes) + 1) {
    history_.model = options.model;
    history_.nodes = static_cast<std::uint32_t>(options.nodes);
    history_.file = "world";
  }

  History Run() {
    Plan();
    // Each takes effect at one moment, in the order of these moments.
    std::sort(moments_.begin(), moments_.end());
    for (const auto& [time, position] : moments_) {
      Operation& op = history_.operations[position];
      op.is_read() ? Read(op, time) : Write(op, time);
    }
    return std::move(history_);
  }

 private:
  void Plan() {
    std::vector<Time> free(static_cast<std::size_t>(options_.clients));
    std::vector<std::int64_t> process(free.size());
    for (std::size_t i = 0; i < free.size(); ++i) process[i] = static_cast<std::int64_t>(i);
    for (int i = 0; i < options_.operations; ++i) {
      const auto client = static_cast<std::size_t>(Below(random_, options_.clients));
      Operation op;
      op.number = static_cast<std::uint64_t>(i + 1);
      op.client = process[client];
      op.invoked = free[client] + Below(random_, 3 * kTick);
      op.returned = op.invoked + 2 + Below(random_, 4 * kTick);
      free[client] = op.returned + 1;
      op.key = history_.values.Text("k" + std::to_string(Below(random_, options_.keys)));
      const Time moment = op.invoked + Below(random_, op.returned - op.invoked + 1);
      bool executed = true;
      if (Chance(random_, 0.5)) {
        PlanRead(op);
      } else {
        executed = PlanWrite(op, i);
        if (op.outcome == Outcome::kInfo) process[client] += options_.clients;
      }
      history_.operations.push_back(op);
      if (executed) moments_.emplace_back(moment, history_.operations.size() - 1);
    }
  }

  void PlanRead(Operation& op) {
    op.function = Function::kRead;
    op.outcome = Outcome::kOk;
    op.level = static_cast<Level>(Below(random_, 4));
    if (op.level == Level::kBounded) {
      op.max_age_us = static_cast<std::uint64_t>(1 + Below(random_, 5 * kTick));
      op.max_lag = static_cast<std::uint64_t>(Chance(random_, 0.3) ? Below(random_, 3) : 0);
    }
  }

  bool PlanWrite(Operation& op, int number) {
    ValueTable& values = history_.values;
    switch (options_.model) {
      case Model::kAppend:
        op.function = Function::kAppend;
        op.value = values.Text("p" + std::to_string(number) + ";");
        break;
      case Model::kCounter:
        op.function = Function::kAdd;
        op.value = values.Number(1);
        break;
      default:
        op.function = Function::kWrite;
        op.value = values.Text("v" + std::to_string(number));
    }
    op.session = static_cast<std::uint64_t>(op.client + 1);
    op.seq = ++sequences_[op.session];
    op.outcome = Outcome::kOk;
    if (Chance(random_, options_.failed)) {
      op.outcome = Outcome::kFail;
      return false;
    }
    if (!Chance(random_, options_.unknown)) return true;
    op.outcome = Outcome::kInfo;
    op.returned = kNever;
    return Chance(random_, 0.6);
  }

  void Write(Operation& op, Time now) {
    // Some indices are nobody's: a leader's own entries.
    if (Chance(random_, 0.1)) log_.push_back({++last_, now, kNil, kNil});
    const Cell before = At(op.key, last_);
    Entry entry{++last_, now, op.key, Applied(history_, before.value, op)};
    log_.push_back(entry);
    if (!op.ok()) return;
    op.revision = entry.index;
    op.has_result = options_.model != Model::kRegister;
    if (options_.model == Model::kAppend) op.result = before.value;
    if (options_.model == Model::kCounter) op.result = entry.after;
    Certify(op, 1, entry.index);
    op.certificate.basis = Basis::kCommit;
    Saw(op, entry.index);
  }

  void Read(Operation& op, Time now) {
    const auto node = static_cast<std::uint32_t>(1 + Below(random_, options_.nodes));
    std::uint64_t& applied = applied_[node];
    // It catches up by what it likes, and then by what the level asks for.
    if (Chance(random_, 0.5))
      applied += static_cast<std::uint64_t>(
          Below(random_, static_cast<std::int64_t>(last_ - applied + 1)));
    if (op.level == Level::kStrong) applied = last_;
    if (op.level == Level::kSession) applied = std::max(applied, saw_[op.client]);
    if (op.level == Level::kBounded) {
      const std::uint64_t due = CommittedBy(now - static_cast<Time>(op.max_age_us));
      applied = std::max(applied, due - std::min(due, op.max_lag));
    }
    Certify(op, node, applied);
    if (op.level == Level::kBounded) op.certificate.lag = op.max_lag;
    Age(op, now);
    const Cell cell = At(op.key, applied);
    op.has_result = true;
    op.result = cell.value;
    op.revision = cell.revision;
    Saw(op, applied);
  }

  // Nothing that was committed before now - age is missing, but for lag entries.
  void Age(Operation& op, Time now) {
    const std::uint64_t covered = op.certificate.index + op.certificate.lag;
    Time age = 0;
    for (const Entry& entry : log_) {
      if (entry.index > covered) {
        age = now - entry.committed;
        break;
      }
    }
    op.certificate.age_us = static_cast<std::uint64_t>(age);
    op.certificate.basis = op.level == Level::kStrong ? Basis::kReadIndex : Basis::kAnchor;
  }

  void Certify(Operation& op, std::uint32_t node, std::uint64_t index) {
    op.certificate.present = true;
    op.certificate.node = node;
    op.certificate.term = 3;
    op.certificate.entry_term = 2;
    op.certificate.index = index;
  }

  void Saw(const Operation& op, std::uint64_t index) {
    saw_[op.client] = std::max(saw_[op.client], index);
  }

  std::uint64_t CommittedBy(Time time) const {
    std::uint64_t index = 0;
    for (const Entry& entry : log_) {
      if (entry.committed <= time) index = entry.index;
    }
    return index;
  }

  Cell At(Value key, std::uint64_t index) const {
    Cell cell;
    for (const Entry& entry : log_) {
      if (entry.index <= index && entry.key == key) cell = {entry.after, entry.index};
    }
    return cell;
  }

  const WorldOptions& options_;
  std::mt19937_64& random_;
  History history_;
  std::vector<std::pair<Time, std::size_t>> moments_;
  std::vector<Entry> log_;
  std::uint64_t last_ = 0;
  std::vector<std::uint64_t> applied_;
  std::map<std::int64_t, std::uint64_t> saw_;
  std::map<std::uint64_t, std::uint64_t> sequences_;
};

// ---- Mutations ----

Operation* Pick(History& history, std::mt19937_64& random,
                const std::function<bool(const Operation&)>& suits) {
  std::vector<Operation*> suitable;
  for (Operation& op : history.operations) {
    if (suits(op)) suitable.push_back(&op);
  }
  if (suitable.empty()) return nullptr;
  return suitable[static_cast<std::size_t>(
      Below(random, static_cast<std::int64_t>(suitable.size())))];
}

bool IsOkRead(const Operation& op) {
  return op.ok() && op.is_read();
}
bool IsOkWrite(const Operation& op) {
  return op.ok() && !op.is_read();
}

std::uint64_t Moved(std::uint64_t number, std::mt19937_64& random) {
  const std::int64_t by = 1 + Below(random, 3);
  const auto moved = static_cast<std::int64_t>(number) + (Chance(random, 0.5) ? by : -by);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(moved, 0));
}

std::string ChangeRead(History& history, std::mt19937_64& random, std::int64_t what) {
  Operation* read = Pick(history, random, IsOkRead);
  if (read == nullptr) return {};
  const std::string name = "read #" + std::to_string(read->number) + ": ";
  if (what == 0) {
    const Operation* other =
        Pick(history, random, [](const Operation& op) { return op.has_result || !op.is_read(); });
    if (other == nullptr) return {};
    read->result = other->has_result ? other->result : other->value;
    return name + "the value of #" + std::to_string(other->number);
  }
  if (what == 1) {
    read->revision = Moved(read->revision, random);
    return name + "revision " + std::to_string(read->revision);
  }
  if (what == 2) {
    read->certificate.index = Moved(read->certificate.index, random);
    return name + "index " + std::to_string(read->certificate.index);
  }
  read->certificate.age_us /= 2;
  return name + "age halved to " + std::to_string(read->certificate.age_us);
}

std::string MoveTime(History& history, std::mt19937_64& random) {
  Operation* op = Pick(history, random, [](const Operation& any) { return any.ok(); });
  if (op == nullptr) return {};
  const Time length = op->returned - op->invoked;
  if (Chance(random, 0.5)) {
    op->returned = op->invoked + Below(random, length + 1);
  } else {
    const Time by = Below(random, 8 * kTick) - 4 * kTick;
    op->invoked = std::max<Time>(0, op->invoked + by);
    op->returned = op->invoked + length;
  }
  return "#" + std::to_string(op->number) + " is now from " + std::to_string(op->invoked) + " to " +
         std::to_string(op->returned);
}

std::string ChangeWrite(History& history, std::mt19937_64& random, std::int64_t what) {
  Operation* write = Pick(history, random, IsOkWrite);
  if (write == nullptr) return {};
  const std::string name = "write #" + std::to_string(write->number) + ": ";
  if (what == 0) {
    write->outcome = Outcome::kFail;
    write->has_result = false;
    write->revision = kAbsent;
    write->certificate = {};
    return name + "failed";
  }
  if (what == 1) {
    write->revision = write->certificate.index =
        std::max<std::uint64_t>(1, Moved(write->revision, random));
    return name + "index " + std::to_string(write->revision);
  }
  const Operation* other = Pick(history, random, [&](const Operation& op) {
    return IsOkWrite(op) && op.session != 0 && &op != write;
  });
  if (other == nullptr) return {};
  write->session = other->session;
  write->seq = other->seq;
  return name + "the session and seq of #" + std::to_string(other->number);
}

std::string FailTurnedOk(History& history, std::mt19937_64& random) {
  Operation* failed = Pick(history, random, [](const Operation& op) {
    return op.outcome == Outcome::kFail && !op.is_read();
  });
  const Operation* like = Pick(history, random, IsOkWrite);
  if (failed == nullptr || like == nullptr) return {};
  failed->outcome = Outcome::kOk;
  failed->certificate = like->certificate;
  failed->revision = failed->certificate.index = Moved(like->revision, random) + 1;
  failed->has_result = like->has_result;
  failed->result = like->result;
  return "failed #" + std::to_string(failed->number) + " is ok at " +
         std::to_string(failed->revision);
}

// ---- The judge ----

class Judge {
 public:
  explicit Judge(const History& history) : history_(history) {}

  bool Valid() {
    std::vector<const Operation*> unknown;
    for (const Operation& op : history_.operations) {
      if (op.ok()) largest_ = std::max(largest_, op.is_read() ? op.certificate.index : op.revision);
      if (op.is_read()) continue;
      if (op.outcome == Outcome::kInfo) unknown.push_back(&op);
      if (op.ok() && !placed_.emplace(op.revision, &op).second) return false;
    }
    return OneExecution() && Orders() && Place(unknown, 0);
  }

 private:
  bool OneExecution() const {
    std::set<std::pair<std::uint64_t, std::uint64_t>> commands;
    return std::all_of(history_.operations.begin(), history_.operations.end(), [&](const auto& op) {
      return !IsOkWrite(op) || commands.emplace(op.session, op.seq).second;
    });
  }

  // What does not depend on where unknown writes are.
  bool Orders() const {
    for (const Operation& b : history_.operations) {
      if (!IsOkRead(b)) continue;
      if (b.revision > b.certificate.index) return false;
      if (b.level == Level::kBounded && b.certificate.age_us > b.max_age_us) return false;
      for (const Operation& a : history_.operations) {
        if (!a.ok() || a.returned >= b.invoked) continue;
        const std::uint64_t shown = a.is_read() ? a.certificate.index : a.revision;
        const bool behind = b.certificate.index < shown;
        if (behind && a.is_read() && a.certificate.node == b.certificate.node) return false;
        if (behind && b.level == Level::kSession && a.client == b.client) return false;
      }
    }
    return true;
  }

  bool Place(const std::vector<const Operation*>& unknown, std::size_t next) {
    if (next == unknown.size()) return Explains();
    if (Place(unknown, next + 1)) return true;  // never
    for (std::uint64_t index = 1; index <= largest_; ++index) {
      if (!placed_.emplace(index, unknown[next]).second) continue;
      const bool valid = Place(unknown, next + 1);
      placed_.erase(index);
      if (valid) return true;
    }
    return false;
  }

  bool Explains() const { return States() && Moments(); }

  // Every answer is the state at its index.
  bool States() const {
    std::map<Value, Cell> cells;
    std::vector<std::map<Value, Cell>> at = {cells};
    for (std::uint64_t index = 1; index <= largest_; ++index) {
      const auto entry = placed_.find(index);
      if (entry != placed_.end() && !Execute(*entry->second, index, cells[entry->second->key])) {
        return false;
      }
      at.push_back(cells);
    }
    return std::all_of(history_.operations.begin(), history_.operations.end(), [&](const auto& op) {
      if (!IsOkRead(op)) return true;
      const auto& state = at[op.certificate.index];
      const auto cell = state.find(op.key);
      const Cell expected = cell == state.end() ? Cell{} : cell->second;
      return expected.value == op.result && expected.revision == op.revision;
    });
  }

  bool Execute(const Operation& op, std::uint64_t index, Cell& cell) const {
    // The table may grow; nothing else of the history does.
    auto& history = const_cast<History&>(history_);
    const Value after = Applied(history, cell.value, op);
    if (op.ok() && op.has_result &&
        op.result != (history_.model == Model::kAppend ? cell.value : after)) {
      return false;
    }
    cell = {after, index};
    return true;
  }

  // Is there a moment for each entry's commit, in order?
  bool Moments() const {
    Time earliest = 0;
    for (std::uint64_t index = 1; index <= largest_; ++index) {
      const auto entry = placed_.find(index);
      if (entry != placed_.end()) earliest = std::max(earliest, entry->second->invoked);
      for (const Operation& op : history_.operations) {
        if (IsOkRead(op)) earliest = std::max(earliest, NotCommittedBefore(op, index));
      }
      for (const Operation& op : history_.operations) {
        if (!op.ok()) continue;
        const std::uint64_t shown = op.is_read() ? op.certificate.index : op.revision;
        if (shown >= index && op.returned < earliest) return false;
      }
    }
    return true;
  }

  // A read that lacks an entry says when that cannot have been committed yet.
  static Time NotCommittedBefore(const Operation& op, std::uint64_t index) {
    Time moment = 0;
    const std::uint64_t has = op.certificate.index;
    if (op.level == Level::kStrong && index > has) moment = op.invoked;
    if (op.level == Level::kBounded && index > has + op.max_lag) {
      moment = op.invoked - static_cast<Time>(op.max_age_us);
    }
    if (index > has + op.certificate.lag) {
      moment = std::max(moment, op.invoked - static_cast<Time>(op.certificate.age_us));
    }
    return moment;
  }

  const History& history_;
  std::uint64_t largest_ = 0;
  std::map<std::uint64_t, const Operation*> placed_;
};

nlohmann::json ToJson(const ValueTable& values, Value value) {
  switch (values.kind(value)) {
    case ValueTable::Kind::kNumber:
      return values.number(value);
    case ValueTable::Kind::kText:
      return values.text(value);
    default:
      return nullptr;
  }
}

nlohmann::json ToJson(const Certificate& certificate) {
  static constexpr const char* kBasis[] = {"", "none", "read_index", "lease", "anchor", "commit"};
  nlohmann::json json = {
      {"node", certificate.node},   {"term", certificate.term},
      {"index", certificate.index}, {"entry_term", certificate.entry_term},
      {"lag", certificate.lag},     {"basis", kBasis[static_cast<int>(certificate.basis)]}};
  if (certificate.age_us != kAbsent) json["age_us"] = certificate.age_us;
  return json;
}

}  // namespace

History SimulatedHistory(const WorldOptions& options, std::mt19937_64& random) {
  return World(options, random).Run();
}

std::string Mutate(History& history, std::mt19937_64& random) {
  const std::int64_t kind = Below(random, 9);
  if (kind < 4) return ChangeRead(history, random, kind);
  if (kind == 4) return MoveTime(history, random);
  if (kind < 8) return ChangeWrite(history, random, kind - 5);
  return FailTurnedOk(history, random);
}

bool JudgedValid(const History& history) {
  return Judge(history).Valid();
}

std::string ToJsonLines(const History& history) {
  static constexpr const char* kOutcomes[] = {"ok", "fail", "info"};
  std::string text = nlohmann::json{{"format", "quorate-history-1"},
                                    {"workload", Name(history.model)},
                                    {"nodes", history.nodes}}
                         .dump() +
                     '\n';
  for (const Operation& op : history.operations) {
    nlohmann::json json = {
        {"op", op.number},        {"client", op.client},
        {"f", Name(op.function)}, {"key", ToJson(history.values, op.key)},
        {"invoked", op.invoked},  {"type", kOutcomes[static_cast<int>(op.outcome)]}};
    if (op.returned != kNever) json["returned"] = op.returned;
    if (op.value != kNil) json["value"] = ToJson(history.values, op.value);
    if (op.has_result) json["result"] = ToJson(history.values, op.result);
    if (op.revision != kAbsent) json["revision"] = op.revision;
    if (op.is_read()) json["level"] = Name(op.level);
    if (op.max_age_us != kAbsent) json["max_age_us"] = op.max_age_us;
    if (op.max_lag != 0) json["max_lag"] = op.max_lag;
    if (op.session != 0) json["session"] = op.session;
    if (op.seq != 0) json["seq"] = op.seq;
    if (op.certificate.present) json["certificate"] = ToJson(op.certificate);
    text += json.dump() + '\n';
  }
  return text;
}

}  // namespace quorate::check
