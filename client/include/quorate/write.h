// What writes take and what they answer (D7). Each write is one entry of the log: atomic, with an
// index of its own, which is its revision.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "quorate/certificate.h"
#include "quorate/options.h"
#include "quorate/session.h"
#include "quorate/token.h"

namespace quorate {

struct WriteOptions {
  // One deadline over queueing, dialling, retries and reply. Zero: Options::timeout.
  std::chrono::milliseconds timeout{0};
  // Exactly once: with a session, a write whose answer was lost is asked again until the deadline,
  // and executed once. Without, it is never sent twice once it may have arrived, and ends as
  // kUnknown.
  Session session{};
  // The key goes when the session ends, unless it is written again meanwhile. Put, CompareAndSet;
  // needs a session.
  bool attach = false;
  bool return_previous = false;  // Put, Delete: the value before, in WriteReply::previous
  std::uint64_t node = 0;        // only this node is asked; it must lead
  std::string request_id{};      // for the nodes' logs; at most 64 bytes, the rest is cut
  Cancellation cancellation{};
};

struct WriteReply {
  std::uint64_t revision = 0;  // the index of this write
  // Delete, Increment, Append, CompareAndSet, and with return_previous: the key existed before.
  bool found = false;
  std::optional<std::string> previous{};  // return_previous, if there was a value
  std::uint64_t previous_revision = 0;
  std::int64_t number = 0;  // Increment: the sum
  // The answer of an earlier attempt of the same write; it was not executed again.
  bool repeated = false;
  Certificate certificate{};
  Token token{};  // reads that include it see this write
};

// ---- Compare and set ----

struct Absent {};
struct AtRevision {
  std::uint64_t revision = 0;
};
struct WithValue {
  std::string_view value;
};
using Expectation = std::variant<Absent, AtRevision, WithValue>;

// ---- Transactions ----

//   Transaction t;
//   t.When(Compare::Value("alice", Relation::kEqual, "10"))
//       .Then(Change::Put("alice", "7")).Then(Change::Put("bob", "3"))
//       .Otherwise(Change::Get("alice"));
//
// At most 128 comparisons and operations, and 1 MiB, together.
enum class Relation : std::uint8_t { kEqual, kNotEqual, kLess, kGreater };

struct Compare {
  std::string key;
  Relation relation = Relation::kEqual;
  std::variant<std::uint64_t, std::string> with;  // a revision (an absent key has 0), or a value

  static Compare Revision(std::string key, Relation relation, std::uint64_t revision) {
    return {std::move(key), relation, revision};
  }
  static Compare Value(std::string key, Relation relation, std::string value) {
    return {std::move(key), relation, std::move(value)};
  }
  static Compare Exists(std::string key) { return Revision(std::move(key), Relation::kGreater, 0); }
  static Compare Missing(std::string key) { return Revision(std::move(key), Relation::kEqual, 0); }
};

struct Change {
  enum class Kind : std::uint8_t { kPut, kDelete, kIncrement, kAppend, kGet };
  Kind kind = Kind::kGet;
  std::string key;
  std::string value{};  // put, append
  std::int64_t by = 0;  // increment
  bool attach = false;  // put: as in WriteOptions

  static Change Put(std::string key, std::string value) {
    return {Kind::kPut, std::move(key), std::move(value)};
  }
  static Change Delete(std::string key) { return {Kind::kDelete, std::move(key)}; }
  static Change Increment(std::string key, std::int64_t by) {
    return {Kind::kIncrement, std::move(key), {}, by};
  }
  static Change Append(std::string key, std::string value) {
    return {Kind::kAppend, std::move(key), std::move(value)};
  }
  static Change Get(std::string key) { return {Kind::kGet, std::move(key)}; }
};

struct Transaction {
  std::vector<Compare> when{};
  std::vector<Change> then{};
  std::vector<Change> otherwise{};

  Transaction& When(Compare compare) { return when.push_back(std::move(compare)), *this; }
  Transaction& Then(Change change) { return then.push_back(std::move(change)), *this; }
  Transaction& Otherwise(Change change) { return otherwise.push_back(std::move(change)), *this; }
};

struct ChangeResult {
  bool found = false;          // the key existed before
  std::string value{};         // get: the value; increment: the sum
  std::uint64_t revision = 0;  // get: of the value
};

struct TransactionReply {
  bool succeeded = false;  // the comparisons held: `then` was executed, else `otherwise`
  std::vector<ChangeResult> results{};  // of that branch, in order
  WriteReply write{};
};

// ---- Range deletes ----

struct DeleteRangeReply {
  std::uint64_t deleted = 0;
  std::string resume{};  // the first key that is left; empty: the range is done
  WriteReply write{};
};

}  // namespace quorate
