// What the node counts. Plain numbers that the loop adds to; Prometheus sees them only when it
// asks.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <string>

#include "client/proto/wire.pb.h"
#include "raft/types.h"
#include "src/read_path.h"

namespace quorate::server {

enum class Operation : std::uint8_t {
  kPut,
  kDelete,
  kCompareAndSet,
  kIncrement,
  kAppend,
  kTransaction,
  kDeleteRange,
  kOpenSession,
  kKeepSession,
  kCloseSession,
  kGet,
  kMultiGet,
  kScan,
  kStatus,
  kSnapshot,
  kSnapshotRead
};
inline constexpr std::size_t kOperations = 16;
const char* ToString(Operation operation);

// What was asked of the answer. kCommit: writes. kNone: status, and requests that never got so far.
enum class Level : std::uint8_t { kStrong, kBounded, kSession, kEventual, kCommit, kNone };
inline constexpr std::size_t kLevels = 6;
const char* ToString(Level level);

// Factor-two buckets; bucket i counts values in (lowest * 2^(i-1), lowest * 2^i].
template <std::uint64_t lowest, std::size_t buckets>
struct Histogram {
  static constexpr std::size_t kBuckets = buckets;

  void Observe(std::uint64_t value) {
    const std::size_t bucket =
        value <= lowest ? 0 : static_cast<std::size_t>(std::bit_width((value - 1) / lowest));
    ++counts[bucket < buckets ? bucket : buckets];
    sum += value;
  }
  static constexpr std::uint64_t UpperBound(std::size_t bucket) { return lowest << bucket; }

  std::array<std::uint64_t, buckets + 1> counts{};  // the last: over all bounds
  std::uint64_t sum = 0;
};

using LatencyHistogram = Histogram<50, 21>;  // 50 us to 52 s, in microseconds
using EntriesHistogram = Histogram<1, 15>;   // 1 to 16,384
using BytesHistogram = Histogram<256, 17>;   // 256 B to 16 MiB

// For the loop's thread.
struct Metrics {
  std::array<std::array<LatencyHistogram, kLevels>, kOperations> requests;
  // By level: the ages that certificates stated, and how reads were decided.
  std::array<LatencyHistogram, kLevels> read_ages;
  std::array<std::array<std::uint64_t, kDecisions>, kLevels> reads{};
  LatencyHistogram log_sync;
  EntriesHistogram log_batch_entries;
  BytesHistogram log_batch_bytes;
  LatencyHistogram apply;
  EntriesHistogram apply_batch_entries;
  std::array<std::uint64_t, wire::Code_ARRAYSIZE> refusals{};
  std::uint64_t repeated_writes = 0;  // of sessions: answered with what was executed before
  std::uint64_t leader_changes = 0;
  std::uint64_t connections_accepted = 0;
  std::uint64_t client_memory_bytes = 0;  // this and the next: as they are, not counted up
  std::uint64_t client_memory_limit_bytes = 0;

  void ObserveRequest(Operation operation, Level level, raft::Duration took) {
    requests[static_cast<std::size_t>(operation)][static_cast<std::size_t>(level)].Observe(
        static_cast<std::uint64_t>(took.count()));
  }
  void ObserveRead(Level level, Decision decision) {
    ++reads[static_cast<std::size_t>(level)][static_cast<std::size_t>(decision)];
  }
  void ObserveAge(Level level, raft::Duration age) {
    read_ages[static_cast<std::size_t>(level)].Observe(static_cast<std::uint64_t>(age.count()));
  }
};

// Bytes waiting to be sent to each peer.
using PeerQueues = std::map<raft::NodeId, std::uint64_t>;

// The page at /metrics, in Prometheus' text format. `status` and `peer_queues` are the node as it
// is at this moment.
std::string FormatMetrics(const Metrics& metrics, const wire::NodeStatus& status,
                          const PeerQueues& peer_queues);

}  // namespace quorate::server
