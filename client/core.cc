#include "client/core.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace quorate::internal {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kFirstPause{4};
constexpr milliseconds kMostPause{200};
// After this many rounds in which no node could even be dialled, a call gives up.
constexpr int kMostDeadRounds = 3;
constexpr milliseconds kSuspicion{1000};
// A node that has sent nothing at all for this long while it owes a reply is suspect.
constexpr milliseconds kLeastSilence{100};
// The share of its time that a read waits on a silent node before it asks another one.
constexpr int kSilenceShare = 3;
constexpr std::int64_t kReplyMargin = 50;   // ms, at most
constexpr std::size_t kCallOverhead = 128;  // bytes of a request besides its body

std::uint64_t Seed() {
  return std::random_device{}();
}

std::string Name(const Node& node) {
  return node.id != 0 ? "node " + std::to_string(node.id) : node.address;
}

Error MakeError(ErrorCode code, ErrorClass error_class, std::string detail) {
  Error error;
  error.code = code;
  error.error_class = error_class;
  error.detail = std::move(detail);
  return error;
}

std::size_t CountedBytes(const Call& call) {
  std::size_t bytes = call.body.size() + kCallOverhead;
  if (call.scan != nullptr) bytes += call.scan->range.first.size() + call.scan->range.last.size();
  return bytes;
}

}  // namespace

Core::Core(asio::io_context& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      cluster_id_(options_.cluster_id),
      random_(static_cast<std::minstd_rand::result_type>(Seed())),
      nodes_(options_.endpoints, Seed()),
      timer_(loop) {}

Core::~Core() {
  for (const auto& node : nodes_.nodes()) {
    if (node->connection != nullptr) node->connection->Shutdown();
  }
}

// ---- From start to completion ----

void Core::Submit(CallPtr call) {
  const std::size_t bytes = CountedBytes(*call);
  call->counted_bytes = bytes;
  const std::size_t pending = pending_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (!call->invalid && pending > options_.max_pending_bytes) {
    Error error = MakeError(
        ErrorCode::kOverloaded, ErrorClass::kNotExecuted,
        "too many requests are outstanding in this client: " + std::to_string(pending) +
            " bytes, limit " + std::to_string(options_.max_pending_bytes) + "; wait for replies");
    error.have = pending;
    error.want = options_.max_pending_bytes;
    call->invalid = std::make_unique<Error>(std::move(error));
  }
  if (loop_.get_executor().running_in_this_thread()) return Start(std::move(call));
  asio::post(loop_, [self = shared_from_this(), call = std::move(call)]() mutable {
    self->Start(std::move(call));
  });
}

void Core::Start(CallPtr call) {
  if (call->invalid) {
    Error error = std::move(*call->invalid);
    return Deliver(std::move(call), std::move(error));
  }
  if (closed_) {
    return Deliver(std::move(call),
                   MakeError(ErrorCode::kClosed, ErrorClass::kNotExecuted, "the client is closed"));
  }
  const TimePoint now = Clock::now();
  call->deadline = now + (call->timeout.count() > 0 ? call->timeout : options_.timeout);
  call->wake = call->deadline;
  call->quick_retries = static_cast<int>(nodes_.nodes().size());
  Call& started = *call;
  calls_.Add(std::move(call));
  Route(started, now);
  ArmTimer();
}

void Core::Route(Call& call, TimePoint now) {
  if (call.pinned()) return RoutePinned(call, now);
  Node* node = nodes_.Choose(call.wants_leader(), call.last_node, now);
  if (node == nullptr) return NobodyThere(call, now);
  RouteTo(*node, call, now);
}

void Core::RouteTo(Node& node, Call& call, TimePoint now) {
  // Calls that any node may answer stay with the one they began with until it fails them.
  call.last_node = &node;
  if (node.connection == nullptr) Dial(node);
  if (node.connection->ready()) return SendOn(node, call, now);
  call.dialling = &node;
}

void Core::RoutePinned(Call& call, TimePoint now) {
  if (call.continues_scan()) {
    if (Node* node = FindSerial(call.scan->cursor.connection)) return RouteTo(*node, call, now);
    return Fail(call, MakeError(ErrorCode::kCursorExpired, ErrorClass::kFinal,
                                "the connection that held this scan's cursor broke; "
                                "start the scan again"));
  }
  Node* node = call.node != 0 ? nodes_.FindId(call.node) : nodes_.FindOrAddAddress(call.endpoint);
  if (node != nullptr) {
    if (node->connection != nullptr || node->retry_at <= now) return RouteTo(*node, call, now);
    if (node->trouble.code != ErrorCode::kDeadline && ++call.dead_rounds > kMostDeadRounds) {
      return Fail(call, MakeError(node->trouble.code, ErrorClass::kNotExecuted,
                                  "cannot connect to " + Name(*node) + ": " + node->address + " " +
                                      node->trouble.text));
    }
    return Pause(call, node->retry_at);
  }
  // Nobody has named that node yet: ask all.
  bool waiting = false;
  for (const auto& other : nodes_.nodes()) {
    if (other->connection == nullptr && other->dial_failures == 0) Dial(*other);
    waiting = waiting || (other->connection != nullptr && !other->connection->ready());
  }
  if (waiting) return Pause(call, now + kFirstPause);
  if (!nodes_.AnyReady()) return NobodyThere(call, now);
  Fail(call, MakeError(ErrorCode::kUnknownNode, ErrorClass::kFinal,
                       call.node != 0
                           ? "no node that answers knows of a node " + std::to_string(call.node)
                           : "this client keeps no more than 64 nodes"));
}

void Core::SendOn(Node& node, Call& call, TimePoint now) {
  Connection& connection = *node.connection;
  if (!connection.HasRoom(call.counted_bytes)) {
    Error error = MakeError(ErrorCode::kOverloaded, ErrorClass::kNotExecuted,
                            Name(node) + " takes no more than " +
                                std::to_string(connection.max_pending_bytes()) +
                                " bytes in flight on one connection");
    error.have = connection.held_bytes() + call.counted_bytes;
    error.want = connection.max_pending_bytes();
    return Refused(node, call, std::move(error), now);
  }
  // The node gets a little less time than there is, so that its own reason arrives before ours.
  const std::int64_t left = std::chrono::floor<milliseconds>(call.deadline - now).count();
  const std::int64_t share = std::max<std::int64_t>(left - std::min(left / 10, kReplyMargin), 1);
  ++call.attempts;
  call.sent_at = now;
  connection.Send(call, codec_, static_cast<std::uint32_t>(share));
  if (!call.is_write() && !call.pinned() && nodes_.nodes().size() > 1) {
    const auto patience =
        std::max<Clock::duration>(kLeastSilence, (call.deadline - now) / kSilenceShare);
    calls_.SetWake(call, std::min(call.deadline, now + patience));
    ArmTimer();
  }
}

void Core::Retry(Call& call, TimePoint now, bool promising) {
  if (promising && call.quick_retries > 0) {
    --call.quick_retries;
    return Route(call, now);
  }
  call.quick_retries = 1;  // enough to follow one hint
  Pause(call, now + BackOff(kFirstPause, kMostPause, ++call.backoffs, random_));
}

void Core::Pause(Call& call, TimePoint until) {
  calls_.SetWake(call, std::min(call.deadline, until));
  ArmTimer();
}

void Core::NobodyThere(Call& call, TimePoint now) {
  if (nodes_.AllRefuse() && ++call.dead_rounds > kMostDeadRounds) {
    const ErrorCode code = nodes_.WorstCode();
    return Fail(call, MakeError(code, ErrorClass::kNotExecuted,
                                (code == ErrorCode::kCannotConnect ? "cannot connect: "
                                                                   : "no usable node: ") +
                                    nodes_.Troubles()));
  }
  Pause(call, std::max(nodes_.NextDial(), now + milliseconds(1)));
}

// A reply that refused `call`, which is not pending any more.
void Core::Refused(Node& node, Call& call, Error refusal, TimePoint now) {
  bool promising = false;
  switch (refusal.code) {
    case ErrorCode::kNotLeader:
    case ErrorCode::kNoLeader:
    case ErrorCode::kLeaderChanged: {
      nodes_.NotLeader(node);
      Node* leader = nodes_.Learn(refusal.leader.node, refusal.leader.address);
      promising = leader == nullptr || leader != &node;
      if (leader != nullptr && leader != &node && nodes_.Usable(*leader, now)) {
        nodes_.SetLeader(leader);
      }
      node.trouble = {
          .code = refusal.code,
          .text = leader == nullptr ? "knows no leader" : "says that " + Name(*leader) + " leads"};
      break;
    }
    case ErrorCode::kShuttingDown:
      nodes_.Suspect(node, now + kSuspicion);
      [[fallthrough]];
    case ErrorCode::kNoQuorum:
    case ErrorCode::kNotCaughtUp:
      nodes_.NotLeader(node);
      promising = true;
      [[fallthrough]];
    default:
      node.trouble = {.code = refusal.code, .text = "refused: " + refusal.detail};
  }
  const bool final = refusal.error_class != ErrorClass::kNotExecuted ||
                     (call.pinned() && refusal.code == ErrorCode::kNotLeader) ||
                     refusal.code == ErrorCode::kDeadline ||
                     (refusal.code == ErrorCode::kDiskFull && !call.is_write());
  if (final) return Fail(call, std::move(refusal));
  call.refusal = std::make_unique<Error>(std::move(refusal));
  Retry(call, now, promising);
}

void Core::Fail(Call& call, Error error) {
  Detach(call);
  error.attempts = call.attempts;
  Deliver(calls_.Remove(call), std::move(error));
}

// From a post: whoever fails calls may be in the middle of a walk over them.
void Core::Deliver(CallPtr call, Error error) {
  pending_bytes_.fetch_sub(call->counted_bytes, std::memory_order_relaxed);
  asio::post(loop_, [call = std::move(call), error = std::move(error)]() mutable {
    std::visit([&error](auto& handler) { handler(tl::make_unexpected(std::move(error))); },
               call->handler);
  });
}

void Core::Close() {
  if (closed_) return;
  closed_ = true;
  timer_.cancel();
  while (!calls_.empty()) {
    Call& call = calls_.top();
    const bool unknown =
        call.is_write() && call.connection != nullptr && call.connection->MaybeSent(call);
    Fail(call,
         MakeError(ErrorCode::kClosed, unknown ? ErrorClass::kUnknown : ErrorClass::kNotExecuted,
                   "the client was closed before a reply came"));
  }
  for (const auto& node : nodes_.nodes()) {
    if (node->connection != nullptr) node->connection->Shutdown();
    node->connection.reset();
  }
}

std::vector<Member> Core::Members() const {
  std::vector<Member> members;
  for (const auto& node : nodes_.nodes()) {
    members.push_back({.id = node->id,
                       .address = node->address,
                       .connected = node->connection != nullptr && node->connection->ready(),
                       .leader = node.get() == nodes_.leader()});
  }
  return members;
}

// ---- Time ----

void Core::ArmTimer() {
  if (calls_.empty() || calls_.top().wake >= timer_at_) return;
  timer_at_ = calls_.top().wake;
  timer_.expires_at(timer_at_);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;  // armed anew for an earlier time
    if (const auto self = weak.lock()) self->OnTimer();
  });
}

void Core::OnTimer() {
  timer_at_ = TimePoint::max();
  const TimePoint now = Clock::now();
  while (!calls_.empty() && calls_.top().wake <= now) Wake(calls_.top(), now);
  ArmTimer();
}

// Every way through either ends the call or moves its next wake beyond `now`.
void Core::Wake(Call& call, TimePoint now) {
  if (call.deadline <= now) return Expire(call);
  calls_.SetWake(call, call.deadline);
  if (call.connection == nullptr && call.dialling == nullptr) return Route(call, now);
  if (call.connection == nullptr || call.connection->last_received() >= call.sent_at) return;
  // A write is sent once: it may be executed even if nobody waits for it any more.
  if (call.is_write()) return;
  // The node is silent: ask another one.
  if (Node* node = nodes_.FindConnection(*call.connection)) {
    nodes_.Suspect(*node, now + kSuspicion);
    node->trouble = {.code = ErrorCode::kDeadline, .text = "does not answer"};
  }
  Detach(call);
  Route(call, now);
}

void Core::Expire(Call& call) {
  const TimePoint now = Clock::now();
  if (call.connection != nullptr && call.connection->last_received() < call.sent_at &&
      now - call.sent_at >= kLeastSilence) {
    if (Node* node = nodes_.FindConnection(*call.connection)) {
      nodes_.Suspect(*node, now + kSuspicion);
      node->trouble = {.code = ErrorCode::kDeadline, .text = "does not answer"};
    }
  }
  Fail(call, ExpiredError(call));
}

Error Core::ExpiredError(const Call& call) const {
  const auto total = call.timeout.count() > 0 ? call.timeout : options_.timeout;
  const std::string passed = "the deadline of " + std::to_string(total.count()) + " ms passed";
  // Not only if it may have been sent: a frame that still waits for the socket leaves once the node
  // reads again, and the node counts the deadline from when it receives it.
  if (call.is_write() && call.connection != nullptr) {
    const Node* node = nodes_.FindConnection(*call.connection);
    return MakeError(ErrorCode::kDeadline, ErrorClass::kUnknown,
                     passed + " before " + (node != nullptr ? Name(*node) : "the node") +
                         " answered: the write may have been applied, or may still be");
  }
  if (nodes_.AllRefuse()) {
    return MakeError(ErrorCode::kCannotConnect, ErrorClass::kNotExecuted,
                     "cannot connect: " + nodes_.Troubles() + "; " + passed);
  }
  // A read that was refused, rather than not answered, says why with the numbers of the refusal; so
  // does a write that no disk has room for: it was certainly not executed, and waiting is no help.
  const bool no_room = call.refusal && call.refusal->code == ErrorCode::kDiskFull;
  if (call.refusal && (!call.is_write() || no_room)) {
    Error error = *call.refusal;
    error.detail += "; " + passed + " while trying again: " + nodes_.Troubles();
    return error;
  }
  std::string why = call.connection != nullptr ? "no answer to the last request" : "not executed";
  if (call.wants_leader() && nodes_.leader() == nullptr) why = "no leader";
  const std::string troubles = nodes_.Troubles();
  if (!troubles.empty()) why += ": " + troubles;
  return MakeError(ErrorCode::kDeadline, ErrorClass::kNotExecuted, passed + "; " + why);
}

// ---- Connections ----

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

template <typename T, typename... Args>
bool Core::Complete(Connection& connection, Call& call, Args&&... args) {
  T reply;
  if constexpr (sizeof...(Args) == 0) {
    codec_.Take(reply);
  } else if constexpr (std::is_same_v<T, GetReply> || std::is_same_v<T, std::string>) {
    codec_.Take(args..., reply);
  } else {
    if (!codec_.Take(args..., reply)) return false;
  }
  connection.Release(call);
  const CallPtr done = calls_.Remove(call);
  pending_bytes_.fetch_sub(done->counted_bytes, std::memory_order_relaxed);
  std::get<Handler<T>>(done->handler)(std::move(reply));
  return true;
}

bool Core::OnReply(Connection& connection, Call& call, const wire::Frame& frame) {
  if (!codec_.ParseReply(frame)) return false;
  if (codec_.header().has_error()) {
    Error error = ToError(codec_.header().error(), call.is_write());
    connection.Release(call);
    if (Node* node = nodes_.FindConnection(connection)) {
      Refused(*node, call, std::move(error), Clock::now());
    }
    return true;
  }
  switch (call.type) {
    case wire::FrameType::kWrite:
      if (nodes_.leader() == nullptr) nodes_.SetLeader(nodes_.FindConnection(connection));
      return Complete<WriteReply>(connection, call);
    case wire::FrameType::kGet:
      return Complete<GetReply>(connection, call, frame);
    case wire::FrameType::kScan:
      return Complete<ScanPage>(connection, call, frame, connection.serial());
    case wire::FrameType::kSnapshot:
      return Complete<SnapshotTaken>(connection, call, frame);
    case wire::FrameType::kSnapshotRead:
      return Complete<std::string>(connection, call, frame);
    default:
      return Complete<NodeStatus>(connection, call, frame);
  }
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
  for (Call* call : broken->Pending()) Lost(*call, breakage, *node, now);
  for (Call* call : DiallingAt(*node)) {
    call->dialling = nullptr;
    ++call->attempts;
    Retry(*call, now, true);
  }
  ArmTimer();
}

// The connection broke under a pending call.
void Core::Lost(Call& call, const Breakage& breakage, const Node& node, TimePoint now) {
  const bool maybe_sent = call.connection->MaybeSent(call);
  Detach(call);
  if (call.is_write() && maybe_sent) {
    return Fail(call,
                MakeError(ErrorCode::kConnectionLost, ErrorClass::kUnknown,
                          "the connection to " + Name(node) + " (" + node.address +
                              ") broke before it answered (" + breakage.text +
                              "): the write may have been applied; read the key to find out"));
  }
  Retry(call, now, true);
}

void Core::Detach(Call& call) {
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
