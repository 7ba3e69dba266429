#include "src/status.h"

#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>

#include "raft/format.h"
#include "src/peer_transport.h"
#include "src/replica.h"
#include "src/service.h"

namespace quorate::server {
namespace {

// Why the node would answer 503 at /readyz; empty if it is ready.
std::string NotReady(const Replica& replica, raft::Time now) {
  const raft::Raft& core = replica.core();
  if (core.leader() == raft::kNoNode) {
    return "no leader is known: an election is under way, or a majority is out of reach";
  }
  if (core.DiskStuck(now)) return "the log's disk has not completed a write for too long";
  if (!core.configuration().AllMembersMet()) {
    std::string missing;
    for (const raft::Member& member : core.configuration().members) {
      if (member.uuid.empty()) missing += " " + std::to_string(member.id);
    }
    return "members that no leader has met yet:" + missing;
  }
  if (!core.configuration().established) {
    return "not every member has yet written down who the others are";
  }
  if (core.role() == raft::Role::kLeader) {
    return core.last_confirmed() ? "" : "this node leads and no majority has confirmed it yet";
  }
  const auto freshness = core.freshness();
  if (!freshness) return "nothing has been heard yet that says how fresh this node is";
  const raft::Index applied = replica.state().applied().index;
  if (applied < freshness->index) {
    return fmt::format("catching up: applied {} of {}", applied, freshness->index);
  }
  return "";
}

void AddPeers(const StatusSources& from, wire::NodeStatus& status) {
  const raft::Raft& core = from.replica.core();
  for (const raft::Member& member : core.configuration().members) {
    if (member.id == core.id()) continue;
    wire::PeerStatus& peer = *status.add_peers();
    peer.set_id(member.id);
    peer.set_address(member.address);
    peer.set_connected(from.transport.Connected(member.id));
    peer.set_met(!member.uuid.empty());
    if (core.role() != raft::Role::kLeader) continue;
    const auto progress = core.progress().find(member.id);
    if (progress == core.progress().end()) continue;
    peer.set_match(progress->second.match);
    peer.set_lag(core.log().last() - std::min(core.log().last(), progress->second.match));
    peer.set_in_flight_bytes(progress->second.inflight_bytes);
    peer.set_state(raft::ToString(progress->second.state));
  }
}

void AddDisk(const Replica& replica, raft::Time now, wire::NodeStatus& status) {
  const DiskUse& use = replica.disk_use();
  status.set_log_first_index(use.log.first);
  status.set_log_bytes(use.log.disk_bytes);
  status.set_log_segments(use.log.segments);
  status.set_log_unflushed_bytes(use.log_bytes_unflushed);
  status.set_database_bytes(use.database_bytes);
  status.set_flushed_index(use.flushed);
  status.set_disk_free_bytes(use.free_bytes);
  status.set_disk_full(!use.full.empty());
  status.set_disk_full_reason(use.full);
  status.set_disk_stuck(replica.core().DiskStuck(now));
  status.set_snapshot_kept_bytes(use.snapshot_bytes);
  status.set_snapshots_taken(replica.counters().snapshots_taken);
  status.set_snapshots_installed(replica.counters().snapshots_installed);
  status.set_log_cuts(replica.counters().log_cuts);
}

void AddFetch(const SnapshotProgress& progress, wire::SnapshotFetch& fetch) {
  fetch.set_from(progress.from);
  fetch.set_index(progress.position.index);
  fetch.set_received_bytes(progress.received);
  fetch.set_total_bytes(progress.total);
  fetch.set_bytes_per_second(progress.rate);
  fetch.set_verifying(progress.verifying);
  if (progress.rate == 0 || progress.total == 0) return;
  const std::uint64_t left = progress.total - std::min(progress.total, progress.received);
  fetch.set_seconds_left((left + progress.rate - 1) / progress.rate);
}

nlohmann::ordered_json ToJson(const wire::SnapshotFetch& fetch) {
  nlohmann::ordered_json json = {
      {"from", fetch.from()},
      {"index", fetch.index()},
      {"received_bytes", fetch.received_bytes()},
      {"total_bytes", fetch.total_bytes()},
      {"bytes_per_second", fetch.bytes_per_second()},
      {"seconds_left", nullptr},
      {"verifying", fetch.verifying()},
  };
  if (fetch.has_seconds_left()) json["seconds_left"] = fetch.seconds_left();
  return json;
}

nlohmann::ordered_json ToJson(const wire::PeerStatus& peer) {
  nlohmann::ordered_json json = {{"id", peer.id()},
                                 {"address", peer.address()},
                                 {"connected", peer.connected()},
                                 {"met", peer.met()}};
  if (peer.state().empty()) return json;
  json["match"] = peer.match();
  json["lag"] = peer.lag();
  json["in_flight_bytes"] = peer.in_flight_bytes();
  json["state"] = peer.state();
  return json;
}

}  // namespace

wire::NodeStatus BuildStatus(const StatusSources& from, raft::Time now) {
  const raft::Raft& core = from.replica.core();
  const raft::Index applied = from.replica.state().applied().index;
  wire::NodeStatus status;
  status.set_id(core.id());
  status.set_role(raft::ToString(core.role()));
  status.set_term(core.term());
  status.set_leader(core.leader());
  status.set_commit(core.commit());
  status.set_applied(applied);
  status.set_last_index(core.log().last());
  status.set_durable_index(core.durable());
  const ReadPath& reads = from.replica.reads();
  if (const auto age = reads.AgeAt(applied, now)) {
    status.set_age_us(static_cast<std::uint64_t>(age->count()));
  }
  if (const auto bound = reads.LocalBound(applied, now)) {
    status.set_local_bound_us(static_cast<std::uint64_t>(bound->count()));
  }
  status.set_typical_confirm_us(static_cast<std::uint64_t>(reads.typical_confirm().count()));
  status.set_cluster_id(from.cluster_id);
  status.set_incarnation(core.configuration().incarnation);
  status.set_connections(from.service.connections());
  status.set_bytes_queued(from.service.queued_bytes());
  status.set_uptime_ms(static_cast<std::uint64_t>((now - from.started).count() / 1000));
  status.set_version(QUORATE_VERSION);
  status.set_not_ready_reason(NotReady(from.replica, now));
  status.set_ready(status.not_ready_reason().empty());
  AddDisk(from.replica, now, status);
  if (const auto progress = from.replica.fetching())
    AddFetch(*progress, *status.mutable_snapshot());
  AddPeers(from, status);
  const storage::SessionStats sessions = from.replica.state().sessions();
  status.set_sessions(sessions.open);
  status.set_cluster_clock_us(sessions.clock_us);
  return status;
}

std::string ToJson(const wire::NodeStatus& status) {
  nlohmann::ordered_json json = {
      {"id", status.id()},
      {"role", status.role()},
      {"term", status.term()},
      {"leader", status.leader()},
      {"commit", status.commit()},
      {"applied", status.applied()},
      {"last_index", status.last_index()},
      {"durable_index", status.durable_index()},
      {"age_us", nullptr},
      {"local_bound_us", nullptr},
      {"typical_confirm_us", status.typical_confirm_us()},
      {"cluster_id", fmt::format("{:016x}", status.cluster_id())},
      {"incarnation", fmt::format("{:016x}", status.incarnation())},
      {"connections", status.connections()},
      {"bytes_queued", status.bytes_queued()},
      {"uptime_ms", status.uptime_ms()},
      {"version", status.version()},
      {"ready", status.ready()},
      {"not_ready_reason", status.not_ready_reason()},
      {"log_first_index", status.log_first_index()},
      {"log_bytes", status.log_bytes()},
      {"log_segments", status.log_segments()},
      {"log_unflushed_bytes", status.log_unflushed_bytes()},
      {"database_bytes", status.database_bytes()},
      {"flushed_index", status.flushed_index()},
      {"disk_free_bytes", status.disk_free_bytes()},
      {"disk_full", status.disk_full()},
      {"disk_full_reason", status.disk_full_reason()},
      {"disk_stuck", status.disk_stuck()},
      {"snapshot_kept_bytes", status.snapshot_kept_bytes()},
      {"snapshots_taken", status.snapshots_taken()},
      {"snapshots_installed", status.snapshots_installed()},
      {"log_cuts", status.log_cuts()},
      {"sessions", status.sessions()},
      {"cluster_clock_us", status.cluster_clock_us()},
      {"peers", nlohmann::ordered_json::array()},
  };
  if (status.has_snapshot()) json["snapshot"] = ToJson(status.snapshot());
  if (status.has_age_us()) json["age_us"] = status.age_us();
  if (status.has_local_bound_us()) json["local_bound_us"] = status.local_bound_us();
  for (const wire::PeerStatus& peer : status.peers()) json["peers"].push_back(ToJson(peer));
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace quorate::server
