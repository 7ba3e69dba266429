// A recorded history in memory, whatever its format was (jepsen/FORMAT.md describes our own).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jepsen/check/value_table.h"

namespace quorate::check {

// Microseconds since the test began; in formats without times, the position in the file.
using Time = std::int64_t;
inline constexpr Time kNever = std::numeric_limits<Time>::max();

// Of fields that may be missing.
inline constexpr std::uint64_t kAbsent = std::numeric_limits<std::uint64_t>::max();

enum class Function : std::uint8_t {
  kRead,
  kWrite,
  kCas,
  kDelete,
  kAppend,
  kAdd,
  kTransfer,
  kAcquire,
  kRelease,
  kUse,
  kTransaction,  // of reads and writes; multi-register only
};

enum class Outcome : std::uint8_t { kOk, kFail, kInfo };
enum class Level : std::uint8_t { kStrong, kBounded, kSession, kEventual };
enum class OnUnmet : std::uint8_t { kWait, kRefuse, kServe };
enum class Basis : std::uint8_t { kMissing, kNone, kReadIndex, kLease, kAnchor, kCommit };

enum class Model : std::uint8_t {
  kUnknown,
  kRegister,
  kAppend,
  kCounter,
  kSet,
  kBank,
  kLock,
  kKv,             // porcupine's: get, put, append; an absent key is ""
  kMultiRegister,  // knossos': transactions over registers
};

std::string_view Name(Function function);
std::string_view Name(Level level);
std::string_view Name(Model model);
// kUnknown if there is none of that name. Accepts Jepsen's names too (cas-register, multi-register,
// mutex).
Model ModelNamed(std::string_view name);
// For messages: "register, append, ...".
std::string ModelNames();

struct Certificate {
  bool present = false;
  bool via_leader = false;
  Basis basis = Basis::kMissing;
  std::uint32_t node = 0;         // 0: absent
  Value incarnation = kNil;       // kNil: absent
  std::uint64_t term = 0;         // 0: absent
  std::uint64_t index = kAbsent;  // applied, of a read; of a write its own
  std::uint64_t entry_term = 0;   // 0: absent
  std::uint64_t age_us = kAbsent;
  std::uint64_t lag = 0;
};

// Of a `fail` or `info`.
struct Failure {
  Value code = kNil;
  Value kind = kNil;  // "class" in the file
  std::uint64_t have = kAbsent;
  std::uint64_t want = kAbsent;
  std::uint64_t age_us = kAbsent;
};

struct Operation {
  std::uint64_t number = 0;  // as in the file
  std::int64_t client = 0;
  Time invoked = 0;
  Time returned = kNever;  // kNever: no answer, it may take effect at any time later or never
  Function function = Function::kRead;
  Outcome outcome = Outcome::kInfo;
  Level level = Level::kStrong;
  OnUnmet on_unmet = OnUnmet::kWait;
  bool has_result = false;
  // A cas that answered that it compared unequal: it took place, and changed nothing.
  bool compared_unequal = false;
  std::uint32_t node = 0;     // 0: any
  std::uint32_t failure = 0;  // in History::failures; 0: none
  Value key = kNil;
  Value value = kNil;   // what was asked
  Value result = kNil;  // what it answered
  std::uint64_t revision = kAbsent;
  std::uint64_t max_age_us = kAbsent;
  std::uint64_t max_lag = 0;
  std::uint64_t min_index = 0;
  std::uint64_t session = 0;  // 0: none
  std::uint64_t seq = 0;
  Certificate certificate;

  bool ok() const { return outcome == Outcome::kOk; }
  bool is_read() const { return function == Function::kRead; }
  bool only_observes() const { return is_read() || compared_unequal; }
};

// What a register's write makes of it.
Value Made(const ValueTable& values, const Operation& operation);

struct Fault {
  std::string name;
  std::uint64_t id = 0;
  Time at = 0;
  Time until = kNever;
  std::vector<std::uint32_t> nodes;
  std::string detail;
};

enum class Format : std::uint8_t { kQuorate, kEdn, kEtcdLog };

struct History {
  History() : failures(1) {}

  std::string file;
  Format format = Format::kQuorate;
  Model model = Model::kUnknown;
  std::uint32_t nodes = 0;            // 0: not known
  std::optional<std::int64_t> total;  // of a bank
  Time end = kNever;                  // kNever: the file does not say that the test ran to its end
  std::vector<Operation> operations;
  std::vector<Failure> failures;
  std::vector<Fault> faults;
  ValueTable values;
  // What an object is before the first write; kNil unless the format or an option says otherwise.
  Value initial = kNil;
  // An `ok` read of nil says "unknown" and is always legal (knossos).
  bool nil_reads_are_unknown = false;

  const Failure& failure(const Operation& operation) const { return failures[operation.failure]; }
};

}  // namespace quorate::check
