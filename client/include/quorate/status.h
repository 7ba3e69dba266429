// What nodes say about themselves, and snapshots of their state.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quorate {

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
  // The smallest bound that it could have served locally at any moment of the last ten seconds.
  std::optional<std::chrono::microseconds> local_bound{};
  std::chrono::microseconds typical_confirmation{0};  // through the leader, lately; 0: none yet
  std::uint64_t sessions = 0;                         // open
  std::chrono::microseconds cluster_clock{0};         // as of the last stamp applied
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
