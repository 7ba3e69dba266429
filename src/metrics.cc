#include "src/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <utility>
#include <vector>

namespace quorate::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;
using Families = std::vector<MetricFamily>;

constexpr double kMicrosPerSecond = 1e6;

MetricFamily& Family(Families& all, const char* name, const char* help, MetricType type) {
  all.push_back({name, help, type, {}});
  return all.back();
}

void AddGauge(MetricFamily& family, double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

void AddCounter(MetricFamily& family, double value, Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  family.metric.push_back(std::move(metric));
}

// `per_base`: how many of what is counted are one base unit. Divided by, as 100 / 1e6 is 0.0001 and
// 100 * 1e-6 is not.
template <typename HistogramType>
void AddHistogram(MetricFamily& family, const HistogramType& histogram, double per_base,
                  Labels labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < HistogramType::kBuckets; ++i) {
    total += histogram.counts[i];
    metric.histogram.bucket.push_back(
        {total, static_cast<double>(HistogramType::UpperBound(i)) / per_base});
  }
  metric.histogram.sample_count = total + histogram.counts.back();
  metric.histogram.sample_sum = static_cast<double>(histogram.sum) / per_base;
  family.metric.push_back(std::move(metric));
}

void Gauge(Families& all, const char* name, const char* help, double value) {
  AddGauge(Family(all, name, help, MetricType::Gauge), value);
}

void Counter(Families& all, const char* name, const char* help, double value) {
  AddCounter(Family(all, name, help, MetricType::Counter), value);
}

void AddRequests(Families& all, const Metrics& metrics) {
  MetricFamily& requests =
      Family(all, "quorate_request_duration_seconds",
             "Time from receiving a request to its successful answer", MetricType::Histogram);
  for (std::size_t op = 0; op < kOperations; ++op) {
    for (std::size_t level = 0; level < kLevels; ++level) {
      const LatencyHistogram& histogram = metrics.requests[op][level];
      if (histogram.sum == 0 && histogram.counts == LatencyHistogram{}.counts) continue;
      AddHistogram(requests, histogram, kMicrosPerSecond,
                   {{"operation", ToString(static_cast<Operation>(op))},
                    {"level", ToString(static_cast<Level>(level))}});
    }
  }
  MetricFamily& refusals =
      Family(all, "quorate_refusals_total", "Requests and connections refused, by reason",
             MetricType::Counter);
  for (int code = wire::Code_MIN; code <= wire::Code_MAX; ++code) {
    if (!wire::Code_IsValid(code) || code == wire::OK) continue;
    AddCounter(refusals, static_cast<double>(metrics.refusals[static_cast<std::size_t>(code)]),
               {{"reason", wire::Code_Name(static_cast<wire::Code>(code))}});
  }
}

void AddReads(Families& all, const Metrics& metrics) {
  MetricFamily& ages = Family(all, "quorate_read_age_seconds",
                              "Proven age in the certificates of reads", MetricType::Histogram);
  MetricFamily& reads = Family(
      all, "quorate_reads_total",
      "Reads by how they were decided: from this node's own state (local), after waiting for "
      "it to be applied, after a confirmation through the leader, served although what was "
      "asked for was not met, refused",
      MetricType::Counter);
  constexpr const char* kPaths[] = {"local", "waited", "confirmed", "served_unmet", "refused"};
  static_assert(std::size(kPaths) == kDecisions);
  for (const Level level : {Level::kStrong, Level::kBounded, Level::kSession, Level::kEventual}) {
    const auto number = static_cast<std::size_t>(level);
    AddHistogram(ages, metrics.read_ages[number], kMicrosPerSecond, {{"level", ToString(level)}});
    for (std::size_t path = 0; path < kDecisions; ++path) {
      AddCounter(reads, static_cast<double>(metrics.reads[number][path]),
                 {{"level", ToString(level)}, {"path", kPaths[path]}});
    }
  }
}

void AddStorage(Families& all, const Metrics& metrics) {
  AddHistogram(Family(all, "quorate_log_sync_duration_seconds",
                      "Time to write and sync one batch to the log", MetricType::Histogram),
               metrics.log_sync, kMicrosPerSecond);
  AddHistogram(Family(all, "quorate_log_batch_entries", "Entries in one batch written to the log",
                      MetricType::Histogram),
               metrics.log_batch_entries, 1);
  AddHistogram(Family(all, "quorate_log_batch_bytes", "Bytes in one batch written to the log",
                      MetricType::Histogram),
               metrics.log_batch_bytes, 1);
  AddHistogram(Family(all, "quorate_apply_duration_seconds",
                      "Time to apply one batch to the state machine", MetricType::Histogram),
               metrics.apply, kMicrosPerSecond);
  AddHistogram(Family(all, "quorate_apply_batch_entries",
                      "Entries in one batch applied to the state machine", MetricType::Histogram),
               metrics.apply_batch_entries, 1);
}

// Of the log, the database and the room for them.
void AddDisk(Families& all, const wire::NodeStatus& status) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  Gauge(all, "quorate_log_bytes", "Bytes of all log segments on the disk, the spare one included",
        number(status.log_bytes()));
  Gauge(all, "quorate_log_segments", "Log segments on the disk", number(status.log_segments()));
  Gauge(all, "quorate_log_first_index", "First index that the log still holds",
        number(status.log_first_index()));
  Gauge(all, "quorate_log_unflushed_bytes",
        "Bytes of the log that would be applied again after a crash",
        number(status.log_unflushed_bytes()));
  Gauge(all, "quorate_flushed_index", "Highest index that the database holds even after a crash",
        number(status.flushed_index()));
  Counter(all, "quorate_log_cuts_total", "Times that the log's front was removed",
          number(status.log_cuts()));
  Gauge(all, "quorate_database_bytes", "Bytes of the state machine's database",
        number(status.database_bytes()));
  Gauge(all, "quorate_disk_free_bytes", "Bytes free on the disk of the data directory",
        number(status.disk_free_bytes()));
  Gauge(all, "quorate_disk_full", "1 if there is too little room to take writes",
        status.disk_full() ? 1 : 0);
  Gauge(all, "quorate_disk_stuck",
        "1 if a write of the log has not completed for longer than an election timeout",
        status.disk_stuck() ? 1 : 0);
}

void AddSnapshots(Families& all, const wire::NodeStatus& status) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  Counter(all, "quorate_snapshots_taken_total", "Snapshots taken for other nodes and for backups",
          number(status.snapshots_taken()));
  Counter(all, "quorate_snapshots_installed_total",
          "Snapshots of other nodes that took the place of this node's state",
          number(status.snapshots_installed()));
  Gauge(all, "quorate_snapshot_kept_bytes", "Bytes of the snapshots kept for others to fetch",
        number(status.snapshot_kept_bytes()));
  Gauge(all, "quorate_snapshot_fetching", "1 while a snapshot is on its way to this node",
        status.has_snapshot() ? 1 : 0);
  Gauge(all, "quorate_snapshot_received_bytes",
        "Bytes of the snapshot on its way that are here; 0 if none is",
        number(status.snapshot().received_bytes()));
  Gauge(all, "quorate_snapshot_total_bytes", "Bytes of the snapshot on its way; 0 if none is",
        number(status.snapshot().total_bytes()));
}

void AddRaft(Families& all, const Metrics& metrics, const wire::NodeStatus& status) {
  MetricFamily& role =
      Family(all, "quorate_role", "1 for the role this node has now", MetricType::Gauge);
  for (const char* name : {"leader", "follower", "candidate", "pre-candidate"}) {
    AddGauge(role, status.role() == name ? 1 : 0, {{"role", name}});
  }
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  Gauge(all, "quorate_term", "Current term", number(status.term()));
  Gauge(all, "quorate_leader_id", "Node id of the leader, 0 if unknown", number(status.leader()));
  Gauge(all, "quorate_commit_index", "Highest index known committed", number(status.commit()));
  Gauge(all, "quorate_applied_index", "Highest index applied", number(status.applied()));
  Gauge(all, "quorate_durable_index", "Highest index on this node's disk",
        number(status.durable_index()));
  Gauge(all, "quorate_last_index", "Highest index in this node's log", number(status.last_index()));
  Gauge(all, "quorate_ready", "1 if the node answers ready at /readyz", status.ready() ? 1 : 0);
  Counter(all, "quorate_leader_changes_total", "Changes of leader that this node has seen",
          number(metrics.leader_changes));
  MetricFamily& lag =
      Family(all, "quorate_peer_lag_entries",
             "Entries a peer is behind the leader's log; on the leader only", MetricType::Gauge);
  for (const auto& peer : status.peers()) {
    if (!peer.state().empty())
      AddGauge(lag, number(peer.lag()), {{"peer", std::to_string(peer.id())}});
  }
}

void AddNetwork(Families& all, const Metrics& metrics, const wire::NodeStatus& status,
                const PeerQueues& peer_queues) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  MetricFamily& queued = Family(all, "quorate_peer_queued_bytes",
                                "Bytes waiting to be sent to a peer", MetricType::Gauge);
  for (const auto& [peer, bytes] : peer_queues) {
    AddGauge(queued, number(bytes), {{"peer", std::to_string(peer)}});
  }
  MetricFamily& connected =
      Family(all, "quorate_peer_connected", "1 if this node can send to a peer", MetricType::Gauge);
  for (const auto& peer : status.peers()) {
    AddGauge(connected, peer.connected() ? 1 : 0, {{"peer", std::to_string(peer.id())}});
  }
  Gauge(all, "quorate_connections", "Client connections open", number(status.connections()));
  Counter(all, "quorate_connections_accepted_total", "Client connections accepted",
          number(metrics.connections_accepted));
  Gauge(all, "quorate_client_queued_bytes", "Bytes waiting to be sent to clients",
        number(status.bytes_queued()));
  Gauge(all, "quorate_client_memory_bytes",
        "Bytes held for clients: incomplete frames, unanswered requests, unread answers",
        number(metrics.client_memory_bytes));
  Gauge(all, "quorate_client_memory_limit_bytes",
        "Over this, requests of clients are refused (--max-client-bytes)",
        number(metrics.client_memory_limit_bytes));
}

void AddSessions(Families& all, const Metrics& metrics, const wire::NodeStatus& status) {
  const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
  Gauge(all, "quorate_sessions", "Sessions open", number(status.sessions()));
  Gauge(all, "quorate_cluster_clock_seconds",
        "The clock that sessions end by, as of the last stamp applied",
        number(status.cluster_clock_us()) / kMicrosPerSecond);
  Counter(all, "quorate_repeated_writes_total",
          "Writes of sessions answered with what an earlier attempt had done",
          number(metrics.repeated_writes));
}

// The names every Prometheus client library uses.
void AddProcess(Families& all) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / kMicrosPerSecond;
  };
  Counter(all, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds",
          seconds(usage.ru_utime) + seconds(usage.ru_stime));
  std::ifstream statm("/proc/self/statm");
  double size = 0;
  double resident = 0;
  if (!(statm >> size >> resident)) return;
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  Gauge(all, "process_resident_memory_bytes", "Resident memory size in bytes", resident * page);
  Gauge(all, "process_virtual_memory_bytes", "Virtual memory size in bytes", size * page);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  Gauge(all, "process_max_fds", "Maximum number of open file descriptors",
        static_cast<double>(files.rlim_cur));
}

}  // namespace

const char* ToString(Operation operation) {
  switch (operation) {
    case Operation::kPut:
      return "put";
    case Operation::kDelete:
      return "delete";
    case Operation::kCompareAndSet:
      return "cas";
    case Operation::kIncrement:
      return "increment";
    case Operation::kAppend:
      return "append";
    case Operation::kTransaction:
      return "transaction";
    case Operation::kDeleteRange:
      return "delete_range";
    case Operation::kOpenSession:
      return "open_session";
    case Operation::kKeepSession:
      return "keep_session";
    case Operation::kCloseSession:
      return "close_session";
    case Operation::kGet:
      return "get";
    case Operation::kMultiGet:
      return "multi_get";
    case Operation::kScan:
      return "scan";
    case Operation::kStatus:
      return "status";
    case Operation::kSnapshot:
      return "snapshot";
    case Operation::kSnapshotRead:
      return "snapshot_read";
  }
  return "unknown";
}

const char* ToString(Level level) {
  switch (level) {
    case Level::kStrong:
      return "strong";
    case Level::kBounded:
      return "bounded";
    case Level::kSession:
      return "session";
    case Level::kEventual:
      return "eventual";
    case Level::kCommit:
      return "commit";
    case Level::kNone:
      return "none";
  }
  return "unknown";
}

std::string FormatMetrics(const Metrics& metrics, const wire::NodeStatus& status,
                          const PeerQueues& peer_queues) {
  Families all;
  all.reserve(128);  // Family() hands out references
  AddRequests(all, metrics);
  AddReads(all, metrics);
  AddStorage(all, metrics);
  AddDisk(all, status);
  AddSnapshots(all, status);
  AddRaft(all, metrics, status);
  AddSessions(all, metrics, status);
  AddNetwork(all, metrics, status, peer_queues);
  AddProcess(all);
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace quorate::server
