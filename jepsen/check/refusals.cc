// Was each refusal justified, as far as the history shows?
//
// By its own numbers; by what was known to be committed; and a node that is whole, while no fault
// is active, serves.
#include <map>
#include <string>

#include "jepsen/check/calm.h"
#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr std::string_view kName = "refusals";
constexpr std::uint64_t kFewest = 20;  // reads of a node, to judge it by

class Refusals {
 public:
  Refusals(const Index& index, const CheckOptions& options, Findings& findings)
      : index_(index),
        history_(index.history()),
        findings_(findings),
        calm_(index.history(), options.availability_limit_us) {}

  void Check() {
    const Timed timed(findings_, kName);
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (!op.is_read()) continue;
      if (op.outcome == Outcome::kFail) {
        ++refused_;
        CheckNumbers(i);
      }
      Count(i);
    }
    CheckNodes();
    findings_.Row(kName).checked += refused_;
  }

 private:
  struct Reads {
    std::uint64_t all = 0;
    std::uint64_t refused = 0;
    Position example = kNowhere;
  };

  void CheckNumbers(Position at) {
    const Operation& op = index_.operation(at);
    const Failure& failure = history_.failure(op);
    const std::string_view code = history_.values.text(failure.code);
    const auto says = [&](const std::string& why) {
      findings_.Violated(kName, {at}, [&] {
        return Called(history_, op) + " was refused as " + std::string(code) + why;
      });
    };
    const bool has_both = failure.have != kAbsent && failure.want != kAbsent && failure.want > 0;
    if (code == "NOT_CAUGHT_UP" && has_both && failure.have >= failure.want) {
      says(" although it had index " + std::to_string(failure.have) + " and wanted only " +
           std::to_string(failure.want));
    }
    if (code == "STALE" && has_both && failure.age_us != kAbsent && failure.age_us > 0 &&
        op.max_age_us != kAbsent && failure.age_us <= op.max_age_us &&
        failure.have + op.max_lag >= failure.want && failure.have >= op.min_index) {
      says(" although it could prove " + Duration(static_cast<Time>(failure.age_us)) + " and " +
           Duration(static_cast<Time>(op.max_age_us)) + " was asked for");
    }
    if (code != "FUTURE_TOKEN" || failure.have == kAbsent) return;
    const FirstSight sight = index_.SightAbove(failure.have);
    if (sight.at >= op.invoked) return;
    findings_.Violated(kName, {at, sight.operation}, [&] {
      return Called(history_, op) +
             " was refused as FUTURE_TOKEN, nothing being committed beyond index " +
             std::to_string(failure.have) + ", but " +
             Called(history_, index_.operation(sight.operation)) + " had shown index " +
             std::to_string(ShownIndex(index_.operation(sight.operation))) + " before";
    });
  }

  // Reads that wait for what they ask must be served in calm; others may ask for too much.
  void Count(Position at) {
    const Operation& op = index_.operation(at);
    if (op.node == 0 || op.on_unmet != OnUnmet::kWait || op.outcome == Outcome::kInfo) return;
    if (op.returned == kNever || !calm_.Covers(op.invoked, op.returned)) return;
    Reads& reads = nodes_[op.node];
    ++reads.all;
    if (op.outcome != Outcome::kFail) return;
    ++reads.refused;
    reads.example = at;
  }

  void CheckNodes() {
    for (const auto& [node, reads] : nodes_) {
      if (reads.all < kFewest || reads.refused * 2 <= reads.all) continue;
      findings_.Violated(kName, {reads.example}, [&, node = node, reads = reads] {
        const Operation& op = index_.operation(reads.example);
        return "node " + std::to_string(node) + " refused " + std::to_string(reads.refused) +
               " of " + std::to_string(reads.all) + " reads while no fault was active, e.g. " +
               Called(history_, op) + " as " +
               PlainText(history_.values, history_.failure(op).code);
      });
    }
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  Calm calm_;
  std::map<std::uint32_t, Reads> nodes_;
  std::uint64_t refused_ = 0;
};

}  // namespace

void CheckRefusals(const Index& index, const CheckOptions& options, Findings& findings) {
  Refusals(index, options, findings).Check();
}

}  // namespace quorate::check
