#include "src/command_check.h"

#include <spdlog/fmt/fmt.h>

#include <string_view>
#include <utility>

#include "client/proto/frame.h"
#include "storage/execute.h"

namespace quorate::server {
namespace {

using Refusal = std::optional<CommandRefusal>;

Refusal Invalid(std::string message) {
  return CommandRefusal{wire::INVALID, std::move(message)};
}

Refusal CheckSize(std::string_view what, std::size_t bytes, std::size_t limit) {
  if (bytes <= limit) return std::nullopt;
  return CommandRefusal{wire::TOO_LARGE,
                        fmt::format("the {} has {} bytes; the limit is {}", what, bytes, limit),
                        bytes, limit};
}

Refusal CheckKey(std::string_view key) {
  if (key.empty()) {
    return Invalid(fmt::format("the key is empty; a key has 1 to {} bytes", wire::kMaxKeyBytes));
  }
  return CheckSize("key", key.size(), wire::kMaxKeyBytes);
}

Refusal CheckKeyAndValue(std::string_view key, std::string_view value) {
  if (auto refusal = CheckKey(key)) return refusal;
  return CheckSize("value", value.size(), wire::kMaxValueBytes);
}

Refusal CheckAttach(bool attach, bool has_session) {
  if (!attach || has_session) return std::nullopt;
  return Invalid("attach needs a session: the key goes when the command's session ends");
}

Refusal Check(const wire::Put& put, bool has_session) {
  if (auto refusal = CheckKeyAndValue(put.key(), put.value())) return refusal;
  return CheckAttach(put.attach(), has_session);
}

Refusal Check(const wire::CompareAndSet& set, bool has_session) {
  if (auto refusal = CheckKeyAndValue(set.key(), set.value())) return refusal;
  if (set.expect_case() == wire::CompareAndSet::EXPECT_NOT_SET) {
    return Invalid("a compare-and-set expects a mod_index or a value; neither is given");
  }
  if (auto refusal =
          CheckSize("expected value", set.expected_value().size(), wire::kMaxValueBytes)) {
    return refusal;
  }
  return CheckAttach(set.attach(), has_session);
}

Refusal Check(const wire::Compare& compare) {
  if (auto refusal = CheckKey(compare.key())) return refusal;
  if (!wire::Compare::Relation_IsValid(compare.relation())) {
    return Invalid(fmt::format("relation {} is none that this node knows",
                               static_cast<int>(compare.relation())));
  }
  if (compare.target_case() == wire::Compare::TARGET_NOT_SET) {
    return Invalid("a comparison is with a mod_index or a value; neither is given");
  }
  return CheckSize("value to compare with", compare.value().size(), wire::kMaxValueBytes);
}

Refusal Check(const wire::Operation& operation, bool has_session) {
  switch (operation.operation_case()) {
    case wire::Operation::kPut:
      return Check(operation.put(), has_session);
    case wire::Operation::kDelete:
      return CheckKey(operation.delete_().key());
    case wire::Operation::kIncrement:
      return CheckKey(operation.increment().key());
    case wire::Operation::kAppend:
      return CheckKeyAndValue(operation.append().key(), operation.append().value());
    case wire::Operation::kGet:
      return CheckKey(operation.get());
    case wire::Operation::OPERATION_NOT_SET:
      break;
  }
  return CommandRefusal{wire::UNSUPPORTED,
                        "it is empty, or of a kind that this version does not know"};
}

// Says which part of the transaction is meant.
Refusal OfPart(Refusal refusal, const char* list, int number) {
  if (refusal) refusal->message = fmt::format("{}[{}]: {}", list, number, refusal->message);
  return refusal;
}

Refusal Check(const wire::Transaction& transaction, bool has_session, std::size_t encoded_bytes) {
  const auto parts = static_cast<std::size_t>(transaction.compare_size()) +
                     static_cast<std::size_t>(transaction.then_size()) +
                     static_cast<std::size_t>(transaction.otherwise_size());
  if (parts == 0) return Invalid("the transaction is empty; it has at least one part");
  if (parts > wire::kMaxTransactionParts) {
    return CommandRefusal{
        wire::TOO_LARGE,
        fmt::format("the transaction has {} comparisons and operations; the limit is {}", parts,
                    wire::kMaxTransactionParts),
        parts, wire::kMaxTransactionParts};
  }
  if (auto refusal = CheckSize("transaction", encoded_bytes, wire::kMaxTransactionBytes)) {
    return refusal;
  }
  for (int i = 0; i < transaction.compare_size(); ++i) {
    if (auto refusal = OfPart(Check(transaction.compare(i)), "compare", i)) return refusal;
  }
  for (int i = 0; i < transaction.then_size(); ++i) {
    if (auto refusal = OfPart(Check(transaction.then(i), has_session), "then", i)) return refusal;
  }
  for (int i = 0; i < transaction.otherwise_size(); ++i) {
    if (auto refusal = OfPart(Check(transaction.otherwise(i), has_session), "otherwise", i)) {
      return refusal;
    }
  }
  return std::nullopt;
}

Refusal Check(const wire::DeleteRange& range) {
  if (range.max_keys() == 0 || range.max_keys() > wire::kMaxDeleteRangeKeys) {
    return Invalid(fmt::format("max_keys is {}; one step of a range delete takes 1 to {} keys",
                               range.max_keys(), wire::kMaxDeleteRangeKeys));
  }
  if (auto refusal = CheckSize("first key", range.first().size(), wire::kMaxKeyBytes)) {
    return refusal;
  }
  if (auto refusal = CheckSize("last key", range.last().size(), wire::kMaxKeyBytes)) {
    return refusal;
  }
  if (!range.last().empty() && range.first() >= range.last()) {
    return Invalid("the range is empty: `first` is not before `last`");
  }
  return std::nullopt;
}

Refusal Check(const wire::OpenSession& open) {
  if (open.ttl_us() >= wire::kMinSessionTtlUs && open.ttl_us() <= wire::kMaxSessionTtlUs) {
    return std::nullopt;
  }
  return Invalid(fmt::format("ttl_us is {}; a session lives {} to {} us without being kept",
                             open.ttl_us(), wire::kMinSessionTtlUs, wire::kMaxSessionTtlUs));
}

Refusal CheckSessionId(std::uint64_t id) {
  return id == 0 ? Invalid("the session's id is 0; it is the mod_index that opening it answered")
                 : std::nullopt;
}

Refusal Check(const wire::SessionRef& session) {
  if (auto refusal = CheckSessionId(session.id())) return refusal;
  if (session.seq() == 0)
    return Invalid("seq is 0; the numbers of a session's commands begin at 1");
  if (session.acked_below() > session.seq()) {
    return Invalid(fmt::format("acked_below {} is above seq {}: the answer is not wanted any more",
                               session.acked_below(), session.seq()));
  }
  return std::nullopt;
}

Refusal CheckOperation(const wire::Command& command, std::size_t encoded_bytes) {
  const bool has_session = command.has_session();
  switch (command.operation_case()) {
    case wire::Command::kPut:
      return Check(command.put(), has_session);
    case wire::Command::kDelete:
      return CheckKey(command.delete_().key());
    case wire::Command::kCompareAndSet:
      return Check(command.compare_and_set(), has_session);
    case wire::Command::kIncrement:
      return CheckKey(command.increment().key());
    case wire::Command::kAppend:
      return CheckKeyAndValue(command.append().key(), command.append().value());
    case wire::Command::kTransaction:
      return Check(command.transaction(), has_session, encoded_bytes);
    case wire::Command::kDeleteRange:
      return Check(command.delete_range());
    case wire::Command::kOpenSession:
      return Check(command.open_session());
    case wire::Command::kKeepSession:
      return CheckSessionId(command.keep_session().id());
    case wire::Command::kCloseSession:
      return CheckSessionId(command.close_session().id());
    case wire::Command::kEndSessions:
      return Invalid("only the leader ends sessions whose time is up; close your own");
    case wire::Command::OPERATION_NOT_SET:
      break;
  }
  return CommandRefusal{wire::UNSUPPORTED,
                        "the command is empty, or of a kind that this version does not know"};
}

}  // namespace

std::optional<CommandRefusal> CheckCommand(const wire::Command& command,
                                           std::size_t encoded_bytes) {
  if (auto refusal = CheckOperation(command, encoded_bytes)) return refusal;
  if (command.stamp_us() != 0) return Invalid("stamp_us is set by the leader, not by clients");
  if (!command.has_session()) return std::nullopt;
  if (storage::IsSessionOperation(command)) {
    return Invalid(
        "opening, keeping and closing sessions are no commands of a session: leave out "
        "`session`");
  }
  return Check(command.session());
}

}  // namespace quorate::server
