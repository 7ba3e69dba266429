#include "client/commands.h"

#include <utility>

#include "client/proto/wire.pb.h"

namespace quorate::internal {
namespace {

// ---- Protobuf's encoding of the few fields that commands have ----

constexpr unsigned kVarint = 0;
constexpr unsigned kBytes = 2;

std::size_t VarintBytes(std::uint64_t value) {
  std::size_t bytes = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++bytes;
  }
  return bytes;
}

void AppendVarint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// All field numbers here are below 16: a tag is one byte.
void AppendTag(std::string& out, unsigned field, unsigned type) {
  out.push_back(static_cast<char>((field << 3) | type));
}

std::size_t BytesFieldBytes(std::string_view bytes) {
  return 1 + VarintBytes(bytes.size()) + bytes.size();
}

void AppendBytesField(std::string& out, unsigned field, std::string_view bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  out.append(bytes);
}

std::size_t NumberFieldBytes(std::uint64_t number) {
  return 1 + VarintBytes(number);
}

void AppendNumberField(std::string& out, unsigned field, std::uint64_t number) {
  AppendTag(out, field, kVarint);
  AppendVarint(out, number);
}

constexpr std::size_t kFlagBytes = 2;

// The longest SessionRef with its tag and length.
constexpr std::size_t kMostSessionRefBytes = 2 + 3 * 11 + kFlagBytes;

// The start of a Command whose operation is `field` and takes `bytes`; with room for a SessionRef.
std::string StartCommand(unsigned field, std::size_t bytes) {
  std::string out;
  out.reserve(1 + VarintBytes(bytes) + bytes + kMostSessionRefBytes);
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes);
  return out;
}

// Likewise.
std::string Serialize(const wire::Command& command) {
  std::string out;
  out.reserve(command.ByteSizeLong() + kMostSessionRefBytes);
  command.AppendToString(&out);
  return out;
}

std::string NumberCommand(unsigned command, unsigned field, std::uint64_t number) {
  std::string out = StartCommand(command, NumberFieldBytes(number));
  AppendNumberField(out, field, number);
  return out;
}

std::uint64_t ZigZag(std::int64_t number) {
  const auto bits = static_cast<std::uint64_t>(number);
  return (bits << 1) ^ (number < 0 ? ~std::uint64_t{0} : 0);
}

void Fill(wire::Compare& out, const Compare& from) {
  out.set_key(from.key);
  out.set_relation(static_cast<wire::Compare::Relation>(from.relation));
  if (const auto* revision = std::get_if<std::uint64_t>(&from.with)) {
    out.set_mod_index(*revision);
  } else {
    out.set_value(std::get<std::string>(from.with));
  }
}

void Fill(wire::Operation& out, const Change& from) {
  switch (from.kind) {
    case Change::Kind::kPut:
      out.mutable_put()->set_key(from.key);
      out.mutable_put()->set_value(from.value);
      out.mutable_put()->set_attach(from.attach);
      return;
    case Change::Kind::kDelete:
      out.mutable_delete_()->set_key(from.key);
      return;
    case Change::Kind::kIncrement:
      out.mutable_increment()->set_key(from.key);
      out.mutable_increment()->set_by(from.by);
      return;
    case Change::Kind::kAppend:
      out.mutable_append()->set_key(from.key);
      out.mutable_append()->set_value(from.value);
      return;
    case Change::Kind::kGet:
      out.set_get(from.key);
      return;
  }
}

}  // namespace

std::string EncodePut(std::string_view key, std::string_view value, const WriteOptions& o) {
  using wire::Put;
  const std::size_t flags = (o.return_previous ? kFlagBytes : 0) + (o.attach ? kFlagBytes : 0);
  std::string out = StartCommand(wire::Command::kPutFieldNumber,
                                 BytesFieldBytes(key) + BytesFieldBytes(value) + flags);
  AppendBytesField(out, Put::kKeyFieldNumber, key);
  AppendBytesField(out, Put::kValueFieldNumber, value);
  if (o.return_previous) AppendNumberField(out, Put::kReturnPreviousFieldNumber, 1);
  if (o.attach) AppendNumberField(out, Put::kAttachFieldNumber, 1);
  return out;
}

std::string EncodeDelete(std::string_view key, const WriteOptions& o) {
  using wire::Delete;
  const std::size_t flags = o.return_previous ? kFlagBytes : 0;
  std::string out = StartCommand(wire::Command::kDeleteFieldNumber, BytesFieldBytes(key) + flags);
  AppendBytesField(out, Delete::kKeyFieldNumber, key);
  if (o.return_previous) AppendNumberField(out, Delete::kReturnPreviousFieldNumber, 1);
  return out;
}

std::string EncodeCompareAndSet(std::string_view key, const Expectation& expect,
                                std::string_view value, const WriteOptions& o) {
  using wire::CompareAndSet;
  const auto* with_value = std::get_if<WithValue>(&expect);
  const auto* at_revision = std::get_if<AtRevision>(&expect);
  const std::uint64_t revision = at_revision != nullptr ? at_revision->revision : 0;
  const std::size_t expect_bytes =
      with_value != nullptr ? BytesFieldBytes(with_value->value) : NumberFieldBytes(revision);
  std::string out = StartCommand(
      wire::Command::kCompareAndSetFieldNumber,
      BytesFieldBytes(key) + BytesFieldBytes(value) + expect_bytes + (o.attach ? kFlagBytes : 0));
  AppendBytesField(out, CompareAndSet::kKeyFieldNumber, key);
  AppendBytesField(out, CompareAndSet::kValueFieldNumber, value);
  if (with_value != nullptr) {
    AppendBytesField(out, CompareAndSet::kExpectedValueFieldNumber, with_value->value);
  } else {
    AppendNumberField(out, CompareAndSet::kModIndexFieldNumber, revision);
  }
  if (o.attach) AppendNumberField(out, CompareAndSet::kAttachFieldNumber, 1);
  return out;
}

std::string EncodeIncrement(std::string_view key, std::int64_t by) {
  using wire::Increment;
  std::string out = StartCommand(wire::Command::kIncrementFieldNumber,
                                 BytesFieldBytes(key) + NumberFieldBytes(ZigZag(by)));
  AppendBytesField(out, Increment::kKeyFieldNumber, key);
  AppendNumberField(out, Increment::kByFieldNumber, ZigZag(by));
  return out;
}

std::string EncodeAppend(std::string_view key, std::string_view value) {
  using wire::Append;
  std::string out = StartCommand(wire::Command::kAppendFieldNumber,
                                 BytesFieldBytes(key) + BytesFieldBytes(value));
  AppendBytesField(out, Append::kKeyFieldNumber, key);
  AppendBytesField(out, Append::kValueFieldNumber, value);
  return out;
}

std::string EncodeTransaction(const Transaction& transaction) {
  wire::Command command;
  wire::Transaction& out = *command.mutable_transaction();
  for (const Compare& compare : transaction.when) Fill(*out.add_compare(), compare);
  for (const Change& change : transaction.then) Fill(*out.add_then(), change);
  for (const Change& change : transaction.otherwise) Fill(*out.add_otherwise(), change);
  return Serialize(command);
}

std::string EncodeDeleteRange(const Range& range, std::uint32_t max_keys) {
  wire::Command command;
  wire::DeleteRange& out = *command.mutable_delete_range();
  out.set_first(range.first);
  out.set_last(range.last);
  out.set_max_keys(max_keys);
  return Serialize(command);
}

std::string EncodeOpenSession(std::uint64_t ttl_us) {
  return NumberCommand(wire::Command::kOpenSessionFieldNumber, wire::OpenSession::kTtlUsFieldNumber,
                       ttl_us);
}

std::string EncodeKeepSession(std::uint64_t id) {
  return NumberCommand(wire::Command::kKeepSessionFieldNumber, wire::KeepSession::kIdFieldNumber,
                       id);
}

std::string EncodeCloseSession(std::uint64_t id) {
  return NumberCommand(wire::Command::kCloseSessionFieldNumber, wire::CloseSession::kIdFieldNumber,
                       id);
}

void AppendSessionRef(std::string& command, const SessionRef& session) {
  using Wire = wire::SessionRef;
  AppendTag(command, wire::Command::kSessionFieldNumber, kBytes);
  AppendVarint(command, NumberFieldBytes(session.id) + NumberFieldBytes(session.seq) +
                            NumberFieldBytes(session.acked_below) +
                            (session.ordered ? kFlagBytes : 0));
  AppendNumberField(command, Wire::kIdFieldNumber, session.id);
  AppendNumberField(command, Wire::kSeqFieldNumber, session.seq);
  AppendNumberField(command, Wire::kAckedBelowFieldNumber, session.acked_below);
  if (session.ordered) AppendNumberField(command, Wire::kOrderedFieldNumber, 1);
}

}  // namespace quorate::internal
