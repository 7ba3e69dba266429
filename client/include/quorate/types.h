// What calls take and what replies carry.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace quorate {

// ---- How fresh a read must be ----

// Strong: every write acknowledged before the read was asked for is seen. Eventual: some consistent
// prefix of the writes, never behind what the same node has served before.
struct Level {
  std::optional<std::chrono::microseconds> max_age{};  // absent: any age

  bool strong() const { return max_age && max_age->count() == 0; }
};

inline constexpr Level kStrong{.max_age = std::chrono::microseconds(0)};
inline constexpr Level kEventual{};

// ---- Proof of freshness ----

enum class Basis : std::uint8_t {
  kNone = 0,       // nothing is known of the age
  kReadIndex = 1,  // a quorum confirmed after the request arrived
  kLease = 2,
  kAnchor = 3,
  kCommit = 4,  // the answer to a write
};

std::string_view ToString(Basis basis);

// What a reply is the state of, and how that is known.
struct Certificate {
  std::uint64_t node = 0;           // who answered
  std::uint64_t term = 0;           // that node's
  std::uint64_t applied_index = 0;  // the answer is the state at exactly this index
  std::uint64_t entry_term = 0;     // term of the entry at applied_index
  // Nothing committed longer than this before the request is missing; absent: no bound is known.
  std::optional<std::chrono::microseconds> age{};
  Basis basis = Basis::kNone;
  std::uint64_t fresh_index = 0;        // what the bound rests on
  std::chrono::microseconds waited{0};  // for a leader's confirmation or for apply
  bool via_leader = false;              // another node confirmed it
};

// ---- Options of one call ----

struct CallOptions {
  // One deadline over queueing, dialling, retries and reply. Zero: Options::timeout.
  std::chrono::milliseconds timeout{0};
  // Only this node is asked, whatever it answers: no other replaces it. Zero: the library chooses.
  std::uint64_t node = 0;
  // The caller's name for the request in the nodes' logs; at most 64 bytes, the rest is cut.
  std::string request_id{};
};

struct ReadOptions {
  Level level = kStrong;
  std::chrono::milliseconds timeout{0};  // as in CallOptions, like the two below
  std::uint64_t node = 0;
  std::string request_id{};
};

// ---- Point reads and writes ----

struct GetReply {
  bool found = false;
  std::string value;           // empty if not found
  std::uint64_t revision = 0;  // index of the write that made the value; 0 if not found
  Certificate certificate;
};

struct WriteReply {
  std::uint64_t revision = 0;  // the index of this write
  bool found = false;          // delete: the key existed
  Certificate certificate;
};

// What CompareAndSet expects of the key.
struct Absent {};
struct AtRevision {
  std::uint64_t revision = 0;
};
struct WithValue {
  std::string_view value;
};
using Expectation = std::variant<Absent, AtRevision, WithValue>;

// ---- Scans ----

struct Range {
  std::string first{};  // inclusive
  std::string last{};   // exclusive; empty: to the end

  static Range All() { return {}; }
  static Range Prefix(std::string_view prefix);
};

struct ScanOptions {
  Level level = kStrong;
  std::uint32_t page_items = 0;          // 0: the node's choice; the node may return fewer
  bool count_only = false;               // pages carry counts, no items
  std::chrono::milliseconds timeout{0};  // per page
  std::uint64_t node = 0;
  std::string request_id{};
};

struct Item {
  std::string key{};
  std::string value{};
  std::uint64_t revision = 0;
};

// Where a scan goes on. It lives on one connection of one Client and dies with it, or after 30 s
// without use.
struct Cursor {
  std::uint64_t id = 0;
  std::uint64_t connection = 0;

  explicit operator bool() const { return id != 0; }
};

// All pages of one scan are the state at one index.
struct ScanPage {
  std::vector<Item> items;
  std::uint64_t count = 0;  // keys in this page, also with count_only
  Cursor next;              // false: this was the last page
  Certificate certificate;
};

// ---- Nodes ----

struct PeerStatus {
  std::uint64_t id = 0;
  std::string address;
  bool connected = false;
  bool met = false;         // its uuid is on record
  std::uint64_t match = 0;  // these four: leader only
  std::uint64_t lag = 0;    // entries
  std::uint64_t in_flight_bytes = 0;
  std::string state;  // probe | replicate | snapshot
};

// A snapshot on its way to a node that was away for too long.
struct SnapshotFetch {
  std::uint64_t from = 0;   // the node that keeps it
  std::uint64_t index = 0;  // it holds everything up to here
  std::uint64_t received_bytes = 0;
  std::uint64_t total_bytes = 0;       // 0: not known yet
  std::uint64_t bytes_per_second = 0;  // lately
  std::optional<std::chrono::seconds> left{};
  bool verifying = false;  // all of it is there and is being checked
};

// What a node has on its disk, as of at most a second before it answered.
struct DiskStatus {
  std::uint64_t log_first_index = 0;  // the first that the log holds
  std::uint64_t log_bytes = 0;
  std::uint64_t log_segments = 0;
  std::uint64_t log_unflushed_bytes = 0;  // would be applied again after a crash
  std::uint64_t database_bytes = 0;
  std::uint64_t flushed_index = 0;  // what the database holds even after a crash
  std::uint64_t free_bytes = 0;
  std::uint64_t snapshot_kept_bytes = 0;  // for other nodes and backups to fetch
  bool full = false;                      // it takes no writes
  std::string full_reason;
  bool stuck = false;  // a write of the log has not completed for longer than an election timeout
};

struct NodeStatus {
  std::uint64_t id = 0;
  std::string role;  // leader | follower | candidate | pre-candidate
  std::uint64_t term = 0;
  std::uint64_t leader = 0;  // 0: it knows none
  std::uint64_t commit = 0;
  std::uint64_t applied = 0;
  std::uint64_t last_index = 0;
  std::uint64_t durable_index = 0;
  std::optional<std::chrono::microseconds> age;  // of what it could serve locally now
  std::uint64_t cluster_id = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t connections = 0;
  std::uint64_t bytes_queued = 0;
  std::chrono::milliseconds uptime{0};
  std::string version;
  bool ready = false;
  std::string not_ready_reason;
  std::vector<PeerStatus> peers;
  DiskStatus disk;
  std::optional<SnapshotFetch> snapshot{};  // absent: none is being fetched
  std::uint64_t snapshots_taken = 0;        // these three since the node's start
  std::uint64_t snapshots_installed = 0;
  std::uint64_t log_cuts = 0;
};

// ---- Snapshots ----

// A node's state on its disk, complete up to `index`. The node keeps it until nobody has read from
// it for a minute.
struct SnapshotTaken {
  std::uint64_t id = 0;
  std::uint64_t node = 0;
  std::uint64_t index = 0;
  std::uint64_t term = 0;   // of the entry at `index`
  std::uint64_t bytes = 0;  // of all files
  std::uint64_t files = 0;
  std::uint64_t manifest_bytes = 0;
  std::chrono::microseconds took{0};
  std::uint64_t log_first_index = 0;  // where the node's log starts now
};

inline constexpr std::uint32_t kMaxSnapshotPieceBytes = 256 << 10;

// A piece of a snapshot.
struct SnapshotPiece {
  std::uint64_t snapshot = 0;           // SnapshotTaken::id
  std::optional<std::uint32_t> file{};  // its number in the manifest; absent: the manifest itself
  std::uint64_t offset = 0;
  std::uint32_t bytes = kMaxSnapshotPieceBytes;
};

// A node as this client sees it.
struct Member {
  std::uint64_t id = 0;  // 0: never reached, and no other node named it
  std::string address;
  bool connected = false;
  bool leader = false;  // where the next write would go
};

}  // namespace quorate
