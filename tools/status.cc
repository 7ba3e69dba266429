// status: every node that can be found, and whether a majority knows a leader.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/nodes.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

// How many entries the leader has that a node has not applied.
std::map<std::uint64_t, std::uint64_t> LagByNode(const std::vector<NodeReport>& reports) {
  std::map<std::uint64_t, std::uint64_t> lags;
  std::uint64_t commit = 0;
  for (const NodeReport& report : reports) {
    if (report.status) commit = std::max(commit, report.status->commit);
  }
  for (const NodeReport& report : reports) {
    if (report.status) lags[report.id] = commit - std::min(commit, report.status->applied);
  }
  return lags;
}

Json PeersJson(const NodeStatus& status) {
  Json peers = Json::array();
  for (const PeerStatus& peer : status.peers) {
    Json json;
    json["id"] = peer.id;
    json["address"] = peer.address;
    json["connected"] = peer.connected;
    json["met"] = peer.met;
    if (status.role == "leader") {
      json["match"] = peer.match;
      json["lag"] = peer.lag;
      json["in_flight_bytes"] = peer.in_flight_bytes;
      json["state"] = peer.state;
    }
    peers.push_back(std::move(json));
  }
  return peers;
}

Json ToJson(const SnapshotFetch& fetch) {
  Json json;
  json["from"] = fetch.from;
  json["index"] = fetch.index;
  json["received_bytes"] = fetch.received_bytes;
  json["total_bytes"] = fetch.total_bytes;
  json["bytes_per_second"] = fetch.bytes_per_second;
  json["seconds_left"] = fetch.left ? Json(fetch.left->count()) : Json();
  json["verifying"] = fetch.verifying;
  return json;
}

void AddDisk(Json& json, const DiskStatus& disk) {
  json["log_first_index"] = disk.log_first_index;
  json["log_bytes"] = disk.log_bytes;
  json["log_segments"] = disk.log_segments;
  json["log_unflushed_bytes"] = disk.log_unflushed_bytes;
  json["database_bytes"] = disk.database_bytes;
  json["flushed_index"] = disk.flushed_index;
  json["disk_free_bytes"] = disk.free_bytes;
  json["disk_full"] = disk.full;
  if (disk.full) json["disk_full_reason"] = disk.full_reason;
  json["disk_stuck"] = disk.stuck;
  json["snapshot_kept_bytes"] = disk.snapshot_kept_bytes;
}

Json ToJson(const std::optional<std::chrono::microseconds>& time) {
  return time ? Json(static_cast<double>(time->count()) / 1000) : Json();
}

Json ToJson(const NodeReport& report, std::uint64_t lag) {
  Json json;
  json["id"] = report.id != 0 ? Json(report.id) : Json();
  json["address"] = report.address;
  json["reachable"] = report.status.has_value();
  if (!report.status) {
    json["error"] = quorate::tools::ToJson(report.status.error());
    return json;
  }
  const NodeStatus& status = *report.status;
  json["role"] = status.role;
  json["term"] = status.term;
  json["leader"] = status.leader != 0 ? Json(status.leader) : Json();
  json["commit"] = status.commit;
  json["applied"] = status.applied;
  json["lag"] = lag;
  json["age_ms"] = ToJson(status.age);
  json["local_bound_ms"] = ToJson(status.local_bound);
  json["typical_confirm_ms"] = status.typical_confirmation.count() > 0
                                   ? ToJson(std::optional(status.typical_confirmation))
                                   : Json();
  json["sessions"] = status.sessions;
  json["cluster_clock_ms"] = status.cluster_clock.count() / 1000;
  json["last_index"] = status.last_index;
  json["durable_index"] = status.durable_index;
  json["cluster_id"] = status.cluster_id;
  json["incarnation"] = status.incarnation;
  json["connections"] = status.connections;
  json["bytes_queued"] = status.bytes_queued;
  json["uptime_ms"] = status.uptime.count();
  json["version"] = status.version;
  json["ready"] = status.ready;
  if (!status.ready) json["not_ready_reason"] = status.not_ready_reason;
  AddDisk(json, status.disk);
  json["snapshots_taken"] = status.snapshots_taken;
  json["snapshots_installed"] = status.snapshots_installed;
  json["log_cuts"] = status.log_cuts;
  if (status.snapshot) json["snapshot"] = ToJson(*status.snapshot);
  json["peers"] = PeersJson(status);
  return json;
}

std::string Uptime(std::chrono::milliseconds uptime) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(uptime).count();
  if (seconds < 120) return std::to_string(seconds) + "s";
  if (seconds < 7200) return std::to_string(seconds / 60) + "m";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + "h";
  return std::to_string(seconds / 86'400) + "d";
}

// Rounded up: a bound must not shrink on its way to the reader.
std::string Age(const std::optional<std::chrono::microseconds>& age) {
  if (!age) return "-";
  return std::to_string((age->count() + 999) / 1000) + "ms";
}

std::string Confirmation(const NodeStatus& status) {
  if (status.typical_confirmation.count() == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.1fms",
                static_cast<double>(status.typical_confirmation.count()) / 1000);
  return text;
}

// What a node is about that its line has no room for, and that somebody should know.
void PrintNotes(const NodeStatus& status) {
  const auto note = [](const char* colour, const std::string& text) {
    std::printf("      %s%s%s\n", Colour(STDOUT_FILENO, colour).c_str(), text.c_str(),
                NoColour(STDOUT_FILENO).c_str());
  };
  if (status.disk.full) note("31", "disk full, no writes are taken: " + status.disk.full_reason);
  if (status.disk.stuck) note("31", "disk stuck: a write of the log does not complete");
  if (status.snapshot) note("33", Describe(*status.snapshot));
}

void PrintTable(const std::vector<NodeReport>& reports,
                const std::map<std::uint64_t, std::uint64_t>& lags) {
  std::printf("%4s  %-13s %6s %6s %10s %10s %6s %7s %7s %8s %6s %6s %6s %7s  %-8s %s\n", "ID",
              "ROLE", "TERM", "LEADER", "COMMIT", "APPLIED", "LAG", "AGE", "BOUND", "CONFIRM",
              "LOG", "DATA", "FREE", "UPTIME", "VERSION", "ADDRESS");
  for (const NodeReport& report : reports) {
    const std::string id = report.id != 0 ? std::to_string(report.id) : "?";
    if (!report.status) {
      std::printf("%4s  %sunreachable%s   %s: %s\n", id.c_str(),
                  Colour(STDOUT_FILENO, "31").c_str(), NoColour(STDOUT_FILENO).c_str(),
                  report.address.c_str(), report.status.error().detail.c_str());
      continue;
    }
    const NodeStatus& status = *report.status;
    const bool leads = status.role == "leader";
    const std::string leader = status.leader != 0 ? std::to_string(status.leader) : "-";
    std::printf(
        "%4s  %s%-13s%s %6lu %6s %10lu %10lu %6lu %7s %7s %8s %6s %6s %6s %7s  %-8s %s%s%s\n",
        id.c_str(), leads ? Colour(STDOUT_FILENO, "32").c_str() : "", status.role.c_str(),
        leads ? NoColour(STDOUT_FILENO).c_str() : "", status.term, leader.c_str(), status.commit,
        status.applied, lags.at(report.id), Age(status.age).c_str(),
        Age(status.local_bound).c_str(), Confirmation(status).c_str(),
        Bytes(status.disk.log_bytes).c_str(), Bytes(status.disk.database_bytes).c_str(),
        Bytes(status.disk.free_bytes).c_str(), Uptime(status.uptime).c_str(),
        status.version.c_str(), report.address.c_str(),
        status.ready ? "" : "  not ready: ", status.not_ready_reason.c_str());
    PrintNotes(status);
  }
}

// A majority of all that are known of must name the same leader.
ExitCode Verdict(const Settings& settings, const std::vector<NodeReport>& reports) {
  std::set<std::uint64_t> ids;
  std::map<std::uint64_t, std::size_t> votes;
  std::size_t reachable = 0;
  for (const NodeReport& report : reports) {
    if (report.id != 0) ids.insert(report.id);
    if (!report.status) continue;
    ++reachable;
    for (const PeerStatus& peer : report.status->peers) ids.insert(peer.id);
    if (report.status->leader != 0) ++votes[report.status->leader];
  }
  const std::size_t nodes = std::max(ids.size(), reports.size());
  if (reachable == 0) {
    if (!settings.json) PrintError("no node can be reached");
    return kExitCannotConnect;
  }
  const bool known =
      std::ranges::any_of(votes, [nodes](const auto& vote) { return 2 * vote.second > nodes; });
  if (known) return kExitOk;
  if (!settings.json) {
    PrintError("no leader is known to a majority of the " + std::to_string(nodes) + " nodes");
  }
  return kExitRefused;
}

ExitCode Status(const Settings& settings) {
  Client client(settings.client_options());
  std::vector<NodeReport> reports = AskEverybody(client, settings.endpoints);
  if (settings.node != 0) {
    std::erase_if(reports, [&](const NodeReport& r) { return r.id != settings.node; });
    if (reports.empty()) {
      PrintError("no node that answers knows of a node " + std::to_string(settings.node));
      return kExitCannotConnect;
    }
  }
  const auto lags = LagByNode(reports);
  if (settings.json) {
    for (const NodeReport& report : reports) {
      const auto lag = lags.find(report.id);
      PrintJson(ToJson(report, lag != lags.end() ? lag->second : 0));
    }
  } else {
    PrintTable(reports, lags);
    std::fflush(stdout);
  }
  if (settings.node != 0) return reports.front().status ? kExitOk : kExitCannotConnect;
  return Verdict(settings, reports);
}

}  // namespace

Command AddStatus(CLI::App& app) {
  CLI::App* status = app.add_subcommand("status", "Show every node: role, term, indexes, age");
  status->footer(
      "AGE bounds how old an answer from that node alone could be now, BOUND how old at any moment "
      "of the last\nten seconds: no smaller --read bounded: is always served without a leader, "
      "whose CONFIRM takes so long there;\nLAG is how many committed entries it has not "
      "applied; LOG, DATA and FREE are bytes on its disk.\nExamples:\n  quorate status\n  quorate "
      "--json status | jq 'select(.role == "
      "\"leader\")'\n"
      "Exit: 0 if a majority knows a leader, 5 if not, 6 if no node answers.");
  return {.app = status,
          .run = [](const Settings& settings, Interrupt&) { return Status(settings); }};
}

}  // namespace quorate::tools
