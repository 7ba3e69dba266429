// After each fault, how long until the majority side serves strong reads; and errors while all is
// well.
#include <algorithm>
#include <set>
#include <string>

#include "jepsen/check/calm.h"
#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr std::string_view kName = "availability";
constexpr std::uint64_t kFewestErrors = 10;

// Answers that tell of the data, not of the cluster.
bool IsAboutData(const History& history, const Operation& op) {
  if (op.function == Function::kUse || op.function == Function::kAcquire ||
      op.function == Function::kRelease || op.compared_unequal) {
    return true;
  }
  return history.values.text(history.failure(op).kind) == "final";
}

class AvailabilityCheck {
 public:
  AvailabilityCheck(const Index& index, const CheckOptions& options, Findings& findings)
      : index_(index), history_(index.history()), options_(options), findings_(findings) {
    for (const Position at : index.by_invocation()) {
      const Operation& op = index.operation(at);
      if (op.is_read() && op.level == Level::kStrong && op.on_unmet != OnUnmet::kServe) {
        strong_.push_back(at);
      }
    }
  }

  void Check(Report& report) {
    const Timed timed(findings_, kName);
    for (const Fault& fault : history_.faults) report.availability.push_back(Judge(fault));
    CheckCalm();
    findings_.Row(kName).checked += history_.faults.size();
  }

 private:
  const Operation& Op(Position position) const { return index_.operation(position); }

  // Nodes that this fault, or another that is active within the limit, touches.
  std::set<std::uint32_t> Touched(Time from, Time to) const {
    std::set<std::uint32_t> nodes;
    for (const Fault& fault : history_.faults) {
      if (fault.at <= to && fault.until >= from)
        nodes.insert(fault.nodes.begin(), fault.nodes.end());
    }
    return nodes;
  }

  Availability Judge(const Fault& fault) {
    Availability result{fault.name, fault.id, fault.at, -1, {}};
    const Time limit = options_.availability_limit_us;
    Time from = fault.at;
    std::set<std::uint32_t> touched = Touched(from, from + limit);
    const bool has_majority =
        history_.nodes == 0 ||
        (history_.nodes - std::min<std::size_t>(history_.nodes, touched.size())) * 2 >
            history_.nodes;
    if (!has_majority) {
      if (fault.until == kNever) {
        result.judgement = "not judged: no majority was untouched, and it did not end";
        return result;
      }
      from = fault.until;
      touched.clear();
      for (const Fault& other : history_.faults) {
        if (&other != &fault && other.at <= from + limit && other.until > from) {
          result.judgement = "not judged: no majority was untouched, and another fault followed";
          return result;
        }
      }
    }
    Measure(fault, from, touched, result);
    if (!has_majority) result.judgement += " (from its end on: no majority was untouched)";
    return result;
  }

  // Strong reads that began from then on, and were not asked of a node that the fault touches.
  void Measure(const Fault& fault, Time from, const std::set<std::uint32_t>& touched,
               Availability& result) {
    const Time limit = options_.availability_limit_us;
    const auto first =
        std::lower_bound(strong_.begin(), strong_.end(), from,
                         [&](Position at, Time time) { return Op(at).invoked < time; });
    Position tried = kNowhere;
    Time last_tried = from;
    for (auto at = first; at != strong_.end(); ++at) {
      const Operation& op = Op(*at);
      if (result.served_after_us >= 0 && op.invoked > from + result.served_after_us) break;
      if (op.node != 0 && touched.contains(op.node)) continue;
      if (tried == kNowhere) tried = *at;
      last_tried = op.invoked;
      if (!op.ok()) continue;
      const Time after = op.returned - from;
      if (result.served_after_us < 0 || after < result.served_after_us)
        result.served_after_us = after;
    }
    if (result.served_after_us >= 0 && result.served_after_us <= limit) {
      result.judgement = "in time";
    } else if (tried == kNowhere || Op(tried).invoked > from + limit) {
      result.judgement = "not judged: no strong reads were tried";
    } else if (result.served_after_us < 0 && last_tried < from + limit) {
      result.judgement = "not judged: the history ends before";
    } else {
      result.judgement = "too late";
      findings_.Violated(kName, {tried}, [&] {
        return "after " + fault.name + " at " + Duration(fault.at) +
               " no strong read was served for " +
               (result.served_after_us < 0 ? "the rest of the test"
                                           : Duration(result.served_after_us)) +
               "; the limit is " + Duration(limit) + " (" + Called(history_, Op(tried)) +
               " was the first that was tried)";
      });
    }
  }

  void CheckCalm() {
    const Calm calm(history_, options_.availability_limit_us);
    std::uint64_t all = 0;
    std::uint64_t errors = 0;
    Position example = kNowhere;
    for (Position i = 0; i < history_.operations.size(); ++i) {
      const Operation& op = history_.operations[i];
      if (op.on_unmet == OnUnmet::kRefuse) continue;
      const Time ended = op.returned == kNever ? op.invoked : op.returned;
      if (!calm.Covers(op.invoked, ended)) continue;
      // What never got an answer may have been hit by a fault that came right after.
      if (op.returned == kNever &&
          !calm.Covers(op.invoked, op.invoked + options_.availability_limit_us))
        continue;
      ++all;
      if (op.ok() || (op.outcome == Outcome::kFail && IsAboutData(history_, op))) continue;
      ++errors;
      example = i;
    }
    CheckerResult& row = findings_.Row(kName);
    row.detail = std::to_string(errors) + " of " + std::to_string(all) +
                 " operations failed while no fault was active";
    if (errors < kFewestErrors ||
        static_cast<double>(errors) <= options_.healthy_error_rate * static_cast<double>(all)) {
      return;
    }
    findings_.Violated(kName, {example}, [&] {
      return findings_.Row(kName).detail + ", e.g. " + Called(history_, Op(example)) + " (" +
             PlainText(history_.values, history_.failure(Op(example)).code) + ")";
    });
  }

  const Index& index_;
  const History& history_;
  const CheckOptions& options_;
  Findings& findings_;
  std::vector<Position> strong_;  // strong reads, by invocation
};

}  // namespace

void CheckAvailability(const Index& index, const CheckOptions& options, Findings& findings,
                       Report& report) {
  AvailabilityCheck(index, options, findings).Check(report);
}

}  // namespace quorate::check
