// The nodes a client knows, which of them leads, and which of them are worth asking just now.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "client/call.h"
#include "client/connection.h"

namespace quorate::internal {

struct Node {
  std::string address;
  std::size_t position = 0;                // in the table; never changes
  std::uint64_t id = 0;                    // 0: not known yet
  std::shared_ptr<Connection> connection;  // null: not dialled
  int dial_failures = 0;                   // in a row
  TimePoint retry_at{};                    // not dialled before
  TimePoint suspect_until{};               // silent, or going away: asked only for want of others
  Breakage trouble{.code = ErrorCode::kCannotConnect, .text = {}};  // the last; empty text: none

  std::uint64_t bit() const { return std::uint64_t{1} << position; }
  bool down() const { return connection == nullptr && dial_failures > 0; }
};

class NodeTable {
 public:
  NodeTable(const std::vector<std::string>& endpoints, std::uint64_t seed);

  const std::vector<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  Node* leader() const { return leader_; }

  // What a node said about another. Null: nothing that can be dialled, or too many nodes already.
  Node* Learn(std::uint64_t id, std::string_view address);
  Node* FindId(std::uint64_t id) const;
  Node* FindOrAddAddress(std::string_view address);
  Node* FindConnection(const Connection& connection) const;

  void SetLeader(Node* node) { leader_ = node; }
  // It is not, or no longer, the leader, or cannot be asked.
  void NotLeader(const Node& node);
  void Suspect(Node& node, TimePoint until);

  // Whom to ask, but none of `avoid` (Node::bit()); `after` was asked last. Null: every other node
  // is waiting for its next dial.
  Node* Choose(bool wants_leader, const Node* after, TimePoint now, std::uint64_t avoid);
  bool Usable(const Node& node, TimePoint now) const;
  // When the first of the nodes may be dialled again.
  TimePoint NextDial() const;

  void DialFailed(Node& node, Breakage breakage, TimePoint now);

  // No node is connected, and all have refused: waiting for them is hopeless. Silent ones may yet
  // wake up.
  bool AllRefuse() const;
  bool AnyReady() const;
  // "127.0.0.1:7001 unreachable (Connection refused), node 2 knows no leader"
  std::string Troubles() const;
  // What stops all nodes; kCannotConnect unless one of them says something more telling (another
  // cluster).
  ErrorCode WorstCode() const;

 private:
  Node* Rotate(const Node* after, TimePoint now, std::uint64_t avoid, bool suspects);
  Node* Add(std::string_view address);

  static constexpr std::size_t kMaxNodes = 64;  // the bits of Node::bit()

  std::vector<std::unique_ptr<Node>> nodes_;
  Node* leader_ = nullptr;
  std::size_t first_choice_ = 0;  // where reads that any node may answer go
  std::minstd_rand random_;
};

std::chrono::milliseconds BackOff(std::chrono::milliseconds first, std::chrono::milliseconds most,
                                  int failures, std::minstd_rand& random);

}  // namespace quorate::internal
