#include "storage/execute.h"

#include <utility>

#include "client/proto/frame.h"
#include "storage/execute_transaction.h"
#include "storage/execute_value.h"

namespace quorate::storage {

bool IsSessionOperation(const wire::Command& command) {
  switch (command.operation_case()) {
    case wire::Command::kOpenSession:
    case wire::Command::kKeepSession:
    case wire::Command::kCloseSession:
    case wire::Command::kEndSessions:
      return true;
    default:
      return false;
  }
}

namespace {

Result<Part> Execute(const wire::DeleteRange& command, const Change& change,
                     wire::WriteResult& result) {
  if (command.max_keys() == 0 || command.max_keys() > wire::kMaxDeleteRangeKeys) {
    return Part{.outcome = Outcome::kRejected};
  }
  Result<std::vector<std::string>> keys =
      change.keys.Keys(command.first(), command.last(), command.max_keys() + std::size_t{1});
  if (!keys) return Forward(keys);
  if (keys->size() > command.max_keys()) {
    result.set_resume(std::move(keys->back()));
    keys->pop_back();
  }
  for (const std::string& key : *keys) change.keys.Delete(key);
  result.set_deleted(keys->size());
  return Part{};
}

// Moves what there is to say into `result`.
Result<Part> Execute(const wire::Command& command, const Change& change,
                     wire::WriteResult& result) {
  Result<Part> part;
  switch (command.operation_case()) {
    case wire::Command::kPut:
      part = Execute(command.put(), change);
      break;
    case wire::Command::kDelete:
      part = Execute(command.delete_(), change);
      break;
    case wire::Command::kCompareAndSet:
      part = Execute(command.compare_and_set(), change);
      break;
    case wire::Command::kIncrement:
      part = Execute(command.increment(), change);
      break;
    case wire::Command::kAppend:
      part = Execute(command.append(), change);
      break;
    case wire::Command::kTransaction:
      return Execute(command.transaction(), change, result);
    case wire::Command::kDeleteRange:
      return Execute(command.delete_range(), change, result);
    default:
      return Part{.outcome = Outcome::kRejected};
  }
  if (!part) return part;
  result.set_value(std::move(part->value));
  result.set_value_mod_index(part->mod_index);
  return part;
}

Status ExecuteWrite(const wire::Command& command, KeySpace& keys, Applied& applied) {
  const Change change{keys, applied.index, command.session().id()};
  // Most writes are these, and have nothing to say.
  const bool plain = command.operation_case() == wire::Command::kPut &&
                     !command.put().return_previous() && !command.put().attach();
  if (plain) {
    keys.Put(command.put().key(), applied.index, /*owner=*/0, command.put().value());
    applied.found = true;
    return {};
  }
  wire::WriteResult result;
  const Result<Part> part = Execute(command, change, result);
  if (!part) return Forward(part);
  applied.outcome = part->outcome;
  applied.found = part->found;
  applied.have = part->have;
  if (part->outcome == Outcome::kDone) applied.result = result.SerializeAsString();
  return {};
}

}  // namespace

Result<Applied> Execute(const raft::Entry& entry, wire::Command& scratch, KeySpace& keys,
                        Sessions& sessions) {
  Applied applied;
  applied.index = entry.index;
  applied.term = entry.term;
  applied.executed = {entry.index, entry.term};
  if (entry.kind != raft::EntryKind::kCommand) return applied;
  const std::string_view data = entry.data.view();
  if (!scratch.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    applied.outcome = Outcome::kRejected;
    return applied;
  }
  if (scratch.stamp_us() != 0) sessions.AdvanceClock(scratch.stamp_us());
  if (!scratch.has_session()) {
    QUORATE_RETURN_IF_ERROR(IsSessionOperation(scratch) ? sessions.Execute(scratch, keys, applied)
                                                        : ExecuteWrite(scratch, keys, applied));
    return applied;
  }
  if (IsSessionOperation(scratch)) {
    applied.outcome = Outcome::kRejected;
    return applied;
  }
  if (!sessions.Admit(scratch.session(), keys, applied)) return applied;
  QUORATE_RETURN_IF_ERROR(ExecuteWrite(scratch, keys, applied));
  sessions.Keep(scratch.session(), keys, applied);
  return applied;
}

}  // namespace quorate::storage
