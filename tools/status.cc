// status: every node that can be found, and whether a majority knows a leader.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/use_future.hpp>
#include <cstdio>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

struct NodeReport {
  std::uint64_t id = 0;
  std::string address;
  Result<NodeStatus> status;
};

// Asks all at once: an unreachable node must not hold up the others.
std::vector<NodeReport> Ask(Client& client, const std::vector<Member>& members) {
  std::vector<std::future<Result<NodeStatus>>> replies;
  for (const Member& member : members) {
    replies.push_back(client.AsyncStatus(member.address, {}, boost::asio::use_future));
  }
  std::vector<NodeReport> reports;
  for (std::size_t i = 0; i < members.size(); ++i) {
    Result<NodeStatus> status = replies[i].get();
    const std::uint64_t id = status ? status->id : members[i].id;
    reports.push_back({.id = id, .address = members[i].address, .status = std::move(status)});
  }
  return reports;
}

// The endpoints, then the nodes that these have named.
std::vector<NodeReport> AskEverybody(Client& client, const std::vector<std::string>& endpoints) {
  std::vector<Member> members;
  for (const std::string& endpoint : endpoints) {
    const bool twice = std::ranges::any_of(
        members, [&](const Member& member) { return member.address == endpoint; });
    if (!twice) members.push_back({.address = endpoint});
  }
  std::vector<NodeReport> reports = Ask(client, members);
  std::set<std::uint64_t> ids;
  std::set<std::string> addresses;
  for (const NodeReport& report : reports) {
    ids.insert(report.id);
    addresses.insert(report.address);
  }
  std::vector<Member> learned;
  std::vector<Member> known = client.Members();
  for (Member& member : known) {
    if (addresses.contains(member.address)) {
      for (NodeReport& report : reports) {
        if (report.address == member.address && report.id == 0) report.id = member.id;
      }
    } else if (!ids.contains(member.id)) {
      learned.push_back(std::move(member));
    }
  }
  for (NodeReport& report : Ask(client, learned)) reports.push_back(std::move(report));
  // Two addresses of one node are one node: the one that works stays.
  std::ranges::stable_sort(reports, {}, [](const NodeReport& report) {
    return std::pair(report.id == 0 ? ~std::uint64_t{0} : report.id, !report.status.has_value());
  });
  const auto same = [](const NodeReport& a, const NodeReport& b) {
    return a.id != 0 && a.id == b.id;
  };
  const auto duplicates = std::ranges::unique(reports, same);
  reports.erase(duplicates.begin(), duplicates.end());
  return reports;
}

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
  json["age_ms"] = status.age ? Json(static_cast<double>(status.age->count()) / 1000) : Json();
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

std::string Age(const NodeStatus& status) {
  if (!status.age) return "-";
  return std::to_string((status.age->count() + 999) / 1000) + "ms";
}

void PrintTable(const std::vector<NodeReport>& reports,
                const std::map<std::uint64_t, std::uint64_t>& lags) {
  std::printf("%4s  %-13s %6s %6s %10s %10s %6s %7s %7s  %-8s %s\n", "ID", "ROLE", "TERM", "LEADER",
              "COMMIT", "APPLIED", "LAG", "AGE", "UPTIME", "VERSION", "ADDRESS");
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
    std::printf("%4s  %s%-13s%s %6lu %6s %10lu %10lu %6lu %7s %7s  %-8s %s%s%s\n", id.c_str(),
                leads ? Colour(STDOUT_FILENO, "32").c_str() : "", status.role.c_str(),
                leads ? NoColour(STDOUT_FILENO).c_str() : "", status.term, leader.c_str(),
                status.commit, status.applied, lags.at(report.id), Age(status).c_str(),
                Uptime(status.uptime).c_str(), status.version.c_str(), report.address.c_str(),
                status.ready ? "" : "  not ready: ", status.not_ready_reason.c_str());
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
      "AGE bounds how old an answer from that node alone could be; LAG is how many committed "
      "entries it has not "
      "applied.\nExamples:\n  quorate status\n  quorate --json status | jq 'select(.role == "
      "\"leader\")'\n"
      "Exit: 0 if a majority knows a leader, 5 if not, 6 if no node answers.");
  return {.app = status,
          .run = [](const Settings& settings, Interrupt&) { return Status(settings); }};
}

}  // namespace quorate::tools
