#include "storage/execute_value.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "client/proto/frame.h"
#include "storage/sessions.h"

namespace quorate::storage {
namespace {

using Present = Result<std::optional<Record>>;

// Where the record was read, the row that attached it is not left behind.
void Detach(std::string_view key, const std::optional<Record>& present, const Change& change) {
  if (present && present->owner != 0) {
    change.keys.DeleteRow(Sessions::AttachedRow(present->owner, key));
  }
}

void Write(std::string_view key, std::string_view value, bool attach, const Change& change) {
  const std::uint64_t owner = attach ? change.session : 0;
  change.keys.Put(key, change.index, owner, value);
  if (owner != 0) change.keys.PutRow(Sessions::AttachedRow(owner, key), {});
}

Part Refused(Outcome outcome, std::uint64_t have = 0) {
  return {.outcome = outcome, .have = have};
}

void TakePrevious(std::optional<Record>& present, Part& part) {
  if (!present) return;
  part.mod_index = present->mod_index;
  part.value = std::move(present->value);
}

bool Holds(const wire::CompareAndSet& command, const std::optional<Record>& present) {
  if (command.expect_case() == wire::CompareAndSet::kModIndex) {
    return (present ? present->mod_index : 0) == command.mod_index();
  }
  return present && present->value == command.expected_value();
}

std::optional<std::int64_t> ToNumber(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Result<Part> Execute(const wire::Put& command, const Change& change) {
  if (command.attach() && change.session == 0) return Refused(Outcome::kRejected);
  Part part;
  if (command.return_previous()) {
    Present present = change.keys.Get(command.key());
    if (!present) return Forward(present);
    Detach(command.key(), *present, change);
    part.found = present->has_value();
    TakePrevious(*present, part);
  }
  Write(command.key(), command.value(), command.attach(), change);
  return part;
}

Result<Part> Execute(const wire::Delete& command, const Change& change) {
  Present present = change.keys.Get(command.key());
  if (!present) return Forward(present);
  if (!*present) return Refused(Outcome::kNotFound);
  Detach(command.key(), *present, change);
  change.keys.Delete(command.key());
  Part part{.found = true};
  if (command.return_previous()) TakePrevious(*present, part);
  return part;
}

Result<Part> Execute(const wire::CompareAndSet& command, const Change& change) {
  const bool unfit = command.attach() && change.session == 0;
  if (unfit || command.expect_case() == wire::CompareAndSet::EXPECT_NOT_SET) {
    return Refused(Outcome::kRejected);
  }
  const Present present = change.keys.Get(command.key());
  if (!present) return Forward(present);
  if (!Holds(command, *present)) {
    Part part = Refused(Outcome::kCompareFailed, *present ? (*present)->mod_index : 0);
    part.found = present->has_value();
    return part;
  }
  Detach(command.key(), *present, change);
  Write(command.key(), command.value(), command.attach(), change);
  return Part{.found = present->has_value()};
}

Result<Part> Execute(const wire::Increment& command, const Change& change) {
  const Present present = change.keys.Get(command.key());
  if (!present) return Forward(present);
  const std::optional<std::int64_t> number =
      *present ? ToNumber((*present)->value) : std::optional<std::int64_t>(0);
  if (!number) return Refused(Outcome::kNotANumber, (*present)->mod_index);
  std::int64_t sum = 0;
  if (__builtin_add_overflow(*number, command.by(), &sum)) {
    return Refused(Outcome::kOutOfRange, (*present)->mod_index);
  }
  Detach(command.key(), *present, change);
  Part part{.found = present->has_value(), .value = std::to_string(sum)};
  Write(command.key(), part.value, /*attach=*/false, change);
  return part;
}

// The limit decides what a command does, so it is fixed for ever: every node must decide alike.
Result<Part> Execute(const wire::Append& command, const Change& change) {
  Present present = change.keys.Get(command.key());
  if (!present) return Forward(present);
  const bool found = present->has_value();
  std::string value = found ? std::move((*present)->value) : std::string();
  const std::size_t bytes = value.size() + command.value().size();
  if (bytes > wire::kMaxValueBytes) return Refused(Outcome::kValueTooLarge, bytes);
  Detach(command.key(), *present, change);
  value += command.value();
  Write(command.key(), value, /*attach=*/false, change);
  return Part{.found = found};
}

}  // namespace quorate::storage
