// Time: when a call is looked at again, and what happens when its time is up.
#include <utility>

#include "client/core.h"
#include "client/errors.h"

namespace quorate::internal {

using std::chrono::milliseconds;

namespace {

std::string TimeOfRung(const Call& call) {
  return std::to_string(call.ladder->rungs[call.ladder->at].within.count()) + " ms";
}

}  // namespace

void Core::ArmTimer() {
  if (calls_.empty() || calls_.top().wake >= timer_at_) return;
  timer_at_ = calls_.top().wake;
  timer_.expires_at(timer_at_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;  // armed anew for an earlier time
    if (const auto self = weak.lock()) self->OnTimer();
  });
}

void Core::OnTimer() {
  timer_at_ = TimePoint::max();
  const TimePoint now = Clock::now();
  while (!calls_.empty() && calls_.top().wake <= now) Wake(calls_.top(), now);
  ArmTimer();
}

// Every way through either ends the call or moves its next wake on.
void Core::Wake(Call& call, TimePoint now) {
  if (call.until <= now) return TimeIsUp(call, now);
  calls_.SetWake(call, call.until);
  if (call.queued) return;
  if (call.connection == nullptr && call.dialling == nullptr) return Route(call, now);
  if (call.connection == nullptr || call.connection->last_received() >= call.sent_at) return;
  // A write is sent once: it may be executed even if nobody waits for it any more.
  if (call.is_write() && !call.repeatable()) return;
  LeaveSilentNode(call, now);
}

void Core::LeaveSilentNode(Call& call, TimePoint now) {
  SuspectSilent(call, now);
  // Where each node is asked once, the last of them has all the time that is left.
  if (call.asks_once() &&
      nodes_.Choose(call.wants_leader(), call.last_node, now, call.asked) == nullptr) {
    return;
  }
  call.uncertain = call.uncertain || call.is_write();
  Detach(call);
  Route(call, now);
}

void Core::SuspectSilent(const Call& call, TimePoint now) {
  Node* node = nodes_.FindConnection(*call.connection);
  if (node == nullptr) return;
  nodes_.Suspect(*node, now + kSuspicion);
  node->trouble = {.code = ErrorCode::kDeadline, .text = "does not answer"};
}

void Core::TimeIsUp(Call& call, TimePoint now) {
  if (call.connection != nullptr && call.connection->last_received() < call.sent_at &&
      now - call.sent_at >= kLeastSilence) {
    SuspectSilent(call, now);
  }
  if (call.ladder == nullptr || call.ladder->last() || call.deadline <= now) {
    return Fail(call, ExpiredError(call));
  }
  Error error = call.refusal ? *call.refusal
                             : MakeError(ErrorCode::kDeadline, ErrorClass::kNotExecuted,
                                         "no answer within " + TimeOfRung(call));
  GiveUp(call, std::move(error), now);
}

Error Core::ExpiredError(const Call& call) const {
  const auto total = call.timeout.count() > 0 ? call.timeout : options_.timeout;
  const std::string passed =
      call.until < call.deadline
          ? "the last step's " + TimeOfRung(call) + " passed"
          : "the deadline of " + std::to_string(total.count()) + " ms passed";
  // Not only if it may have been sent: a frame that still waits for the socket leaves once the node
  // reads again, and the node counts the deadline from when it receives it.
  if (call.is_write() && call.connection != nullptr) {
    const Node* node = nodes_.FindConnection(*call.connection);
    return MakeError(ErrorCode::kDeadline, ErrorClass::kUnknown,
                     passed + " before " + (node != nullptr ? Name(*node) : "the node") +
                         " answered: the write may have been applied, or may still be");
  }
  if (nodes_.AllRefuse()) {
    return MakeError(ErrorCode::kCannotConnect, ErrorClass::kNotExecuted,
                     "cannot connect: " + nodes_.Troubles() + "; " + passed);
  }
  // A read that was refused, rather than not answered, says why with the numbers of the refusal; so
  // does a write that no disk has room for: it was certainly not executed, and waiting is no help.
  const bool no_room = call.refusal && call.refusal->code == ErrorCode::kDiskFull;
  if (call.refusal && (!call.is_write() || no_room)) {
    Error error = *call.refusal;
    error.detail += "; " + passed + " while trying again: " + nodes_.Troubles();
    return error;
  }
  if (call.queued) {
    return MakeError(ErrorCode::kDeadline, ErrorClass::kNotExecuted,
                     passed + " while it waited for earlier writes of its session");
  }
  std::string why = call.connection != nullptr ? "no answer to the last request" : "not executed";
  if (call.wants_leader() && nodes_.leader() == nullptr) why = "no leader";
  const std::string troubles = nodes_.Troubles();
  if (!troubles.empty()) why += ": " + troubles;
  return MakeError(ErrorCode::kDeadline, ErrorClass::kNotExecuted, passed + "; " + why);
}

}  // namespace quorate::internal
