// What certificates say of themselves: is the age true, may the level rest on that basis, does the
// log have one term at each index and one history.
#include <string>
#include <vector>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr std::string_view kName = "certificates";

std::string_view Name(Basis basis) {
  constexpr std::string_view kNames[] = {"(absent)", "none",   "read_index",
                                         "lease",    "anchor", "commit"};
  return kNames[static_cast<std::size_t>(basis)];
}

bool MayRestOn(const Operation& op, Basis basis) {
  if (basis == Basis::kMissing) return true;
  if (!op.is_read()) return basis == Basis::kCommit;
  if (basis == Basis::kCommit) return false;
  if (op.on_unmet == OnUnmet::kServe || op.level == Level::kSession ||
      op.level == Level::kEventual) {
    return true;
  }
  if (basis == Basis::kNone) return false;
  return op.level == Level::kBounded ? op.max_age_us != 0 || basis != Basis::kAnchor
                                     : basis != Basis::kAnchor;
}

class Certificates {
 public:
  Certificates(const Index& index, Findings& findings)
      : index_(index),
        history_(index.history()),
        findings_(findings),
        of_slot_(index.slot_count(), kNowhere) {}

  void Check() {
    const Timed timed(findings_, kName);
    std::uint64_t checked = 0;
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (!op.ok() || !op.certificate.present) continue;
      ++checked;
      CheckAge(i);
      CheckForm(i);
      CheckHistory(i);
    }
    CheckTerms();
    findings_.Row(kName).checked += checked;
  }

 private:
  const Operation& Op(Position position) const { return history_.operations[position]; }

  // Nothing that was committed longer ago than it claims is missing.
  void CheckAge(Position at) {
    const Operation& op = Op(at);
    const Certificate& certificate = op.certificate;
    if (!op.is_read() || certificate.age_us == kAbsent || certificate.index == kAbsent) return;
    const FirstSight sight = index_.SightAbove(certificate.index, certificate.lag);
    if (sight.at >= op.invoked ||
        static_cast<std::uint64_t>(op.invoked - sight.at) <= certificate.age_us) {
      return;
    }
    findings_.Violated(kName, {at, sight.operation}, [&] {
      return Called(history_, op) + " claimed to miss nothing older than " +
             Duration(static_cast<Time>(certificate.age_us)) + ", but missed index " +
             std::to_string(ShownIndex(Op(sight.operation))) + ", shown by " +
             Called(history_, Op(sight.operation)) + ' ' + Duration(op.invoked - sight.at) +
             " before it began";
    });
  }

  void CheckForm(Position at) {
    const Operation& op = Op(at);
    const Certificate& certificate = op.certificate;
    const auto says = [&](const std::string& what) {
      findings_.Violated(kName, {at}, [&] { return Called(history_, op) + what; });
    };
    if (!MayRestOn(op, certificate.basis)) {
      says(" is " + std::string(op.is_read() ? Name(op.level) : "a write") + " and rests on " +
           std::string(Name(certificate.basis)));
    }
    if (certificate.basis == Basis::kNone && certificate.age_us != kAbsent) {
      says(" claims an age without any basis");
    }
    if (certificate.term != 0 && certificate.term < certificate.entry_term) {
      says(" has an entry of term " + std::to_string(certificate.entry_term) +
           " although its node is in term " + std::to_string(certificate.term));
    }
    if (!op.is_read() || op.on_unmet == OnUnmet::kServe) return;
    if (op.node != 0 && certificate.node != 0 && op.node != certificate.node) {
      says(" was asked of node " + std::to_string(op.node) + " and answered by node " +
           std::to_string(certificate.node));
    }
    if (op.level != Level::kBounded || op.max_age_us == kAbsent) return;
    if (certificate.age_us != kAbsent && certificate.age_us > op.max_age_us) {
      says(" was to be at most " + Duration(static_cast<Time>(op.max_age_us)) +
           " old and claims no more than " + Duration(static_cast<Time>(certificate.age_us)));
    }
    if (certificate.lag > op.max_lag) {
      says(" was to lack at most " + std::to_string(op.max_lag) + " entries and claims " +
           std::to_string(certificate.lag));
    }
  }

  void CheckHistory(Position at) {
    const Certificate& certificate = Op(at).certificate;
    if (certificate.incarnation != kNil) {
      if (first_incarnation_ == kNowhere) first_incarnation_ = at;
      if (Op(first_incarnation_).certificate.incarnation != certificate.incarnation) {
        findings_.Violated(kName, {at, first_incarnation_}, [&] {
          return Called(history_, Op(at)) + " is of another history (incarnation) than " +
                 Called(history_, Op(first_incarnation_));
        });
      }
    }
    const std::uint64_t index = ShownIndex(Op(at));
    if (certificate.entry_term == 0 || index == kAbsent) return;
    Position& first = of_slot_[index_.Slot(index)];
    if (first == kNowhere) first = at;
    if (Op(first).certificate.entry_term != certificate.entry_term) Disagree(at, first);
  }

  // Terms rise with indices.
  void CheckTerms() {
    Position before = kNowhere;
    for (const Position at : of_slot_) {
      if (at == kNowhere) continue;
      if (before != kNowhere && Op(before).certificate.entry_term > Op(at).certificate.entry_term) {
        Disagree(at, before);
      }
      before = at;
    }
  }

  void Disagree(Position at, Position before) {
    findings_.Violated(kName, {at, before}, [&] {
      const auto entry = [&](Position position) {
        return "the entry at index " + std::to_string(ShownIndex(Op(position))) + " is of term " +
               std::to_string(Op(position).certificate.entry_term) + " in " +
               Called(history_, Op(position));
      };
      return entry(at) + ", but " + entry(before);
    });
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  Position first_incarnation_ = kNowhere;
  std::vector<Position> of_slot_;  // the first to show the term of each entry
};

}  // namespace

void CheckCertificates(const Index& index, Findings& findings) {
  Certificates(index, findings).Check();
}

}  // namespace quorate::check
