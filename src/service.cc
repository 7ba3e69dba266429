#include "src/service.h"

#include <algorithm>
#include <utility>

#include "src/clock.h"

namespace quorate::server {
namespace {

constexpr std::size_t kMaxClientNameBytes = 128;
constexpr std::size_t kMaxRequestNameBytes = 64;
constexpr std::size_t kMaxTraceBytes = 64;
constexpr std::size_t kMaxPending = 1 << 20;
// While the memory for clients is used up, this much of unread answers is too much.
constexpr std::size_t kScarceOutputBytes = 64 << 10;
constexpr raft::Duration kUnacknowledged{30'000'000};
// Deadlines are kept to within this; a scan of what is pending is not repeated more often.
constexpr raft::Duration kSweepSpacing{5'000};

template <typename Message>
bool Parse(Message& message, std::string_view data) {
  return message.ParseFromArray(data.data(), static_cast<int>(data.size()));
}

Operation OperationOf(wire::FrameType type) {
  switch (type) {
    case wire::FrameType::kWrite:
      return Operation::kPut;  // until the command says otherwise
    case wire::FrameType::kMultiGet:
      return Operation::kMultiGet;
    case wire::FrameType::kScan:
      return Operation::kScan;
    case wire::FrameType::kStatus:
      return Operation::kStatus;
    case wire::FrameType::kSnapshot:
      return Operation::kSnapshot;
    case wire::FrameType::kSnapshotRead:
      return Operation::kSnapshotRead;
    default:
      return Operation::kGet;
  }
}

}  // namespace

Service::Service(Surroundings surroundings, ServiceIdentity identity, ServiceLimits limits)
    : in_(std::move(surroundings)),
      identity_(identity),
      limits_(limits),
      memory_(std::make_shared<MemoryBudget>(
          MemoryBudget{.used = 0, .limit = limits.max_client_bytes})) {}

Service::~Service() = default;

ClientSession::~ClientSession() {
  connection->CloseAfterFlush();
}

void ClientSession::OnFrame(const wire::Frame& frame) {
  if (!greeted) return service.Hello(*this, frame);
  service.Dispatch(*this, frame, BootTime());
}

void ClientSession::OnBadFrame(wire::FrameStatus status, std::size_t length) {
  service.BadFrame(*this, status, length);
}

void ClientSession::OnOverBudget() {
  service.OverBudget(*this);
}

void ClientSession::OnClosed(const std::string& why) {
  service.in_.log.Debug("client disconnected", {{"client", client}, {"reason", why}});
  service.RemoveSession(ticket);
}

// ---- Connections ----

storage::Status Service::Start(std::unique_ptr<Listener> listener) {
  listener_ = std::move(listener);
  return listener_->Start(
      [this](boost::asio::ip::tcp::socket socket) { Accept(std::move(socket)); });
}

void Service::Accept(boost::asio::ip::tcp::socket socket) {
  ++in_.metrics.connections_accepted;
  if (sessions_.size() >= limits_.max_connections) return RefuseConnection(std::move(socket));
  TuneSocket(socket, kUnacknowledged);
  auto connection =
      std::make_shared<Connection>(in_.loop, std::move(socket), wire::kMaxClientFrameBytes);
  auto [ticket, session] = sessions_.Add();
  *session = std::make_unique<ClientSession>(*this, ticket, std::move(connection), BootTime());
  (*session)->connection->ShareBudget(memory_);
  (*session)->connection->Start(**session);
}

void Service::RefuseConnection(boost::asio::ip::tcp::socket socket) {
  ++in_.metrics.refusals[wire::TOO_MANY];
  std::uint64_t left_out = 0;
  // A flood is closed without a word: an answer to each would hold as many sockets open.
  if (!refusal_lines_.Allow(BootTime(), left_out)) return;
  in_.log.Warn("refused a client connection: too many",
               {{"limit", limits_.max_connections}, {"left_out", left_out}});
  wire::HelloReply reply;
  reply.mutable_error()->set_code(wire::TOO_MANY);
  reply.mutable_error()->set_message(fmt::format(
      "this node has {} client connections, its limit (--max-connections); try another node",
      limits_.max_connections));
  reply.mutable_error()->set_have(sessions_.size());
  reply.mutable_error()->set_want(limits_.max_connections);
  auto connection =
      std::make_shared<Connection>(in_.loop, std::move(socket), wire::kMaxClientFrameBytes);
  wire::AppendFrame(connection->Output(), wire::FrameType::kHello, wire::kFlagReply, 0, reply,
                    std::string_view());
  connection->CloseAfterFlush();
}

void Service::Hello(ClientSession& session, const wire::Frame& frame) {
  wire::HelloRequest request;
  wire::HelloReply reply;
  wire::Error error;
  if (frame.type != wire::FrameType::kHello || !Parse(request, frame.header)) {
    error.set_code(wire::PROTOCOL);
    error.set_message("the first frame on a connection must be a hello");
  } else if (request.protocol() != wire::kProtocolVersion) {
    error.set_code(wire::PROTOCOL);
    error.set_message(fmt::format("this node speaks protocol {}, the client {}",
                                  wire::kProtocolVersion, request.protocol()));
  } else if (request.client().size() > kMaxClientNameBytes) {
    error.set_code(wire::INVALID);
    error.set_message(fmt::format("the client's name has {} bytes, the limit is {}",
                                  request.client().size(), kMaxClientNameBytes));
  } else if (request.cluster_id() != 0 && request.cluster_id() != identity_.cluster_id) {
    error.set_code(wire::WRONG_CLUSTER);
    error.set_message(
        fmt::format("this is cluster {:016x}, the client wants {:016x}; check the "
                    "endpoints",
                    identity_.cluster_id, request.cluster_id()));
  } else if (stopping_) {
    error.set_code(wire::SHUTTING_DOWN);
    error.set_message("this node is shutting down; use another");
  }
  FillHello(reply);
  const bool refused = error.code() != wire::OK;
  if (refused) {
    ++in_.metrics.refusals[static_cast<std::size_t>(error.code())];
    *reply.mutable_error() = error;
    std::uint64_t left_out = 0;
    if (refusal_lines_.Allow(BootTime(), left_out)) {
      in_.log.Warn("refused a client's hello", {{"remote", session.connection->RemoteAddress()},
                                                {"reason", error.message()},
                                                {"left_out", left_out}});
    }
  }
  wire::AppendFrame(session.connection->Output(), wire::FrameType::kHello, wire::kFlagReply,
                    frame.request_id, reply, std::string_view());
  if (refused) return RemoveSession(session.ticket);
  session.greeted = true;
  session.client = request.client();
  if (in_.log.debugging()) {
    in_.log.Debug("client connected",
                  {{"client", session.client}, {"remote", session.connection->RemoteAddress()}});
  }
}

void Service::FillHello(wire::HelloReply& reply) const {
  reply.set_protocol(wire::kProtocolVersion);
  reply.set_cluster_id(identity_.cluster_id);
  reply.set_incarnation(in_.replica.core().configuration().incarnation);
  reply.set_node_id(identity_.node_id);
  *reply.mutable_leader() = LeaderHint();
  auto* limits = reply.mutable_limits();
  limits->set_key_bytes(wire::kMaxKeyBytes);
  limits->set_value_bytes(wire::kMaxValueBytes);
  limits->set_frame_bytes(wire::kMaxClientFrameBytes);
  limits->set_in_flight_bytes(limits_.max_in_flight_bytes);
  for (const auto& [id, address] : in_.addresses) {
    auto* member = reply.add_members();
    member->set_node_id(id);
    member->set_client_address(address);
  }
}

void Service::OverBudget(ClientSession& session) {
  wire::Error error;
  error.set_code(wire::OVERLOADED);
  error.set_message(
      fmt::format("{} bytes are held for all clients of this node, the limit (--max-client-bytes) "
                  "is {}: no large request is taken in; back off and connect again",
                  memory_->used, memory_->limit));
  error.set_have(memory_->used);
  error.set_want(memory_->limit);
  CloseWith(session, error);
}

void Service::BadFrame(ClientSession& session, wire::FrameStatus status, std::size_t length) {
  wire::Error error;
  if (status == wire::FrameStatus::kTooLarge) {
    error.set_code(wire::TOO_LARGE);
    error.set_message(
        fmt::format("a frame of {} bytes; the limit is {}", length, wire::kMaxClientFrameBytes));
    error.set_have(length);
    error.set_want(wire::kMaxClientFrameBytes);
  } else {
    error.set_code(wire::PROTOCOL);
    error.set_message("these bytes are no frame of this protocol");
  }
  CloseWith(session, error);
}

void Service::CloseWith(ClientSession& session, const wire::Error& error) {
  ++in_.metrics.refusals[static_cast<std::size_t>(error.code())];
  std::uint64_t left_out = 0;
  if (refusal_lines_.Allow(BootTime(), left_out)) {
    in_.log.Warn("closed a client connection", {{"client", session.client},
                                                {"remote", session.connection->RemoteAddress()},
                                                {"reason", error.message()},
                                                {"left_out", left_out}});
  }
  wire::HelloReply reply;
  *reply.mutable_error() = error;
  wire::AppendFrame(session.connection->Output(), wire::FrameType::kHello, wire::kFlagReply, 0,
                    reply, std::string_view());
  RemoveSession(session.ticket);
}

void Service::RemoveSession(std::uint64_t ticket) {
  std::unique_ptr<ClientSession>* session = sessions_.Find(ticket);
  if (session == nullptr) return;
  const std::unique_ptr<ClientSession> removed = std::move(*session);
  sessions_.Free(ticket);
}

// ---- Requests ----

void Service::Dispatch(ClientSession& session, const wire::Frame& frame, raft::Time now) {
  const std::uint64_t ticket = session.ticket;  // the session may be gone afterwards
  Request request{.session = ticket,
                  .id = frame.request_id,
                  .type = frame.type,
                  .operation = OperationOf(frame.type),
                  .level = Level::kNone,
                  .received = now,
                  .deadline = now + limits_.default_deadline,
                  .bytes = frame.total_bytes,
                  .explain = false,
                  .name = {},
                  .seq = 0};
  switch (frame.type) {
    case wire::FrameType::kWrite:
      Write(session, frame, std::move(request));
      break;
    case wire::FrameType::kGet:
      Get(session, frame, std::move(request));
      break;
    case wire::FrameType::kMultiGet:
      MultiGet(session, frame, std::move(request));
      break;
    case wire::FrameType::kScan:
      Scan(session, frame, std::move(request));
      break;
    case wire::FrameType::kStatus:
      Status(session, frame, std::move(request));
      break;
    case wire::FrameType::kSnapshot:
      Snapshot(session, frame, std::move(request));
      break;
    case wire::FrameType::kSnapshotRead:
      ReadSnapshot(session, frame, std::move(request));
      break;
    default:
      Refuse(request, wire::UNSUPPORTED,
             fmt::format("frame type {} is not one this node knows",
                         static_cast<unsigned>(frame.type)));
  }
  if (sessions_.Find(ticket) == nullptr) return;
  const std::size_t enough = memory_->Full()
                                 ? std::min(kScarceOutputBytes, limits_.pause_output_bytes)
                                 : limits_.pause_output_bytes;
  if (session.connection->queued_bytes() <= enough) return;
  session.connection->FlushNow();
  if (session.connection->queued_bytes() > enough) session.connection->PauseReading();
}

// Checks what all requests have in common; false: answered.
bool Service::TakeUp(ClientSession& session, const wire::RequestHeader& header, Request& request) {
  if (header.request_id().size() > kMaxRequestNameBytes ||
      header.traceparent().size() > kMaxTraceBytes) {
    Refuse(request, wire::INVALID,
           fmt::format("request_id and traceparent may have {} bytes each", kMaxRequestNameBytes));
    return false;
  }
  request.name = header.request_id();
  if (header.deadline_ms() != 0) {
    const raft::Duration asked = std::chrono::milliseconds(header.deadline_ms());
    const bool slow = request.type == wire::FrameType::kSnapshot;
    request.deadline = request.received +
                       std::min(asked, slow ? limits_.max_snapshot_deadline : limits_.max_deadline);
  }
  if (stopping_) {
    Refuse(request, wire::SHUTTING_DOWN, "this node is shutting down; use another");
    return false;
  }
  if (memory_->Full()) {
    RefuseForMemory(request);
    return false;
  }
  if (session.in_flight_bytes + request.bytes > limits_.max_in_flight_bytes ||
      session.in_flight_requests >= limits_.max_in_flight_requests ||
      pending_.size() >= kMaxPending) {
    Refuse(request, wire::OVERLOADED,
           fmt::format("{} requests of {} bytes are in flight on this connection; the limits are "
                       "{} and {}; wait for answers",
                       session.in_flight_requests, session.in_flight_bytes,
                       limits_.max_in_flight_requests, limits_.max_in_flight_bytes),
           session.in_flight_bytes + request.bytes, limits_.max_in_flight_bytes);
    return false;
  }
  return true;
}

Service::Pending& Service::Wait(ClientSession& session, Request request, Ticket& ticket) {
  Pending* pending = nullptr;
  std::tie(ticket, pending) = pending_.Add();
  session.in_flight_bytes += request.bytes;
  ++session.in_flight_requests;
  memory_->used += request.bytes;
  // Not sooner after the last one than usual, however short the deadlines: each looks at all.
  next_sweep_ = std::min(next_sweep_, std::max(request.deadline, last_sweep_ + kSweepSpacing));
  pending->request = std::move(request);
  pending->key.clear();
  pending->in_read_path = false;
  pending->scan.reset();
  pending->keys.reset();
  pending->abandoned.reset();
  return *pending;
}

void Service::Release(Ticket ticket) {
  Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;
  if (auto* session = sessions_.Find(pending->request.session)) {
    (*session)->in_flight_bytes -= pending->request.bytes;
    --(*session)->in_flight_requests;
    // One that is on the read lane counts until it has left that.
    if (pending->scan && !pending->abandoned) --(*session)->scans_running;
  }
  if (pending->abandoned) pending->abandoned->store(true, std::memory_order_relaxed);
  memory_->used -= pending->request.bytes;
  pending->abandoned.reset();
  pending->scan.reset();
  pending->keys.reset();
  pending_.Free(ticket);
}

void Service::Status(ClientSession& session, const wire::Frame& frame, Request request) {
  if (!Parse(header_, frame.header)) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (!TakeUp(session, header_, request)) return;
  const wire::NodeStatus status = in_.status();
  reply_.Clear();
  AnswerMessage(request, status);
}

// ---- Answers ----

wire::Hint Service::LeaderHint() const {
  wire::Hint hint;
  const raft::NodeId leader = in_.replica.core().leader();
  if (leader == raft::kNoNode) return hint;
  hint.set_node_id(leader);
  const auto address = in_.addresses.find(leader);
  if (address != in_.addresses.end()) hint.set_client_address(address->second);
  return hint;
}

void Service::Answer(const Request& request, std::string_view body) {
  if (auto* session = sessions_.Find(request.session)) {
    wire::AppendFrame((*session)->connection->Output(), request.type, wire::kFlagReply, request.id,
                      reply_, body);
    (*session)->connection->Account();
  }
  Finished(request);
}

void Service::AnswerMessage(const Request& request, const google::protobuf::MessageLite& body) {
  if (auto* session = sessions_.Find(request.session)) {
    wire::AppendFrame((*session)->connection->Output(), request.type, wire::kFlagReply, request.id,
                      reply_, body);
    (*session)->connection->Account();
  }
  Finished(request);
}

void Service::Finished(const Request& request) {
  const raft::Duration took = BootTime() - request.received;
  const wire::Error* error = reply_.has_error() ? &reply_.error() : nullptr;
  if (error == nullptr) in_.metrics.ObserveRequest(request.operation, request.level, took);
  if (error != nullptr ||
      (took >= limits_.slow_request && request.type != wire::FrameType::kSnapshot) ||
      in_.log.debugging()) {
    LogRequest(request, took, error);
  }
}

void Service::LogRequest(const Request& request, raft::Duration took, const wire::Error* error) {
  const double millis = static_cast<double>(took.count()) / 1000;
  if (in_.log.debugging()) {
    return in_.log.Debug("request", {{"request_id", request.name},
                                     {"operation", ToString(request.operation)},
                                     {"level", ToString(request.level)},
                                     {"took_ms", millis},
                                     {"error", error ? wire::Code_Name(error->code()) : "OK"}});
  }
  std::uint64_t left_out = 0;
  if (error != nullptr) {
    if (!refusal_lines_.Allow(request.received, left_out)) return;
    in_.log.Info("request refused", {{"request_id", request.name},
                                     {"operation", ToString(request.operation)},
                                     {"error", wire::Code_Name(error->code())},
                                     {"reason", error->message()},
                                     {"took_ms", millis},
                                     {"left_out", left_out}});
  } else if (slow_lines_.Allow(request.received, left_out)) {
    in_.log.Warn("slow request", {{"request_id", request.name},
                                  {"operation", ToString(request.operation)},
                                  {"level", ToString(request.level)},
                                  {"took_ms", millis},
                                  {"left_out", left_out}});
  }
}

void Service::Refuse(const Request& request, wire::Code code, std::string message,
                     std::uint64_t have, std::uint64_t want) {
  ++in_.metrics.refusals[static_cast<std::size_t>(code)];
  reply_.Clear();
  wire::Error& error = *reply_.mutable_error();
  error.set_code(code);
  error.set_message(std::move(message));
  error.set_have(have);
  error.set_want(want);
  reply_.set_repeated(request.repeated);
  Answer(request, {});
}

void Service::RefuseForMemory(const Request& request) {
  Refuse(request, wire::OVERLOADED,
         fmt::format("{} bytes are held for all clients of this node, the limit "
                     "(--max-client-bytes) is {}; back off and ask again",
                     memory_->used, memory_->limit),
         memory_->used, memory_->limit);
}

void Service::RefuseNoLeader(const Request& request, std::string what) {
  const wire::Hint hint = LeaderHint();
  const bool known = hint.node_id() != 0 && hint.node_id() != identity_.node_id;
  const wire::Code code = known ? wire::NOT_LEADER : wire::NO_LEADER;
  ++in_.metrics.refusals[static_cast<std::size_t>(code)];
  reply_.Clear();
  wire::Error& error = *reply_.mutable_error();
  error.set_code(code);
  error.set_message(known ? fmt::format("{}: node {} leads", what, hint.node_id())
                          : what +
                                ": no leader is known; an election may be under way, or fewer "
                                "than a majority of nodes can reach each other");
  *error.mutable_leader() = hint;
  Answer(request, {});
}

// ---- Time ----

void Service::RefuseLate(Pending& pending) {
  switch (pending.request.type) {
    case wire::FrameType::kGet:
    case wire::FrameType::kMultiGet:
    case wire::FrameType::kScan:
      pending.read.decision = Decision::kRefused;
      pending.read.refusal = {.code = Refused::kDeadline,
                              .have = in_.replica.state().applied().index};
      return RefuseRead(pending.request, pending.read);
    case wire::FrameType::kWrite:
      return Refuse(pending.request, wire::DEADLINE,
                    "the deadline passed before the write was committed; it may still take effect");
    default:
      return Refuse(pending.request, wire::DEADLINE,
                    "the deadline passed before the answer was ready");
  }
}

void Service::OnDeadline(raft::Time now) {
  if (now < next_sweep_) return;
  last_sweep_ = now;
  raft::Time next = raft::Time::max();
  pending_.ForEach([&](Ticket ticket, Pending& pending) {
    if (pending.in_read_path) return;
    if (pending.request.deadline > now) {
      next = std::min(next, pending.request.deadline);
      return;
    }
    RefuseLate(pending);
    Release(ticket);
  });
  next_sweep_ = next == raft::Time::max() ? next : std::max(next, now + kSweepSpacing);
}

// Null: the connection may live on.
const char* Service::WhyHopeless(const ClientSession& session, raft::Time now) const {
  const Connection& connection = *session.connection;
  if (!session.greeted && now - session.connected_at > limits_.hello_timeout) return "no hello";
  const auto waiting = connection.waiting_since();
  if (waiting && now - *waiting > limits_.half_frame_timeout) return "half a request and no more";
  // When memory is scarce, one that reads nothing at all need not have much queued.
  const std::size_t much = memory_->Full() ? 0 : limits_.pause_output_bytes;
  const auto blocked = connection.blocked_since();
  if (connection.queued_bytes() > much && blocked && now - *blocked > limits_.stalled_timeout) {
    return "it does not read its answers";
  }
  return nullptr;
}

void Service::Sweep(raft::Time now) {
  if (const auto confirmed = in_.replica.core().last_confirmed()) last_confirmed_ = confirmed;
  std::vector<std::uint64_t> doomed;
  sessions_.ForEach([&](std::uint64_t ticket, std::unique_ptr<ClientSession>& session) {
    std::erase_if(session->cursors, [&](const auto& cursor) {
      return now - cursor.second.used > limits_.cursor_idle;
    });
    const char* why = WhyHopeless(*session, now);
    if (why == nullptr) return;
    doomed.push_back(ticket);
    std::uint64_t left_out = 0;
    if (session->greeted && refusal_lines_.Allow(now, left_out)) {
      in_.log.Warn("closed a client connection",
                   {{"client", session->client},
                    {"remote", session->connection->RemoteAddress()},
                    {"reason", why},
                    {"queued_bytes", session->connection->queued_bytes()},
                    {"left_out", left_out}});
    }
  });
  for (const std::uint64_t ticket : doomed) RemoveSession(ticket);
}

void Service::StopAccepting() {
  stopping_ = true;
  if (listener_) listener_->Stop();
}

void Service::Finish() {
  pending_.ForEach([&](Ticket ticket, Pending& pending) {
    const bool write = pending.request.type == wire::FrameType::kWrite;
    Refuse(pending.request, write ? wire::DEADLINE : wire::SHUTTING_DOWN,
           write ? "this node is shutting down before the outcome is known; the write may still "
                   "take effect"
                 : "this node is shutting down; use another");
    Release(ticket);
  });
  std::vector<std::uint64_t> all;
  sessions_.ForEach([&](std::uint64_t ticket, auto&) { all.push_back(ticket); });
  for (const std::uint64_t ticket : all) RemoveSession(ticket);
}

std::size_t Service::queued_bytes() const {
  std::size_t total = 0;
  sessions_.ForEach([&](std::uint64_t, const std::unique_ptr<ClientSession>& session) {
    total += session->connection->queued_bytes();
  });
  return total;
}

}  // namespace quorate::server
