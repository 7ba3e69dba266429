// What the log builds: keys and values at exactly one position of the log.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "raft/configuration.h"
#include "raft/controls.h"
#include "raft/entry.h"
#include "raft/snapshot.h"
#include "storage/result.h"

namespace rocksdb {
class Env;
}

namespace quorate::storage {

// A stored key. `mod_index` is the log index of the write that made it: what compare-and-set
// compares.
struct Record {
  raft::Index mod_index = 0;
  std::uint64_t owner = 0;  // the session that the key is attached to, and ends with; 0: none
  std::string value;
};

// What one command did; only kDone has changed anything. Every node decides alike. Kept with the
// answers of sessions: never renumber.
enum class Outcome : std::uint8_t {
  kDone = 0,
  kNotFound = 1,       // delete of an absent key: nothing to delete
  kCompareFailed = 2,  // have: the key's mod_index as it stands, 0 if absent
  kRejected = 3,    // not a command that this version understands, or one that contradicts itself
  kNotANumber = 4,  // increment
  kOutOfRange = 5,  // increment: the sum does not fit
  kValueTooLarge = 6,     // append: have bytes it would have
  kResultTooLarge = 7,    // transaction: have bytes its answer would have
  kSessionExpired = 8,    // or closed, or never opened
  kSessionSeqGone = 9,    // have: what the client wanted no answer below
  kOutOfOrder = 10,       // have: the last executed seq
  kTooManyPending = 11,   // answers of one session, or of all: have, in answers or bytes
  kTooManySessions = 12,  // have: open ones
};

// Decides what transactions do, and every node must decide alike: fixed for ever.
inline constexpr std::size_t kMaxTransactionResultBytes = 1 << 20;

struct Applied {
  raft::Index index = 0;
  raft::Term term = 0;
  Outcome outcome = Outcome::kDone;
  bool found = false;       // the key existed before; a plain put does not look, and says so of any
  bool repeated = false;    // executed before, with this answer: a write of a session
  std::uint64_t have = 0;   // a number, as the outcome says
  raft::Position executed;  // of the entry that was executed: of this one, unless it is repeated
  std::string result;       // an encoded wire::WriteResult; empty: nothing to say
};

// Of a state machine's sessions (D7).
struct SessionStats {
  std::uint64_t open = 0;
  std::uint64_t ending = 0;    // ended, and their keys are not all gone yet
  std::uint64_t clock_us = 0;  // the cluster clock: the largest stamp applied
};

// A value and the position whose state it is: exactly that one, never a mixture (D6.4).
struct ReadOutcome {
  std::optional<Record> record;
  raft::Position at;
};

// The state at one position, held still while it lives, even beyond the state machine's own life (a
// snapshot may replace that while a scan goes on). Any thread.
class StateView {
 public:
  virtual ~StateView() = default;
  virtual raft::Position at() const = 0;

  struct Item {
    std::string key;
    Record record;
  };
  struct Page {
    std::vector<Item> items;
    std::uint64_t count = 0;  // keys covered: items.size(), unless values were not asked for
    std::optional<std::string> next;  // where to go on; nothing: the end
  };
  // Keys in [first, last) in byte order (`last` empty: to the end), until `max_items` or about
  // `max_bytes`. With `count_only`, items stay empty.
  virtual Result<Page> Scan(std::string_view first, std::string_view last, std::size_t max_items,
                            std::size_t max_bytes, bool count_only) const = 0;
};

// Apply() belongs to one thread (the applier); everything else to any, beside it.
class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Applies consecutive entries, the first at applied().index + 1, atomically with the new
  // position: all, or as many as fill a batch; one result each. kNoSpace: none, try again later.
  virtual Result<std::vector<Applied>> Apply(std::span<const raft::Entry> entries) = 0;

  // What reads see now; and what a crash would fall back to at worst.
  virtual raft::Position applied() const = 0;
  virtual raft::Position flushed() const = 0;

  enum class Cost { kMemoryOnly, kMayReadDisk };
  // With kMemoryOnly: nothing if the answer needs the disk; ask again on a thread that may
  // wait.
  virtual Result<std::optional<ReadOutcome>> Get(std::string_view key, Cost cost) const = 0;
  virtual std::unique_ptr<StateView> View() const = 0;

  // Sessions and the cluster clock, as of applied().
  virtual SessionStats sessions() const = 0;
  // Sessions to name in an EndSessions command: their time is up at `clock_us`, or they have ended
  // and still have keys. At most `max`. Belongs to the applier, as Apply() does.
  virtual std::vector<std::uint64_t> DueSessions(std::uint64_t clock_us, std::size_t max) const = 0;

  // Makes everything applied durable. kNoSpace: try again later.
  virtual Status Flush() = 0;

  // The last configuration applied; nothing if none has been.
  virtual std::optional<raft::Configuration> configuration() const = 0;
  // About what a snapshot would take, in bytes.
  virtual std::uint64_t disk_bytes() const = 0;
  // Writes a copy of the state into `directory`, which must not exist, as of some position at or
  // after applied(); says which one, and the last configuration applied there (an empty one if none
  // has been). Whole and durable on return, but for the directory's own name, and checked: damage
  // is kCorrupt. kNoSpace: try again later. After a failure a part of it may be there, also at
  // `directory`.tmp. Cheap to write: files that do not change are linked. One at a time.
  virtual Result<raft::SnapshotMark> Checkpoint(const std::string& directory) = 0;
};

// Opens, or makes, the state machine in a directory: RocksDB in the server, a model in the
// simulator.
using OpenStateMachine =
    std::function<Result<std::unique_ptr<StateMachine>>(const std::string& directory)>;

struct DatabaseOptions {
  std::uint64_t memtable_bytes = 64 << 20;
  std::uint64_t cache_bytes = 64 << 20;
  rocksdb::Env* env = nullptr;  // for tests that fill the disk; null: the real one. Outlives it
  raft::Control control = raft::Control::kNone;
  // RocksDB 7.8 can wait for ever for a flush that it has lost, when flushes and compactions of
  // families that are flushed together fail for want of room at the same time. Only a new process
  // helps. So where it waits, nothing of it has moved for `after`, and the disk still answers,
  // `react` is called once, from another thread; without one the process aborts.
  struct Hang {
    std::chrono::milliseconds after{10'000};
    std::function<void(const std::string& what)> react{};
  };
  Hang hang{};
};

// RocksDB without its own log: the raft log is the log. The position is in the same WriteBatch as
// the data.
Result<std::unique_ptr<StateMachine>> OpenDatabase(const std::string& path,
                                                   const DatabaseOptions& options);

// What a database, or a copy of one, is the state of as far as it is on the disk, and the last
// configuration applied there (an empty one if none has been). Changes nothing in `path`, and may
// run beside whoever uses the database.
Result<raft::SnapshotMark> ReadDatabaseMark(const std::string& path,
                                            const DatabaseOptions& options);
// Reads all of it, likewise, and checks every checksum. kCorrupt: one does not match.
Status VerifyDatabase(const std::string& path, const DatabaseOptions& options);

// Makes a copied database one of a new cluster: it must be the state at `start.position`, and
// records `start.configuration` from then on. Its sessions belong to another history: they are
// gone, and the keys that were attached to them. Durable on return.
Status AdoptDatabase(const std::string& path, const DatabaseOptions& options,
                     const raft::SnapshotMark& start);

// The end of the range of keys that start with `prefix`; empty if there is none.
std::string PrefixEnd(std::string_view prefix);

}  // namespace quorate::storage
