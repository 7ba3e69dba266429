#include "tools/nodes.h"

#include <algorithm>
#include <boost/asio/use_future.hpp>
#include <future>
#include <set>
#include <utility>

namespace quorate::tools {
namespace {

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

}  // namespace

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

}  // namespace quorate::tools
