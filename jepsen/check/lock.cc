// Locks: tokens rise, two never hold at once, and the fenced resource never goes back.
//
// A holder is one for certain from the return of its acquire to the invocation of its release, if
// that says ok. A lock that ended with its session may have another holder: then only the token
// keeps the old one out of the resource.
#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr std::string_view kName = "lock";

class Locks {
 public:
  Locks(const Index& index, Findings& findings)
      : index_(index), history_(index.history()), findings_(findings) {}

  void Check() {
    const Timed timed(findings_, kName);
    Collect();
    for (auto& [key, lock] : locks_) {
      CheckTokens(lock.acquires, "acquire");
      CheckTokens(lock.uses, "use");
      CheckHolds(lock.holds);
    }
    findings_.Row(kName).detail = "tokens rise, no two holders, the resource never goes back";
  }

 private:
  struct Token {
    std::int64_t number;
    Position operation;
  };
  struct Hold {
    Time from;
    Time to;
    Position acquire;
    Position release;
  };
  struct Lock {
    std::vector<Token> acquires;
    std::vector<Token> uses;
    std::vector<Hold> holds;
    std::unordered_map<std::int64_t, Position> held_by;  // client: its last acquire
  };

  const Operation& Op(Position position) const { return index_.operation(position); }

  void Collect() {
    for (const Position at : index_.by_invocation()) {
      const Operation& op = Op(at);
      if (!op.ok()) continue;
      Lock& lock = locks_[op.key];
      ++findings_.Row(kName).checked;
      std::int64_t token = 0;
      if (op.function == Function::kAcquire) {
        if (history_.values.AsNumber(op.result, token)) lock.acquires.push_back({token, at});
        lock.held_by[op.client] = at;
      } else if (op.function == Function::kUse) {
        if (history_.values.AsNumber(op.value, token)) lock.uses.push_back({token, at});
      } else if (op.function == Function::kRelease) {
        const auto held = lock.held_by.find(op.client);
        if (held == lock.held_by.end()) continue;
        lock.holds.push_back({Op(held->second).returned, op.invoked, held->second, at});
        lock.held_by.erase(held);
      }
    }
  }

  // What returned before another was invoked has a smaller token (acquire), or none larger (use).
  void CheckTokens(std::vector<Token>& tokens, const std::string& what) {
    const bool strictly = what == "acquire";
    std::vector<Token> returned = tokens;  // tokens are by invocation
    std::sort(returned.begin(), returned.end(), [&](const Token& a, const Token& b) {
      return Op(a.operation).returned < Op(b.operation).returned;
    });
    std::size_t next = 0;
    Token largest{0, kNowhere};
    for (const Token& token : tokens) {
      for (; next < returned.size() &&
             Op(returned[next].operation).returned < Op(token.operation).invoked;
           ++next) {
        if (largest.operation == kNowhere || returned[next].number > largest.number) {
          largest = returned[next];
        }
      }
      if (largest.operation == kNowhere || largest.number < token.number ||
          (!strictly && largest.number == token.number)) {
        continue;
      }
      findings_.Violated(kName, {token.operation, largest.operation}, [&] {
        return Called(history_, Op(token.operation)) + " by client " +
               std::to_string(Op(token.operation).client) + " had token " +
               std::to_string(token.number) + ", but " + Called(history_, Op(largest.operation)) +
               " by client " + std::to_string(Op(largest.operation).client) + " had " +
               std::to_string(largest.number) + " before";
      });
    }
    if (!strictly) return;
    std::sort(tokens.begin(), tokens.end(),
              [](const Token& a, const Token& b) { return a.number < b.number; });
    for (std::size_t i = 1; i < tokens.size(); ++i) {
      if (tokens[i - 1].number != tokens[i].number) continue;
      findings_.Violated(kName, {tokens[i].operation, tokens[i - 1].operation}, [&] {
        return Called(history_, Op(tokens[i].operation)) + " and " +
               Called(history_, Op(tokens[i - 1].operation)) + " got the same token " +
               std::to_string(tokens[i].number);
      });
    }
  }

  void CheckHolds(std::vector<Hold>& holds) {
    std::sort(holds.begin(), holds.end(),
              [](const Hold& a, const Hold& b) { return a.from < b.from; });
    const Hold* longest = nullptr;
    for (const Hold& hold : holds) {
      if (hold.from >= hold.to) continue;
      if (longest != nullptr && hold.from < longest->to) {
        findings_.Violated(
            kName, {hold.acquire, longest->acquire, longest->release, hold.release}, [&] {
              return "client " + std::to_string(Op(hold.acquire).client) + " got the lock (" +
                     Called(history_, Op(hold.acquire)) + ") while client " +
                     std::to_string(Op(longest->acquire).client) + " held it (" +
                     Called(history_, Op(longest->acquire)) + " to " +
                     Called(history_, Op(longest->release)) + ")";
            });
      }
      if (longest == nullptr || hold.to > longest->to) longest = &hold;
    }
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  std::unordered_map<Value, Lock> locks_;
};

}  // namespace

void CheckLock(const Index& index, Findings& findings) {
  Locks(index, findings).Check();
}

}  // namespace quorate::check
