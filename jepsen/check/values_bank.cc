// Bank: the sum is constant, nobody is in debt, and balances are what transfers made them.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

// Subsets of transfers of unknown outcome that are tried; beyond, only the sum is checked.
constexpr std::size_t kMaxUnknown = 14;

using Balances = std::map<std::string, std::int64_t>;

class Bank {
 public:
  Bank(const Index& index, Findings& findings)
      : index_(index), history_(index.history()), findings_(findings) {}

  void Check() {
    const Timed timed(findings_, "bank");
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      const bool placed = ShownIndex(op) != kAbsent;
      if (op.function != Function::kTransfer || op.outcome == Outcome::kFail) continue;
      if (!op.ok() || !placed) unknown_.push_back(i);
    }
    std::vector<Position> reads;
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (!op.ok() || !op.is_read() || !op.has_result) continue;
      CheckSum(i);
      if (op.certificate.index != kAbsent) reads.push_back(i);
    }
    std::stable_sort(reads.begin(), reads.end(), [&](Position a, Position b) {
      return Op(a).certificate.index < Op(b).certificate.index;
    });
    for (const Position at : reads) Replay(at);
    CheckerResult& row = findings_.Row("bank");
    row.checked += reads.size();
    row.detail = "sum, no debts, balances by replay";
    if (skipped_ > 0) {
      row.detail += " (" + std::to_string(skipped_) +
                    " reads by their sum only: too many transfers of unknown outcome)";
    }
  }

 private:
  const Operation& Op(Position position) const { return index_.operation(position); }

  Balances Read(const Operation& read) const {
    Balances balances;
    for (const Value pair : history_.values.items(read.result)) {
      std::int64_t balance = 0;
      history_.values.AsNumber(history_.values.item(pair, 1), balance);
      balances[PlainText(history_.values, history_.values.item(pair, 0))] = balance;
    }
    return balances;
  }

  void CheckSum(Position at) {
    const Operation& read = Op(at);
    std::int64_t sum = 0;
    for (const auto& [account, balance] : Read(read)) {
      sum = Plus(sum, balance);
      if (balance >= 0) continue;
      findings_.Violated("bank", {at}, [&, account = account, balance = balance] {
        return Called(history_, read) + " found account " + account + " at " +
               std::to_string(balance);
      });
    }
    if (!total_) total_ = history_.total.value_or(sum);
    if (sum == *total_) return;
    findings_.Violated("bank", {at}, [&] {
      return Called(history_, read) + " found " + std::to_string(sum) +
             " in all accounts together, not " + std::to_string(*total_);
    });
  }

  // `from` and `to`: which parts of [from, to, amount]; the other way round takes it back.
  void Apply(const Operation& transfer, std::size_t from = 0, std::size_t to = 1) {
    const ValueTable& values = history_.values;
    std::int64_t amount = 0;
    values.AsNumber(values.item(transfer.value, 2), amount);
    std::int64_t& source = expected_[PlainText(values, values.item(transfer.value, from))];
    source = Minus(source, amount);
    std::int64_t& target = expected_[PlainText(values, values.item(transfer.value, to))];
    target = Plus(target, amount);
  }

  // Reads come by index.
  void Replay(Position at) {
    const Operation& read = Op(at);
    const std::uint64_t index = read.certificate.index;
    for (; next_ < index_.writes().size() && index_.writes()[next_].index <= index; ++next_) {
      const Operation& op = Op(index_.writes()[next_].operation);
      if (op.function == Function::kTransfer) Apply(op);
    }
    const Balances found = Read(read);
    if (!known_) {  // the first read says what there was
      expected_ = found;
      known_ = true;
      return;
    }
    if (Matches(found)) return;
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < unknown_.size(); ++i) {
      if (unknown_[i] != kNowhere && Op(unknown_[i]).invoked <= index_.SightOf(index).at) {
        open.push_back(i);
      }
    }
    if (open.size() > kMaxUnknown) {
      ++skipped_;
      expected_ = found;
      return;
    }
    if (Explain(found, open, 0)) return;
    findings_.Violated("bank", {at}, [&] { return Wrong(read, found); });
    expected_ = found;
  }

  bool Matches(const Balances& found) const {
    return std::all_of(found.begin(), found.end(), [&](const auto& account) {
      const auto expected = expected_.find(account.first);
      return expected != expected_.end() && expected->second == account.second;
    });
  }

  bool Explain(const Balances& found, const std::vector<std::size_t>& open, std::size_t from) {
    if (Matches(found)) return true;
    if (from == open.size()) return false;
    const Position taken = unknown_[open[from]];
    Apply(Op(taken));
    unknown_[open[from]] = kNowhere;
    if (Explain(found, open, from + 1)) return true;
    unknown_[open[from]] = taken;
    Apply(Op(taken), 1, 0);
    return Explain(found, open, from + 1);
  }

  std::string Wrong(const Operation& read, const Balances& found) const {
    for (const auto& [account, balance] : found) {
      const auto expected = expected_.find(account);
      if (expected != expected_.end() && expected->second == balance) continue;
      return Called(history_, read) + " at index " + std::to_string(read.certificate.index) +
             " found account " + account + " at " + std::to_string(balance) +
             "; by the transfers until then it had " +
             std::to_string(expected == expected_.end() ? 0 : expected->second);
    }
    return Called(history_, read) + " is wrong";
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  std::vector<Position> unknown_;  // kNowhere: found
  std::optional<std::int64_t> total_;
  Balances expected_;
  bool known_ = false;
  std::size_t next_ = 0;
  std::uint64_t skipped_ = 0;
};

}  // namespace

void CheckBank(const Index& index, Findings& findings) {
  Bank(index, findings).Check();
}

}  // namespace quorate::check
