// From arguments to calls: what is wrong with them is found here, before anything is sent.
#include <algorithm>
#include <utility>

#include "client/call.h"
#include "client/commands.h"
#include "client/errors.h"
#include "client/level.h"
#include "client/lookup.h"
#include "quorate/client.h"

namespace quorate {

using internal::Call;
using internal::CallPtr;
using internal::MakeError;
using internal::Operation;

namespace {

// Of the keys of a multi-get, which travel in the request's header.
constexpr std::size_t kMaxMultiGetKeyBytes = wire::kMaxHeaderBytes - (1 << 10);
constexpr std::size_t kKeyOverhead = 4;

using ErrorPtr = std::unique_ptr<Error>;

ErrorPtr Invalid(std::string detail) {
  return std::make_unique<Error>(internal::InvalidError(std::move(detail)));
}

ErrorPtr TooLarge(std::string_view what, std::size_t bytes, std::size_t limit) {
  return std::make_unique<Error>(MakeError(ErrorCode::kTooLarge, ErrorClass::kFinal,
                                           std::string(what) + " of " + std::to_string(bytes) +
                                               " bytes exceeds the limit of " +
                                               std::to_string(limit),
                                           bytes, limit));
}

ErrorPtr CheckKey(std::string_view key) {
  if (key.empty()) {
    return Invalid("the key is empty; keys have 1 to " + std::to_string(wire::kMaxKeyBytes) +
                   " bytes");
  }
  if (key.size() > wire::kMaxKeyBytes) return TooLarge("a key", key.size(), wire::kMaxKeyBytes);
  return nullptr;
}

ErrorPtr CheckKeyAndValue(std::string_view key, std::string_view value) {
  if (auto error = CheckKey(key)) return error;
  if (value.size() > wire::kMaxValueBytes) {
    return TooLarge("a value", value.size(), wire::kMaxValueBytes);
  }
  return nullptr;
}

template <typename AnyOptions>
CallPtr NewCall(Operation operation, const AnyOptions& o) {
  CallPtr call(new Call);
  call->operation = operation;
  call->type = internal::FrameTypeOf(operation);
  call->timeout = o.timeout;
  call->node = o.node;
  call->request_id = o.request_id;
  call->cancellation = o.cancellation.state();
  return call;
}

// `encode` is called only if nothing is wrong.
template <typename Encode>
CallPtr NewWrite(Operation operation, const WriteOptions& o, ErrorPtr wrong, const Encode& encode) {
  CallPtr call = NewCall(operation, o);
  call->session = StateOf(o.session);
  call->return_previous = o.return_previous;
  call->invalid = std::move(wrong);
  if (call->invalid) return call;
  const bool may_attach = operation == Operation::kPut || operation == Operation::kCompareAndSet;
  const bool has_previous = operation == Operation::kPut || operation == Operation::kDelete;
  if (o.attach && !call->session) {
    call->invalid = Invalid("WriteOptions::attach needs a session: attach to which?");
  } else if (o.attach && !may_attach) {
    call->invalid = Invalid("WriteOptions::attach is for Put and CompareAndSet");
  } else if (o.return_previous && !has_previous) {
    call->invalid = Invalid("WriteOptions::return_previous is for Put and Delete");
  } else {
    call->body = encode();
    call->command_bytes = call->body.size();
  }
  return call;
}

template <typename AnyReadOptions>
CallPtr NewRead(Operation operation, const AnyReadOptions& o) {
  CallPtr call = NewCall(operation, o);
  call->level = o.level;
  call->session_guarantees = o.session_guarantees;
  if (const auto wrong = internal::Wrong(o.level)) {
    call->invalid = Invalid("the level " + ToString(o.level) + " has " + *wrong);
  }
  return call;
}

CallPtr NewPointRead(Operation operation, const ReadOptions& o) {
  CallPtr call = NewRead(operation, o);
  if (o.explain) call->explanation = std::make_shared<Explanation>();
  if (o.sla.empty()) return call;
  if (const auto wrong = internal::Wrong(o.sla)) call->invalid = Invalid("SLA: " + *wrong);
  call->ladder = std::make_unique<internal::Ladder>(internal::Ladder{.rungs = o.sla});
  return call;
}

CallPtr NewScan(const ScanOptions& o) {
  CallPtr call = NewRead(Operation::kScan, o);
  call->scan = std::make_unique<internal::ScanQuery>();
  call->scan->page_items = o.page_items;
  call->scan->count_only = o.count_only;
  return call;
}

ErrorPtr CheckChange(const Change& change, bool with_session) {
  if (change.attach && change.kind != Change::Kind::kPut) {
    return Invalid("Change::attach is for Put");
  }
  if (change.attach && !with_session) {
    return Invalid("Change::attach needs a session: attach to which?");
  }
  return CheckKeyAndValue(change.key, change.value);
}

ErrorPtr CheckTransaction(const Transaction& transaction, bool with_session) {
  const std::size_t parts =
      transaction.when.size() + transaction.then.size() + transaction.otherwise.size();
  if (parts > wire::kMaxTransactionParts) {
    return std::make_unique<Error>(MakeError(
        ErrorCode::kTooLarge, ErrorClass::kFinal,
        "a transaction of " + std::to_string(parts) + " comparisons and operations; at most " +
            std::to_string(wire::kMaxTransactionParts) + " are allowed",
        parts, wire::kMaxTransactionParts));
  }
  for (const Compare& compare : transaction.when) {
    const auto* value = std::get_if<std::string>(&compare.with);
    if (auto wrong = CheckKeyAndValue(compare.key, value != nullptr ? *value : "")) return wrong;
  }
  for (const auto* branch : {&transaction.then, &transaction.otherwise}) {
    for (const Change& change : *branch) {
      if (auto wrong = CheckChange(change, with_session)) return wrong;
    }
  }
  return nullptr;
}

ErrorPtr CheckRange(const Range& range) {
  const std::size_t longest = std::max(range.first.size(), range.last.size());
  if (longest <= wire::kMaxKeyBytes) return nullptr;
  return TooLarge("a bound of the range", longest, wire::kMaxKeyBytes);
}

}  // namespace

// ---- Writes ----

CallPtr Client::MakePut(std::string_view key, std::string_view value, const WriteOptions& o) {
  return NewWrite(Operation::kPut, o, CheckKeyAndValue(key, value),
                  [&] { return internal::EncodePut(key, value, o); });
}

CallPtr Client::MakeDelete(std::string_view key, const WriteOptions& o) {
  return NewWrite(Operation::kDelete, o, CheckKey(key),
                  [&] { return internal::EncodeDelete(key, o); });
}

CallPtr Client::MakeCompareAndSet(std::string_view key, const Expectation& expect,
                                  std::string_view value, const WriteOptions& o) {
  ErrorPtr wrong = CheckKeyAndValue(key, value);
  const auto* with_value = std::get_if<WithValue>(&expect);
  if (!wrong && with_value != nullptr && with_value->value.size() > wire::kMaxValueBytes) {
    wrong = TooLarge("an expected value", with_value->value.size(), wire::kMaxValueBytes);
  }
  CallPtr call = NewWrite(Operation::kCompareAndSet, o, std::move(wrong),
                          [&] { return internal::EncodeCompareAndSet(key, expect, value, o); });
  // Two values at their limits fit into no frame.
  if (call->body.size() + wire::kMaxHeaderBytes > wire::kMaxClientFrameBytes) {
    call->invalid = TooLarge("a compare-and-set", call->body.size(),
                             wire::kMaxClientFrameBytes - wire::kMaxHeaderBytes);
  }
  return call;
}

CallPtr Client::MakeIncrement(std::string_view key, std::int64_t by, const WriteOptions& o) {
  return NewWrite(Operation::kIncrement, o, CheckKey(key),
                  [&] { return internal::EncodeIncrement(key, by); });
}

CallPtr Client::MakeAppend(std::string_view key, std::string_view value, const WriteOptions& o) {
  return NewWrite(Operation::kAppend, o, CheckKeyAndValue(key, value),
                  [&] { return internal::EncodeAppend(key, value); });
}

CallPtr Client::MakeExecute(const Transaction& transaction, const WriteOptions& o) {
  CallPtr call =
      NewWrite(Operation::kTransaction, o, CheckTransaction(transaction, bool(o.session)),
               [&] { return internal::EncodeTransaction(transaction); });
  if (call->body.size() > wire::kMaxTransactionBytes) {
    call->invalid = TooLarge("a transaction", call->body.size(), wire::kMaxTransactionBytes);
  }
  return call;
}

CallPtr Client::MakeDeleteRange(const Range& range, std::uint32_t max_keys, const WriteOptions& o) {
  ErrorPtr wrong = CheckRange(range);
  if (!wrong && (max_keys == 0 || max_keys > wire::kMaxDeleteRangeKeys)) {
    wrong = Invalid(std::to_string(max_keys) + " keys in one step of a range delete; 1 to " +
                    std::to_string(wire::kMaxDeleteRangeKeys) + " are allowed");
  }
  return NewWrite(Operation::kDeleteRange, o, std::move(wrong),
                  [&] { return internal::EncodeDeleteRange(range, max_keys); });
}

// ---- Sessions ----

CallPtr Client::MakeOpenSession(const SessionOptions& options, const CallOptions& o) {
  CallPtr call = NewCall(Operation::kOpenSession, o);
  const auto ttl = std::chrono::microseconds(options.ttl);
  if (ttl.count() < static_cast<std::int64_t>(wire::kMinSessionTtlUs) ||
      ttl.count() > static_cast<std::int64_t>(wire::kMaxSessionTtlUs)) {
    call->invalid = Invalid("a session's ttl of " + std::to_string(options.ttl.count()) +
                            " ms; 1 s to 1 h are allowed");
    return call;
  }
  call->session_options = options;
  call->body = internal::EncodeOpenSession(static_cast<std::uint64_t>(ttl.count()));
  return call;
}

CallPtr Client::MakeCloseSession(const Session& session, const CallOptions& o) {
  CallPtr call = NewCall(Operation::kCloseSession, o);
  call->session = StateOf(session);
  if (!call->session) {
    call->invalid = Invalid("there is no session to close");
    return call;
  }
  call->body = internal::EncodeCloseSession(session.id());
  return call;
}

// ---- Reads ----

CallPtr Client::MakeGet(std::string_view key, const ReadOptions& o) {
  CallPtr call = NewPointRead(Operation::kGet, o);
  if (!call->invalid) call->invalid = CheckKey(key);
  if (!call->invalid) call->body = key;
  return call;
}

CallPtr Client::MakeMultiGet(const std::vector<std::string>& keys, const ReadOptions& o) {
  CallPtr call = NewPointRead(Operation::kMultiGet, o);
  if (keys.empty() || keys.size() > wire::kMaxMultiGetKeys) {
    call->invalid = Invalid(std::to_string(keys.size()) + " keys; 1 to " +
                            std::to_string(wire::kMaxMultiGetKeys) + " are read at once");
  }
  std::size_t bytes = 0;
  for (const std::string& key : keys) {
    if (!call->invalid) call->invalid = CheckKey(key);
    bytes += key.size() + kKeyOverhead;
  }
  if (!call->invalid && bytes > kMaxMultiGetKeyBytes) {
    call->invalid = TooLarge("all keys together", bytes, kMaxMultiGetKeyBytes);
  }
  if (!call->invalid) call->keys = keys;
  return call;
}

CallPtr Client::MakeScan(const Range& range, const ScanOptions& o) {
  CallPtr call = NewScan(o);
  if (!call->invalid) call->invalid = CheckRange(range);
  call->scan->range = range;
  return call;
}

CallPtr Client::MakeScanNext(Cursor cursor, const ScanOptions& o) {
  CallPtr call = NewScan(o);
  call->scan->cursor = cursor;
  if (!cursor) call->invalid = Invalid("the scan has ended: it has no next page");
  return call;
}

// ---- Nodes and snapshots ----

CallPtr Client::MakeStatus(std::string_view endpoint, const CallOptions& o) {
  CallPtr call = NewCall(Operation::kStatus, o);
  call->endpoint = endpoint;
  if (!internal::ParseHostPort(endpoint)) {
    call->invalid = Invalid("'" + std::string(endpoint) + "' is not a host:port address");
  }
  return call;
}

CallPtr Client::MakeSnapshot(const CallOptions& o) {
  return NewCall(Operation::kSnapshot, o);
}

CallPtr Client::MakeReadSnapshot(const SnapshotPiece& piece, const CallOptions& o) {
  CallPtr call = NewCall(Operation::kReadSnapshot, o);
  call->piece = piece;
  if (o.node == 0) {
    call->invalid = Invalid("name the node that keeps the snapshot");
  } else if (piece.bytes > wire::kMaxSnapshotReadBytes) {
    call->invalid = TooLarge("a piece of a snapshot", piece.bytes, wire::kMaxSnapshotReadBytes);
  }
  return call;
}

}  // namespace quorate
