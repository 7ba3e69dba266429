// Strong, bounded, session and eventual reads as far as indices tell, and how stale reads were.
//
// An index is known to be committed once any answer has shown it. Everything rests on that: the
// first moment at which an index, or a later one, was shown (Index::SightOf). An answer that lacks
// an index shown before the moment that its level promises breaks the promise; equal times count as
// concurrent.
#include <algorithm>
#include <map>
#include <string>

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"
#include "jepsen/check/sentence.h"
#include "jepsen/check/white_box.h"

namespace quorate::check {
namespace {

constexpr std::size_t kSampled = 1000;

// "missed write #790, acknowledged 1.93 s before it began"
std::string Missed(const History& history, const Operation& read, const Operation& shown) {
  const std::string before = Duration(read.invoked - shown.returned) + " before it began";
  if (!shown.is_read()) {
    return "missed " + Called(history, shown) + ", acknowledged " + before;
  }
  return "missed index " + std::to_string(ShownIndex(shown)) + ", which " + Called(history, shown) +
         " had shown " + before;
}

class Freshness {
 public:
  Freshness(const Index& index, Findings& findings)
      : index_(index), history_(index.history()), findings_(findings) {}

  void Strong() {
    const Timed timed(findings_, "strong");
    for (const Position at : index_.reads(Level::kStrong)) {
      if (Op(at).on_unmet != OnUnmet::kServe) Within("strong", at, 0, 0);
    }
    // Between writes the order of indices respects real time too; and a read cannot show an index
    // that a later write was given.
    for (const PlacedWrite& write : index_.writes()) {
      if (write.proven_by_read) continue;  // by when it was chosen
      const Operation& op = Op(write.operation);
      const FirstSight sight = index_.SightOf(write.index);
      if (sight.at >= op.invoked || sight.at >= FirstSent(op)) continue;
      findings_.Violated("strong", {write.operation, sight.operation}, [&] {
        return Called(history_, op) + " got index " + std::to_string(write.index) + ", but " +
               Called(history_, Op(sight.operation)) + " had shown index " +
               std::to_string(ShownIndex(Op(sight.operation))) + " already " +
               Duration(op.invoked - sight.at) + " before it began";
      });
    }
    findings_.Row("strong").checked += index_.reads(Level::kStrong).size() + index_.writes().size();
  }

  void Bounded() {
    const Timed timed(findings_, "bounded");
    for (const Position at : index_.reads(Level::kBounded)) {
      const Operation& op = Op(at);
      if (op.on_unmet == OnUnmet::kServe || op.max_age_us == kAbsent) continue;
      Within("bounded", at, op.max_age_us, op.max_lag);
    }
    findings_.Row("bounded").checked += index_.reads(Level::kBounded).size();
  }

  // What a read asked for by index; what its own client and its node had seen before.
  void SessionsAndNodes() {
    const Timed timed(findings_, "session");
    std::vector<FirstSight> of_client(index_.client_count());  // the largest index so far
    std::unordered_map<std::uint32_t, Position> of_node;
    std::size_t returned = 0;
    for (const Position at : index_.by_invocation()) {
      const Operation& op = Op(at);
      for (; returned < index_.by_return().size(); ++returned) {
        const Position before = index_.by_return()[returned];
        if (Op(before).returned >= op.invoked) break;
        Remember(before, of_client, of_node);
      }
      if (op.ok() && op.is_read() && op.certificate.index != kAbsent) {
        ReadAfter(at, of_client[index_.client(at)].operation, of_node);
      }
    }
    findings_.Row("session").checked += index_.reads(Level::kSession).size();
    findings_.Row("eventual").checked += index_.reads(Level::kEventual).size();
  }

  void Measure(Report& report) {
    const Timed timed(findings_, "staleness");
    for (const Level level : {Level::kStrong, Level::kBounded, Level::kSession, Level::kEventual}) {
      if (!index_.reads(level).empty()) {
        report.staleness.emplace(std::string(Name(level)), Measured(level));
        findings_.Row("staleness").checked += index_.reads(level).size();
      }
    }
    findings_.Row("staleness").detail = "measured, not judged";
  }

 private:
  const Operation& Op(Position position) const { return index_.operation(position); }

  void Within(std::string_view checker, Position at, std::uint64_t age, std::uint64_t lag) {
    const Operation& op = Op(at);
    const std::uint64_t has = op.certificate.index;
    const FirstSight sight = index_.SightAbove(has, lag);
    if (sight.at >= op.invoked || static_cast<std::uint64_t>(op.invoked - sight.at) <= age) return;
    findings_.Violated(checker, {at, sight.operation}, [&] {
      std::string text = Called(history_, op) + ' ' + Missed(history_, op, Op(sight.operation));
      const std::uint64_t claimed = op.certificate.age_us;
      if (age > 0) text += "; it was to be at most " + Duration(static_cast<Time>(age)) + " old";
      if (lag > 0) text += " but for " + std::to_string(lag) + " entries";
      if (claimed != kAbsent && claimed != age) {
        text += "; it claimed at most " + Duration(static_cast<Time>(claimed));
      }
      return text;
    });
  }

  // When a command was first sent: a later operation that repeats it is answered with the index
  // that it got then.
  Time FirstSent(const Operation& op) {
    if (op.session == 0) return op.invoked;
    if (first_sent_.empty()) {
      for (const Operation& any : history_.operations) {
        if (any.session == 0) continue;
        Time& first = first_sent_.try_emplace({any.session, any.seq}, kNever).first->second;
        first = std::min(first, any.invoked);
      }
    }
    return first_sent_.at({op.session, op.seq});
  }

  void Remember(Position at, std::vector<FirstSight>& of_client,
                std::unordered_map<std::uint32_t, Position>& of_node) {
    const Operation& op = Op(at);
    const std::uint64_t shown = ShownIndex(op);
    if (shown == kAbsent) return;
    Position& own = of_client[index_.client(at)].operation;
    if (own == kNowhere || ShownIndex(Op(own)) < shown) own = at;
    if (!op.is_read() || op.certificate.node == 0) return;
    Position& node = of_node.try_emplace(op.certificate.node, at).first->second;
    if (ShownIndex(Op(node)) < shown) node = at;
  }

  void ReadAfter(Position at, Position own,
                 const std::unordered_map<std::uint32_t, Position>& of_node) {
    const Operation& op = Op(at);
    if (op.on_unmet == OnUnmet::kServe) return;
    const std::uint64_t has = op.certificate.index;
    if (has < op.min_index) {
      findings_.Violated("session", {at}, [&] {
        return Called(history_, op) + " asked for index " + std::to_string(op.min_index) +
               " at least and got " + std::to_string(has);
      });
    }
    if (op.level == Level::kSession && own != kNowhere && has < ShownIndex(Op(own))) {
      findings_.Violated("session", {at, own}, [&] {
        return Called(history_, op) + " is at index " + std::to_string(has) +
               ", behind its own client's " + Called(history_, Op(own)) + " at index " +
               std::to_string(ShownIndex(Op(own)));
      });
    }
    const auto node = of_node.find(op.certificate.node);
    if (op.certificate.node == 0 || node == of_node.end()) return;
    const Operation& before = Op(node->second);
    if (has >= before.certificate.index) return;
    findings_.Violated("eventual", {at, node->second}, [&] {
      return Called(history_, op) + " is at index " + std::to_string(has) +
             ", but the node had gone on to " + std::to_string(before.certificate.index) + " in " +
             Called(history_, before) + ", " + Duration(op.invoked - before.returned) +
             " before: it went back";
    });
  }

  Staleness Measured(Level level) const {
    const auto& bounds = StalenessBounds();
    const auto bucket = [&](std::uint64_t us) {
      return static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), us) -
                                      bounds.begin());
    };
    const auto reads = index_.reads(level);
    Staleness result;
    result.promised.resize(bounds.size() + 1);
    result.measured.resize(bounds.size() + 1);
    double ratios = 0;
    std::uint64_t compared = 0;
    const std::size_t stride = reads.size() / kSampled + 1;
    for (std::size_t i = 0; i < reads.size(); ++i) {
      const Operation& op = Op(reads[i]);
      const FirstSight sight = index_.SightAbove(op.certificate.index);
      const std::uint64_t measured =
          sight.at < op.invoked ? static_cast<std::uint64_t>(op.invoked - sight.at) : 0;
      std::uint64_t promised = op.certificate.age_us;
      if (promised == kAbsent) promised = level == Level::kStrong ? 0 : op.max_age_us;
      ++result.reads;
      ++result.measured[bucket(measured)];
      if (promised == kAbsent) {
        ++result.unpromised;
        continue;
      }
      ++result.promised[bucket(promised)];
      if (promised > 0) {
        ratios += static_cast<double>(measured) / static_cast<double>(promised);
        ++compared;
      }
      if (i % stride == 0) {
        result.promised_us.push_back(promised);
        result.measured_us.push_back(measured);
      }
    }
    if (compared > 0) result.tightness = ratios / static_cast<double>(compared);
    return result;
  }

  const Index& index_;
  const History& history_;
  Findings& findings_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Time> first_sent_;  // filled when first needed
};

}  // namespace

void CheckFreshness(const Index& index, Findings& findings, Report& report) {
  Freshness freshness(index, findings);
  freshness.Strong();
  freshness.Bounded();
  freshness.SessionsAndNodes();
  freshness.Measure(report);
}

}  // namespace quorate::check
