// Writes: validated once, then carried as the client encoded them.
#include <utility>

#include "src/command_check.h"
#include "src/service.h"
#include "storage/execute.h"

namespace quorate::server {
namespace {

Operation OperationOf(const wire::Command& command) {
  switch (command.operation_case()) {
    case wire::Command::kDelete:
      return Operation::kDelete;
    case wire::Command::kCompareAndSet:
      return Operation::kCompareAndSet;
    case wire::Command::kIncrement:
      return Operation::kIncrement;
    case wire::Command::kAppend:
      return Operation::kAppend;
    case wire::Command::kTransaction:
      return Operation::kTransaction;
    case wire::Command::kDeleteRange:
      return Operation::kDeleteRange;
    case wire::Command::kOpenSession:
      return Operation::kOpenSession;
    case wire::Command::kKeepSession:
      return Operation::kKeepSession;
    case wire::Command::kCloseSession:
      return Operation::kCloseSession;
    default:
      return Operation::kPut;
  }
}

}  // namespace

void Service::Write(ClientSession& session, const wire::Frame& frame, Request request) {
  request.level = Level::kCommit;
  if (!header_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (!command_.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) {
    return Refuse(request, wire::INVALID, "the body is not an encoded command");
  }
  request.operation = OperationOf(command_);
  request.seq = command_.session().seq();
  if (auto refusal = CheckCommand(command_, frame.body.size())) {
    return Refuse(request, refusal->code, std::move(refusal->message), refusal->have,
                  refusal->want);
  }
  if (command_.has_open_session() && TooManySessions(request)) return;
  if (!TakeUp(session, header_, request)) return;
  const bool stamped = command_.has_session() || storage::IsSessionOperation(command_);
  Ticket ticket = 0;
  Wait(session, std::move(request), ticket);
  in_.replica.Write(frame.body, stamped ? Replica::Stamping::kStamped : Replica::Stamping::kPlain,
                    ticket);
}

// The state machine has the last word; this spares the log those that it would refuse.
bool Service::TooManySessions(const Request& request) {
  const storage::SessionStats stats = in_.replica.state().sessions();
  if (stats.open + stats.ending < wire::kMaxSessions) return false;
  RefuseSessions(request, stats.open + stats.ending);
  return true;
}

void Service::RefuseSessions(const Request& request, std::uint64_t open) {
  Refuse(request, wire::TOO_MANY,
         fmt::format("{} sessions are open in this cluster, the limit is {}; close some, or wait "
                     "until others end",
                     open, wire::kMaxSessions),
         open, wire::kMaxSessions);
}

void Service::RefuseDiskFull(const Request& request) {
  const DiskUse& use = in_.replica.disk_use();
  const std::string why =
      use.full.empty() ? "the disks of so many nodes are full that no quorum has room" : use.full;
  Refuse(request, wire::DISK_FULL,
         fmt::format("no room for writes, as node {} sees it ({} bytes are free there): {}; free "
                     "disk space or add some (`quorate status` shows where): writes then go on by "
                     "themselves",
                     identity_.node_id, use.free_bytes, why),
         use.free_bytes);
}

void Service::OnWrite(std::uint64_t ticket, const WriteResult& result) {
  Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;  // its deadline has passed
  const Request& request = pending->request;
  switch (result.status) {
    case WriteStatus::kNotLeader:
      RefuseNoLeader(request, "this node does not lead");
      break;
    case WriteStatus::kOverloaded:
      Refuse(request, wire::OVERLOADED,
             "writes arrive faster than a majority of disks takes them; the backlog is full: back "
             "off and retry");
      break;
    case WriteStatus::kDiskFull:
      RefuseDiskFull(request);
      break;
    case WriteStatus::kSuperseded:
      Refuse(request, wire::SUPERSEDED,
             "leadership changed, and another entry took this write's place: it was not executed");
      break;
    case WriteStatus::kShuttingDown:
      Refuse(request, wire::SHUTTING_DOWN, "this node is shutting down; use another");
      break;
    case WriteStatus::kApplied:
      pending->request.repeated = result.applied.repeated;
      AnswerApplied(request, result.applied);
      break;
  }
  Release(ticket);
}

void Service::AnswerApplied(const Request& request, const storage::Applied& applied) {
  const bool done =
      applied.outcome == storage::Outcome::kDone || applied.outcome == storage::Outcome::kNotFound;
  if (applied.repeated) ++in_.metrics.repeated_writes;
  if (!done) return RefuseApplied(request, applied);
  if (LeavesAnswersUnread(request, applied)) return;
  reply_.Clear();
  reply_.set_mod_index(applied.executed.index);
  reply_.set_found(applied.found);
  reply_.set_repeated(applied.repeated);
  wire::Certificate& certificate = *reply_.mutable_certificate();
  certificate.set_node_id(identity_.node_id);
  certificate.set_node_term(in_.replica.core().term());
  certificate.set_applied_index(applied.executed.index);
  certificate.set_entry_term(applied.executed.term);
  certificate.set_basis(wire::COMMIT);
  certificate.set_incarnation(in_.replica.core().configuration().incarnation);
  Answer(request, applied.result);
}

// A read can be refused when its turn comes; a write has happened, and to deny it would be a lie.
// So who lets long answers pile up is cut off, and knows that the outcome is open.
bool Service::LeavesAnswersUnread(const Request& request, const storage::Applied& applied) {
  if (applied.result.empty()) return false;
  auto* session = sessions_.Find(request.session);
  if (session == nullptr) return false;
  const std::size_t queued = (*session)->connection->queued_bytes();
  if (queued <= limits_.max_output_bytes) return false;
  wire::Error error;
  error.set_code(wire::OVERLOADED);
  error.set_message(
      fmt::format("{} bytes of answers wait for this client to read them; the limit is {}: what "
                  "was asked on this connection and is not answered may have been done",
                  queued, limits_.max_output_bytes));
  error.set_have(queued);
  error.set_want(limits_.max_output_bytes);
  CloseWith(**session, error);
  return true;
}

void Service::RefuseApplied(const Request& request, const storage::Applied& applied) {
  using storage::Outcome;
  const std::uint64_t have = applied.have;
  switch (applied.outcome) {
    case Outcome::kCompareFailed:
      return Refuse(request, wire::COMPARE_FAILED,
                    have == 0 ? "the key is absent"
                              : fmt::format("the key was last written at index {}", have),
                    have);
    case Outcome::kNotANumber:
      return Refuse(request, wire::NOT_A_NUMBER,
                    fmt::format("the value, written at index {}, is not a decimal number of 64 "
                                "bits: nothing was changed",
                                have),
                    have);
    case Outcome::kOutOfRange:
      return Refuse(request, wire::OUT_OF_RANGE,
                    "the sum does not fit into 64 bits with sign: nothing was changed", have);
    case Outcome::kValueTooLarge:
      return Refuse(request, wire::VALUE_TOO_LARGE,
                    fmt::format("the value would have {} bytes; the limit is {}: nothing was "
                                "changed",
                                have, wire::kMaxValueBytes),
                    have, wire::kMaxValueBytes);
    case Outcome::kResultTooLarge:
      return Refuse(request, wire::TOO_LARGE,
                    fmt::format("the transaction's answer would have {} bytes of values; the limit "
                                "is {}: nothing was changed; read less in it",
                                have, storage::kMaxTransactionResultBytes),
                    have, storage::kMaxTransactionResultBytes);
    case Outcome::kSessionExpired:
      return Refuse(request, wire::SESSION_EXPIRED,
                    "the session has expired or was closed, or never existed: this attempt was not "
                    "executed, an earlier one may have been; open another");
    case Outcome::kSessionSeqGone:
      return Refuse(request, wire::SESSION_SEQ_GONE,
                    fmt::format("the client has said that it wants no answers below {} any more: "
                                "this attempt was not executed",
                                have),
                    have);
    case Outcome::kOutOfOrder:
      return Refuse(request, wire::OUT_OF_ORDER,
                    fmt::format("the last executed command of the session is {}, and this one is "
                                "not its successor: it was not executed",
                                have),
                    have, request.seq);
    case Outcome::kTooManyPending:
      return Refuse(request, wire::OVERLOADED,
                    fmt::format("answers of sessions are kept until clients acknowledge them "
                                "(acked_below), and there are too many: {}; this attempt was not "
                                "executed",
                                have),
                    have);
    case Outcome::kTooManySessions:
      return RefuseSessions(request, have);
    case Outcome::kDone:
    case Outcome::kNotFound:
    case Outcome::kRejected:
      break;
  }
  Refuse(request, wire::UNSUPPORTED, "the state machine does not know this command");
}

}  // namespace quorate::server
