#include "storage/execute.h"

namespace quorate::storage {
namespace {

Result<Outcome> Delete(const wire::Delete& command, ChangeSet& changes) {
  const Result<std::optional<Record>> present = changes.Get(command.key());
  if (!present) return Forward(present);
  if (!*present) return Outcome::kNotFound;
  changes.Delete(command.key());
  return Outcome::kDone;
}

bool Holds(const wire::CompareAndSet& command, const std::optional<Record>& present) {
  if (command.expect_case() == wire::CompareAndSet::kModIndex) {
    return (present ? present->mod_index : 0) == command.mod_index();
  }
  return present && present->value == command.expected_value();
}

Status CompareAndSet(const wire::CompareAndSet& command, ChangeSet& changes, Applied& applied) {
  if (command.expect_case() == wire::CompareAndSet::EXPECT_NOT_SET) {
    applied.outcome = Outcome::kRejected;
    return {};
  }
  const Result<std::optional<Record>> present = changes.Get(command.key());
  if (!present) return Forward(present);
  if (Holds(command, *present)) {
    changes.Put(command.key(), applied.index, command.value());
    return {};
  }
  applied.outcome = Outcome::kCompareFailed;
  applied.current_mod_index = *present ? (*present)->mod_index : 0;
  return {};
}

}  // namespace

Result<Applied> Execute(const raft::Entry& entry, wire::Command& scratch, ChangeSet& changes) {
  Applied applied{entry.index, entry.term, Outcome::kDone, 0};
  if (entry.kind != raft::EntryKind::kCommand) return applied;
  const std::string_view data = entry.data.view();
  if (!scratch.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
    applied.outcome = Outcome::kRejected;
    return applied;
  }
  switch (scratch.operation_case()) {
    case wire::Command::kPut:
      changes.Put(scratch.put().key(), entry.index, scratch.put().value());
      break;
    case wire::Command::kDelete: {
      const Result<Outcome> outcome = Delete(scratch.delete_(), changes);
      if (!outcome) return Forward(outcome);
      applied.outcome = *outcome;
      break;
    }
    case wire::Command::kCompareAndSet:
      QUORATE_RETURN_IF_ERROR(CompareAndSet(scratch.compare_and_set(), changes, applied));
      break;
    default:
      applied.outcome = Outcome::kRejected;
      break;
  }
  return applied;
}

}  // namespace quorate::storage
