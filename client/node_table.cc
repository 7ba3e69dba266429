#include "client/node_table.h"

#include <algorithm>
#include <utility>

namespace quorate::internal {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds kFirstRedial{20};
constexpr milliseconds kMostRedial{200};
}  // namespace

milliseconds BackOff(milliseconds first, milliseconds most, int failures,
                     std::minstd_rand& random) {
  const int doublings = std::min(failures > 0 ? failures - 1 : 0, 16);
  const milliseconds full = std::min(most, first * (1 << doublings));
  // Half of it at random, so that clients that failed together do not come back together.
  const auto half = full.count() / 2;
  return milliseconds(half + std::uniform_int_distribution<std::int64_t>(0, half)(random));
}

NodeTable::NodeTable(const std::vector<std::string>& endpoints, std::uint64_t seed)
    : random_(static_cast<std::minstd_rand::result_type>(seed)) {
  for (const std::string& endpoint : endpoints) FindOrAddAddress(endpoint);
  if (!nodes_.empty()) first_choice_ = random_() % nodes_.size();
}

Node* NodeTable::Add(std::string_view address) {
  if (nodes_.size() >= kMaxNodes) return nullptr;
  nodes_.push_back(std::make_unique<Node>());
  nodes_.back()->address = address;
  nodes_.back()->position = nodes_.size() - 1;
  return nodes_.back().get();
}

Node* NodeTable::FindId(std::uint64_t id) const {
  // One node may be known by two addresses, of which one works.
  Node* found = nullptr;
  for (const auto& node : nodes_) {
    if (node->id == id && (found == nullptr || found->down())) found = node.get();
  }
  return found;
}

Node* NodeTable::FindOrAddAddress(std::string_view address) {
  for (const auto& node : nodes_) {
    if (node->address == address) return node.get();
  }
  return Add(address);
}

Node* NodeTable::FindConnection(const Connection& connection) const {
  for (const auto& node : nodes_) {
    if (node->connection.get() == &connection) return node.get();
  }
  return nullptr;
}

Node* NodeTable::Learn(std::uint64_t id, std::string_view address) {
  if (id == 0) return nullptr;
  // The address that reached a node is better than the one others know it by.
  if (Node* known = FindId(id); known != nullptr && !known->down()) return known;
  if (address.empty()) return FindId(id);
  Node* node = FindOrAddAddress(address);
  if (node != nullptr && node->id == 0) node->id = id;
  return node;
}

void NodeTable::NotLeader(const Node& node) {
  if (leader_ == &node) leader_ = nullptr;
}

void NodeTable::Suspect(Node& node, TimePoint until) {
  node.suspect_until = until;
  NotLeader(node);
}

bool NodeTable::Usable(const Node& node, TimePoint now) const {
  return node.suspect_until <= now && (node.connection != nullptr || node.retry_at <= now);
}

Node* NodeTable::Rotate(const Node* after, TimePoint now, std::uint64_t avoid, bool suspects) {
  std::size_t start = first_choice_;
  for (std::size_t i = 0; after != nullptr && i < nodes_.size(); ++i) {
    if (nodes_[i].get() == after) start = i + 1;
  }
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = *nodes_[(start + i) % nodes_.size()];
    const bool dialable = node.connection != nullptr || node.retry_at <= now;
    if ((avoid & node.bit()) != 0) continue;
    if (dialable && (suspects || node.suspect_until <= now)) return &node;
  }
  return nullptr;
}

Node* NodeTable::Choose(bool wants_leader, const Node* after, TimePoint now, std::uint64_t avoid) {
  if (wants_leader && leader_ != nullptr && (avoid & leader_->bit()) == 0 &&
      Usable(*leader_, now)) {
    return leader_;
  }
  Node* node = Rotate(after, now, avoid, false);
  if (node == nullptr) node = Rotate(after, now, avoid, true);
  if (!wants_leader && node != nullptr) {
    while (nodes_[first_choice_].get() != node) first_choice_ = (first_choice_ + 1) % nodes_.size();
  }
  return node;
}

TimePoint NodeTable::NextDial() const {
  TimePoint next = TimePoint::max();
  for (const auto& node : nodes_) next = std::min(next, node->retry_at);
  return next;
}

void NodeTable::DialFailed(Node& node, Breakage breakage, TimePoint now) {
  ++node.dial_failures;
  node.retry_at = now + BackOff(kFirstRedial, kMostRedial, node.dial_failures, random_);
  node.trouble = std::move(breakage);
  NotLeader(node);
}

bool NodeTable::AllRefuse() const {
  return std::ranges::all_of(nodes_, [](const auto& node) {
    return node->down() && node->trouble.code != ErrorCode::kDeadline;
  });
}

bool NodeTable::AnyReady() const {
  return std::ranges::any_of(nodes_, [](const auto& node) {
    return node->connection != nullptr && node->connection->ready();
  });
}

std::string NodeTable::Troubles() const {
  std::string all;
  for (const auto& node : nodes_) {
    const bool dialling = node->connection != nullptr && !node->connection->ready();
    if (node->trouble.text.empty() && !dialling) continue;
    if (!all.empty()) all += ", ";
    if (node->id != 0) {
      all += "node " + std::to_string(node->id) + " ";
      if (node->connection == nullptr || dialling) all += "(" + node->address + ") ";
    } else {
      all += node->address + " ";
    }
    all += node->trouble.text.empty() ? "has not answered yet" : node->trouble.text;
  }
  return all;
}

ErrorCode NodeTable::WorstCode() const {
  for (const auto& node : nodes_) {
    if (node->trouble.code != ErrorCode::kCannotConnect &&
        node->trouble.code != ErrorCode::kConnectionLost && !node->trouble.text.empty()) {
      return node->trouble.code;
    }
  }
  return ErrorCode::kCannotConnect;
}

}  // namespace quorate::internal
