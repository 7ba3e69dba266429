// No command at two indices, no two commands at one. What reads prove of it is in values_*.cc.
#include <vector>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

// The first operation of each (session, seq): a table with open addressing, for millions of them.
class Commands {
 public:
  explicit Commands(std::size_t operations) {
    std::size_t slots = 16;
    while (slots < operations * 2) slots *= 2;
    slots_.resize(slots);
  }

  // What is there now: the given one if it is the first.
  Position Add(std::uint64_t session, std::uint64_t seq, Position position) {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = ((session * 0x9e3779b97f4a7c15 + seq) * 0xd6e8feb86659fd93 >> 16) & mask;
    while (slots_[at].position != kNowhere &&
           (slots_[at].session != session || slots_[at].seq != seq)) {
      at = (at + 1) & mask;
    }
    if (slots_[at].position == kNowhere) slots_[at] = {session, seq, position};
    return slots_[at].position;
  }

 private:
  struct Slot {
    std::uint64_t session = 0;
    std::uint64_t seq = 0;
    Position position = kNowhere;
  };
  std::vector<Slot> slots_;
};

}  // namespace

void CheckExactlyOnce(const Index& index, Findings& findings) {
  const Timed timed(findings, "exactly-once");
  const History& history = index.history();
  Commands commands(index.writes().size() + index.same_index().size());
  for (Position i = 0; i < history.operations.size(); ++i) {
    const Operation& op = history.operations[i];
    if (!IsAnsweredWrite(op) || op.session == 0 || ShownIndex(op) == kAbsent) continue;
    const Position first = commands.Add(op.session, op.seq, i);
    const Operation& before = history.operations[first];
    if (ShownIndex(before) == ShownIndex(op)) continue;
    findings.Violated("exactly-once", {i, first}, [&] {
      return "command " + std::to_string(op.seq) + " of session " + std::to_string(op.session) +
             " was executed at two indices: " + std::to_string(ShownIndex(before)) + " (" +
             Called(history, before) + ") and " + std::to_string(ShownIndex(op)) + " (" +
             Called(history, op) + ")";
    });
  }
  for (const auto& [a, b] : index.same_index()) {
    const Operation& one = history.operations[a];
    const Operation& other = history.operations[b];
    if (one.session != 0 && one.session == other.session && one.seq == other.seq) continue;
    findings.Violated("exactly-once", {b, a}, [&] {
      return Called(history, one) + " and " + Called(history, other) +
             " were both acknowledged at index " + std::to_string(ShownIndex(one));
    });
  }
  findings.Row("exactly-once").checked += index.writes().size();
}

}  // namespace quorate::check
