#include "tests/sim/network.h"

#include <algorithm>
#include <variant>

#include "raft/format.h"

namespace quorate::sim {
namespace {

std::uint64_t Digest(const server::SnapshotMessage& message) {
  std::uint64_t hash = message.index();
  const auto add = [&hash](std::uint64_t value) { hash = Mix(hash ^ value); };
  std::visit(
      [&add](const auto& body) {
        add(body.snapshot);
        add(body.file);
        add(body.offset);
      },
      message);
  return hash;
}

std::string ToText(const server::SnapshotMessage& message, raft::NodeId to) {
  std::string text = "to " + std::to_string(to);
  text += std::holds_alternative<server::SnapshotRequest>(message) ? " snapshot-request file "
                                                                   : " snapshot-reply file ";
  std::visit(
      [&text](const auto& body) {
        text += std::to_string(body.file);
        text += " at " + std::to_string(body.offset);
      },
      message);
  const auto* reply = std::get_if<server::SnapshotReply>(&message);
  if (reply != nullptr && reply->gone) text += " gone";
  return text;
}

}  // namespace

Network::Lane Network::LaneOf(const raft::Message& message) {
  const bool append = std::holds_alternative<raft::Append>(message.body) ||
                      std::holds_alternative<raft::AppendReply>(message.body);
  return append ? Lane::kAppend : Lane::kControl;
}

void Network::BecomePerfect() {
  HealAll();
  plan_.loss = plan_.duplicate = plan_.straggle = 0;
}

void Network::Send(raft::Message message) {
  Carry(
      {message.from, message.to, LaneOf(message)}, sim::Digest(message),
      [&message] { return raft::ToString(message); }, [this, message] { deliver_(message); });
}

void Network::SendSnapshot(raft::NodeId from, raft::NodeId to, server::SnapshotMessage message) {
  Carry(
      {from, to, Lane::kSnapshot}, Digest(message), [&message, to] { return ToText(message, to); },
      [this, from, to, message] { deliver_snapshot_(from, to, message); });
}

void Network::Carry(const Route& route, std::uint64_t digest,
                    const std::function<std::string()>& text, const std::function<void()>& arrive) {
  if (IsCut(route.from, route.to) || random_.Chance(plan_.loss)) {
    trace_.Event(events_.now(), route.from, "lose", {digest}, text);
    return;
  }
  trace_.Event(events_.now(), route.from, "send", {digest}, text);
  if (random_.Chance(plan_.duplicate)) {
    Schedule(random_.Between(plan_.delay_min, plan_.delay_max * 4), route, arrive);
  }
  SimTime delay = random_.Between(plan_.delay_min, plan_.delay_max);
  if (random_.Chance(plan_.straggle)) delay += random_.Between(SimTime{0}, plan_.straggle_max);
  Schedule(delay, route, arrive);
}

void Network::Schedule(SimTime delay, const Route& route, std::function<void()> arrive) {
  SimTime arrival = events_.now() + delay;
  if (plan_.ordered_lanes) {
    SimTime& busy = lane_busy_until_[route];
    arrival = busy = std::max(busy, arrival);
  }
  events_.At(arrival, [this, route, arrive = std::move(arrive)] {
    if (!IsCut(route.from, route.to)) arrive();
  });
}

}  // namespace quorate::sim
