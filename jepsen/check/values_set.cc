// Sets: nothing lost, nothing that nobody added, and what was there once stays.
#include <algorithm>
#include <string>
#include <unordered_map>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

class Sets {
 public:
  Sets(const Index& index, Findings& findings)
      : index_(index), history_(index.history()), findings_(findings) {}

  void Check() {
    const Timed timed(findings_, "values");
    Collect();
    for (const Level level : {Level::kStrong, Level::kBounded, Level::kSession, Level::kEventual}) {
      for (const Position at : index_.reads(level)) {
        if (Op(at).has_result) CheckRead(at);
      }
      findings_.Row("values").checked += index_.reads(level).size();
    }
    CheckUnknown();
    findings_.Row("values").detail = "nothing lost, nothing phantom; see the levels";
  }

 private:
  struct Element {
    std::uint64_t index = kAbsent;  // of the first answered add
    Position add = kNowhere;
    Time maybe_from = kNever;  // an add of unknown outcome began
    Position maybe = kNowhere;
    Position failed = kNowhere;
    std::uint64_t seen_at = kAbsent;  // the smallest index of a read that had it
    std::uint64_t lacked_at = 0;      // the largest of one that had not, after the first that had
  };
  struct Key {
    std::unordered_map<Value, Element> elements;
    std::vector<std::pair<std::uint64_t, Value>> added;  // by index
    std::vector<Value> maybe;
  };

  const Operation& Op(Position position) const { return index_.operation(position); }

  void Collect() {
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.function != Function::kAdd) continue;
      Element& element = keys_[op.key].elements[op.value];
      const std::uint64_t index = ShownIndex(op);
      if (op.outcome == Outcome::kFail) {
        element.failed = i;
      } else if (index != kAbsent) {
        if (index < element.index) element = WithAdd(element, index, i);
      } else if (op.invoked < element.maybe_from) {
        element.maybe_from = op.invoked;
        element.maybe = i;
      }
    }
    for (auto& [name, key] : keys_) {
      for (const auto& [value, element] : key.elements) {
        if (element.index != kAbsent) key.added.emplace_back(element.index, value);
        if (element.index == kAbsent && element.maybe != kNowhere) key.maybe.push_back(value);
      }
      std::sort(key.added.begin(), key.added.end());
    }
  }

  static Element WithAdd(Element element, std::uint64_t index, Position add) {
    element.index = index;
    element.add = add;
    return element;
  }

  void CheckRead(Position at) {
    const Operation& read = Op(at);
    Key& key = keys_[read.key];
    const std::uint64_t index = read.certificate.index;
    std::vector<Value> elements = history_.values.items(read.result);
    std::sort(elements.begin(), elements.end());
    elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
    std::size_t known = 0;
    for (const Value value : elements) {
      const auto found = key.elements.find(value);
      if (found != key.elements.end() && found->second.index <= index) {
        ++known;
      } else if (found == key.elements.end() || !MayBeIn(found->second, index)) {
        Phantom(at, value, found == key.elements.end() ? nullptr : &found->second);
      } else {
        found->second.seen_at = std::min(found->second.seen_at, index);
      }
    }
    const auto added = static_cast<std::size_t>(
        std::upper_bound(key.added.begin(), key.added.end(), std::pair(index, Value{0xffffffff})) -
        key.added.begin());
    if (known < added) Lost(at, key, elements, added);
    for (const Value value : key.maybe) {
      if (std::binary_search(elements.begin(), elements.end(), value)) continue;
      Element& element = key.elements[value];
      element.lacked_at = std::max(element.lacked_at, index);
    }
  }

  bool MayBeIn(const Element& element, std::uint64_t index) const {
    return element.maybe != kNowhere && element.maybe_from <= index_.SightOf(index).at;
  }

  void Phantom(Position at, Value value, const Element* element) {
    const bool failed = element != nullptr && element->failed != kNowhere;
    const Position other = element == nullptr         ? kNowhere
                           : failed                   ? element->failed
                           : element->add != kNowhere ? element->add
                                                      : element->maybe;
    findings_.Violated(failed ? "exactly-once" : Name(Op(at).level), {at, other}, [&] {
      std::string text = Called(history_, Op(at)) + " at index " +
                         std::to_string(Op(at).certificate.index) + " has " +
                         history_.values.Show(value) + ", which ";
      if (other == kNowhere) return text + "nobody added";
      text += Called(history_, Op(other));
      if (failed) return text + " added, which had failed as not executed";
      return text + (element->add != kNowhere ? " added at index " + std::to_string(element->index)
                                              : " began to add only later");
    });
  }

  void Lost(Position at, const Key& key, const std::vector<Value>& elements, std::size_t added) {
    for (std::size_t i = 0; i < added; ++i) {
      const auto [index, value] = key.added[i];
      if (std::binary_search(elements.begin(), elements.end(), value)) continue;
      const Position add = key.elements.at(value).add;
      findings_.Violated(Name(Op(at).level), {at, add}, [&, index = index, value = value] {
        return Called(history_, Op(at)) + " at index " + std::to_string(Op(at).certificate.index) +
               " lacks " + history_.values.Show(value) + ", which " + Called(history_, Op(add)) +
               " added at index " + std::to_string(index);
      });
      return;
    }
  }

  void CheckUnknown() {
    for (const auto& [name, key] : keys_) {
      for (const Value value : key.maybe) {
        const Element& element = key.elements.at(value);
        if (element.seen_at == kAbsent || element.lacked_at < element.seen_at) continue;
        findings_.Violated("eventual", {element.maybe}, [&, value = value] {
          return history_.values.Show(value) + " of " + Called(history_, Op(element.maybe)) +
                 " was there at index " + std::to_string(element.seen_at) + " and not at index " +
                 std::to_string(element.lacked_at);
        });
      }
    }
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  std::unordered_map<Value, Key> keys_;
};

}  // namespace

void CheckSets(const Index& index, Findings& findings) {
  Sets(index, findings).Check();
}

}  // namespace quorate::check
