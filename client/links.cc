// The connections of a client: dialled, lost, and what that means for the calls on them.
#include <utility>

#include "client/core.h"
#include "client/errors.h"

namespace quorate::internal {

void Core::Dial(Node& node) {
  node.connection =
      std::make_shared<Connection>(loop_, *this, weak_from_this(),
                                   Connection::Settings{.address = node.address,
                                                        .serial = next_serial_++,
                                                        .cluster_id = cluster_id_,
                                                        .client_name = options_.name,
                                                        .dial_timeout = options_.dial_timeout});
  node.connection->Dial();
}

std::optional<Breakage> Core::OnHello(Connection& connection, const wire::HelloReply& hello) {
  if (cluster_id_ != 0 && hello.cluster_id() != cluster_id_) {
    return Breakage{.code = ErrorCode::kWrongCluster,
                    .text = "belongs to cluster " + std::to_string(hello.cluster_id()) +
                            ", not to " + std::to_string(cluster_id_)};
  }
  cluster_id_ = hello.cluster_id();
  Node* node = nodes_.FindConnection(connection);
  if (node == nullptr) return std::nullopt;
  node->id = hello.node_id();
  node->dial_failures = 0;
  node->trouble.text.clear();
  for (const wire::Hint& member : hello.members()) {
    nodes_.Learn(member.node_id(), member.client_address());
  }
  Node* leader = nodes_.Learn(hello.leader().node_id(), hello.leader().client_address());
  if (leader != nullptr && nodes_.leader() == nullptr && nodes_.Usable(*leader, Clock::now())) {
    nodes_.SetLeader(leader);
  }
  return std::nullopt;
}

void Core::OnReady(Connection& connection) {
  Node* node = nodes_.FindConnection(connection);
  if (node == nullptr) return;
  Log(Severity::kDebug, "connected to " + Name(*node) + " (" + node->address + ")");
  const TimePoint now = Clock::now();
  for (Call* call : DiallingAt(*node)) {
    call->dialling = nullptr;
    // Its Hello may have named the leader.
    const Node* leader = nodes_.leader();
    const bool better = call->wants_leader() && !call->pinned() && leader != nullptr &&
                        leader != node && nodes_.Usable(*leader, now);
    if (better) {
      Route(*call, now);
    } else {
      SendOn(*node, *call, now);
    }
  }
  ArmTimer();
}

void Core::OnBroken(Connection& connection, const Breakage& breakage) {
  Node* node = nodes_.FindConnection(connection);
  if (node == nullptr) return;
  const TimePoint now = Clock::now();
  const std::shared_ptr<Connection> broken = std::move(node->connection);
  node->connection.reset();
  Breakage trouble = breakage;
  if (trouble.code == ErrorCode::kCannotConnect || trouble.code == ErrorCode::kDeadline) {
    trouble.text = "unreachable (" + trouble.text + ")";
  }
  nodes_.DialFailed(*node, trouble, now);
  Log(Severity::kInfo, Name(*node) + " (" + node->address + "): " + trouble.text);
  for (Call* call : broken->Pending()) Lost(*call, breakage, *node, now);
  for (Call* call : DiallingAt(*node)) {
    call->dialling = nullptr;
    ++call->attempts;
    if (call->explanation != nullptr) {
      BeginAttempt(*node, *call, now);
      EndAttempt(*call, breakage.code, breakage.text);
    }
    Retry(*call, now, true);
  }
  ArmTimer();
}

// The connection broke under a pending call.
void Core::Lost(Call& call, const Breakage& breakage, const Node& node, TimePoint now) {
  const bool maybe_executed = call.is_write() && call.connection->MaybeSent(call);
  EndAttempt(call, ErrorCode::kConnectionLost, breakage.text);
  Detach(call);
  if (maybe_executed && !call.repeatable()) {
    return Fail(call,
                MakeError(ErrorCode::kConnectionLost, ErrorClass::kUnknown,
                          "the connection to " + Name(node) + " (" + node.address +
                              ") broke before it answered (" + breakage.text +
                              "): the write may have been applied; read the key to find out"));
  }
  call.uncertain = call.uncertain || maybe_executed;
  Retry(call, now, true);
}

void Core::Detach(Call& call) {
  EndAttempt(call, ErrorCode::kDeadline, "given up");
  if (call.connection != nullptr) call.connection->Release(call);
  call.dialling = nullptr;
}

std::vector<Call*> Core::DiallingAt(const Node& node) const {
  std::vector<Call*> calls;
  for (const CallPtr& call : calls_) {
    if (call->dialling == &node) calls.push_back(call.get());
  }
  return calls;
}

Node* Core::FindSerial(std::uint64_t serial) const {
  for (const auto& node : nodes_.nodes()) {
    if (node->connection != nullptr && node->connection->serial() == serial) return node.get();
  }
  return nullptr;
}

}  // namespace quorate::internal
