#include "tests/sim/network.h"

#include <algorithm>
#include <tuple>
#include <variant>

#include "raft/format.h"

namespace quorate::sim {
namespace {

bool OnAppendLane(const raft::Message& message) {
  return std::holds_alternative<raft::Append>(message.body) ||
         std::holds_alternative<raft::AppendReply>(message.body);
}

}  // namespace

void Network::BecomePerfect() {
  HealAll();
  plan_.loss = plan_.duplicate = plan_.straggle = 0;
}

void Network::Send(raft::Message message) {
  const auto text = [&message] { return raft::ToString(message); };
  if (IsCut(message.from, message.to) || random_.Chance(plan_.loss)) {
    trace_.Event(events_.now(), message.from, "lose", {Digest(message)}, text);
    return;
  }
  trace_.Event(events_.now(), message.from, "send", {Digest(message)}, text);
  if (random_.Chance(plan_.duplicate)) {
    Schedule(random_.Between(plan_.delay_min, plan_.delay_max * 4), message);
  }
  SimTime delay = random_.Between(plan_.delay_min, plan_.delay_max);
  if (random_.Chance(plan_.straggle)) delay += random_.Between(SimTime{0}, plan_.straggle_max);
  Schedule(delay, std::move(message));
}

void Network::Schedule(SimTime delay, raft::Message message) {
  SimTime arrival = events_.now() + delay;
  if (plan_.ordered_lanes) {
    SimTime& busy = lane_busy_until_[{message.from, message.to, OnAppendLane(message)}];
    arrival = busy = std::max(busy, arrival);
  }
  events_.At(arrival, [this, message = std::move(message)]() mutable {
    if (IsCut(message.from, message.to)) return;
    deliver_(std::move(message));
  });
}

}  // namespace quorate::sim
