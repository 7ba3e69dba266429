// Writes: validated once, then carried as the client encoded them.
#include <utility>

#include "src/service.h"

namespace quorate::server {

void Service::Write(ClientSession& session, const wire::Frame& frame, Request request) {
  request.level = Level::kCommit;
  if (!header_.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (!command_.ParseFromArray(frame.body.data(), static_cast<int>(frame.body.size()))) {
    return Refuse(request, wire::INVALID, "the body is not an encoded command");
  }
  switch (command_.operation_case()) {
    case wire::Command::kPut:
      request.operation = Operation::kPut;
      break;
    case wire::Command::kDelete:
      request.operation = Operation::kDelete;
      break;
    case wire::Command::kCompareAndSet:
      request.operation = Operation::kCompareAndSet;
      break;
    default:
      return Refuse(request, wire::UNSUPPORTED,
                    "the command is empty, or of a kind that this version does not know");
  }
  if (command_.has_session() || command_.stamp_us() != 0) {
    return Refuse(request, wire::UNSUPPORTED, "this version executes no commands of sessions");
  }
  if (!ValidCommand(request) || !TakeUp(session, header_, request)) return;
  Ticket ticket = 0;
  Wait(session, std::move(request), ticket);
  in_.replica.Write(Bytes::Copy(frame.body), ticket);
}

bool Service::ValidCommand(const Request& request) {
  static const std::string kNone;
  const std::string* key = &kNone;
  const std::string* value = &kNone;
  const std::string* expected = &kNone;
  switch (command_.operation_case()) {
    case wire::Command::kPut:
      key = &command_.put().key();
      value = &command_.put().value();
      break;
    case wire::Command::kDelete:
      key = &command_.delete_().key();
      break;
    case wire::Command::kCompareAndSet:
      key = &command_.compare_and_set().key();
      value = &command_.compare_and_set().value();
      if (command_.compare_and_set().has_expected_value()) {
        expected = &command_.compare_and_set().expected_value();
      }
      break;
    default:
      break;
  }
  if (key->empty()) {
    Refuse(request, wire::INVALID, "the key is empty; a key has 1 to 4096 bytes");
    return false;
  }
  const auto check = [&](const char* what, std::size_t bytes, std::size_t limit) {
    if (bytes <= limit) return true;
    Refuse(request, wire::TOO_LARGE,
           fmt::format("the {} has {} bytes; the limit is {}", what, bytes, limit), bytes, limit);
    return false;
  };
  return check("key", key->size(), wire::kMaxKeyBytes) &&
         check("value", value->size(), wire::kMaxValueBytes) &&
         check("expected value", expected->size(), wire::kMaxValueBytes);
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
  const storage::Applied& applied = result.applied;
  switch (result.status) {
    case WriteStatus::kNotLeader:
      RefuseNoLeader(request, "this node does not lead");
      return Release(ticket);
    case WriteStatus::kOverloaded:
      Refuse(request, wire::OVERLOADED,
             "writes arrive faster than a majority of disks takes them; the backlog is full: back "
             "off and retry");
      return Release(ticket);
    case WriteStatus::kDiskFull:
      RefuseDiskFull(request);
      return Release(ticket);
    case WriteStatus::kSuperseded:
      Refuse(request, wire::SUPERSEDED,
             "leadership changed, and another entry took this write's place: it was not executed");
      return Release(ticket);
    case WriteStatus::kShuttingDown:
      Refuse(request, wire::SHUTTING_DOWN, "this node is shutting down; use another");
      return Release(ticket);
    case WriteStatus::kApplied:
      break;
  }
  if (applied.outcome == storage::Outcome::kCompareFailed) {
    Refuse(request, wire::COMPARE_FAILED,
           applied.current_mod_index == 0
               ? "the key is absent"
               : fmt::format("the key was last written at index {}", applied.current_mod_index),
           applied.current_mod_index);
    return Release(ticket);
  }
  if (applied.outcome == storage::Outcome::kRejected) {
    Refuse(request, wire::UNSUPPORTED, "the state machine does not know this command");
    return Release(ticket);
  }
  reply_.Clear();
  reply_.set_mod_index(applied.index);
  reply_.set_found(applied.outcome != storage::Outcome::kNotFound);
  wire::Certificate& certificate = *reply_.mutable_certificate();
  certificate.set_node_id(identity_.node_id);
  certificate.set_node_term(in_.replica.core().term());
  certificate.set_applied_index(applied.index);
  certificate.set_entry_term(applied.term);
  certificate.set_basis(wire::COMMIT);
  certificate.set_incarnation(in_.replica.core().configuration().incarnation);
  Answer(request, {});
  Release(ticket);
}

}  // namespace quorate::server
