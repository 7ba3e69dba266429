#include "client/core.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "client/errors.h"
#include "client/level.h"

namespace quorate::internal {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kFirstPause{4};
constexpr milliseconds kMostPause{200};
// After this many rounds in which no node could even be dialled, a call gives up.
constexpr int kMostDeadRounds = 3;
// The share of its time that a read waits on a silent node before it asks another one.
constexpr int kSilenceShare = 3;
constexpr std::int64_t kReplyMargin = 50;   // ms, at most
constexpr std::size_t kCallOverhead = 128;  // bytes of a request besides its body

std::uint64_t Seed() {
  return std::random_device{}();
}

std::size_t CountedBytes(const Call& call) {
  std::size_t bytes = call.body.size() + kCallOverhead;
  if (call.scan != nullptr) bytes += call.scan->range.first.size() + call.scan->range.last.size();
  for (const std::string& key : call.keys) bytes += key.size();
  return bytes;
}

// What was seen is asked for as well. A token of another history is what the caller wants: the node
// says that it cannot be had.
void Include(Level& level, const Token& seen) {
  if (!seen) return;
  Token& token = level.token ? *level.token : level.token.emplace();
  if (!token || SameHistory(token, seen)) token = Later(token, seen);
}

}  // namespace

std::string Name(const Node& node) {
  return node.id != 0 ? "node " + std::to_string(node.id) : node.address;
}

std::string_view ToString(Operation operation) {
  constexpr std::string_view kNames[] = {
      "put",          "delete",       "compare_and_set", "increment",     "append", "transaction",
      "delete_range", "open_session", "keep_session",    "close_session", "get",    "multi_get",
      "scan",         "status",       "snapshot",        "read_snapshot"};
  return kNames[static_cast<std::size_t>(operation)];
}

wire::FrameType FrameTypeOf(Operation operation) {
  switch (operation) {
    case Operation::kGet:
      return wire::FrameType::kGet;
    case Operation::kMultiGet:
      return wire::FrameType::kMultiGet;
    case Operation::kScan:
      return wire::FrameType::kScan;
    case Operation::kStatus:
      return wire::FrameType::kStatus;
    case Operation::kSnapshot:
      return wire::FrameType::kSnapshot;
    case Operation::kReadSnapshot:
      return wire::FrameType::kSnapshotRead;
    default:
      return wire::FrameType::kWrite;
  }
}

std::shared_ptr<Core> Core::Make(asio::io_context& loop, Options options) {
  auto core = std::make_shared<Core>(loop, std::move(options));
  core->door_ = std::make_shared<Door>(loop, core);
  return core;
}

Core::Core(asio::io_context& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      cluster_id_(options_.cluster_id),
      random_(static_cast<std::minstd_rand::result_type>(Seed())),
      nodes_(options_.endpoints, Seed()),
      timer_(loop),
      sessions_(loop, [this](const auto& session) { KeepSession(session); }) {}

Core::~Core() {
  door_->Close();
  for (const auto& node : nodes_.nodes()) {
    if (node->connection != nullptr) node->connection->Shutdown();
  }
}

void Core::Submit(CallPtr call) {
  const std::size_t bytes = CountedBytes(*call);
  call->counted_bytes = bytes;
  const std::size_t pending = pending_bytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (!call->invalid && pending > options_.max_pending_bytes) {
    call->invalid = std::make_unique<Error>(MakeError(
        ErrorCode::kOverloaded, ErrorClass::kNotExecuted,
        "too many requests are outstanding in this client: " + std::to_string(pending) +
            " bytes, limit " + std::to_string(options_.max_pending_bytes) + "; wait for replies",
        pending, options_.max_pending_bytes));
  }
  if (loop_.get_executor().running_in_this_thread()) return Start(std::move(call));
  asio::post(loop_, [self = shared_from_this(), call = std::move(call)]() mutable {
    self->Start(std::move(call));
  });
}

// Why a call cannot even begin.
std::optional<Error> Core::Hinders(const Call& call) const {
  if (call.invalid) return *call.invalid;
  if (closed_) {
    return MakeError(ErrorCode::kClosed, ErrorClass::kNotExecuted, "the client is closed");
  }
  if (call.cancellation != nullptr && !call.cancellation->Watch(door_)) {
    return MakeError(ErrorCode::kCancelled, ErrorClass::kNotExecuted,
                     "it was cancelled before it began");
  }
  if (call.session == nullptr) return std::nullopt;
  const SessionState& session = *call.session;
  if (session.client != this) return InvalidError("the session is another client's");
  if (session.ended) {
    return MakeError(ErrorCode::kSessionExpired, ErrorClass::kFinal,
                     "session " + std::to_string(session.id) + " has ended: open another one");
  }
  if (call.operation < Operation::kOpenSession && !HasRoom(session)) {
    return MakeError(ErrorCode::kOverloaded, ErrorClass::kNotExecuted,
                     "session " + std::to_string(session.id) + " has " +
                         std::to_string(kMostPendingWrites) +
                         " writes from the oldest that has not ended on: wait for it",
                     kMostPendingWrites, kMostPendingWrites);
  }
  return std::nullopt;
}

void Core::Start(CallPtr call) {
  if (std::optional<Error> hindered = Hinders(*call)) {
    return Deliver(std::move(call), *std::move(hindered));
  }
  const TimePoint now = Clock::now();
  call->started = now;
  call->deadline = now + (call->timeout.count() > 0 ? call->timeout : options_.timeout);
  call->until = call->deadline;
  call->wake = call->deadline;
  call->quick_retries = static_cast<int>(nodes_.nodes().size());
  Call& started = *call;
  calls_.Add(std::move(call));
  if (started.is_read()) StartRead(started);
  if (started.session != nullptr && started.operation < Operation::kOpenSession) {
    Admit(*started.session, started);
  }
  if (!started.queued) Route(started, now);
  ArmTimer();
}

void Core::StartRead(Call& call) {
  call.invoked = BootClock::now();
  // Pages behind the first are at its index, whatever was seen since.
  if (call.continues_scan()) return;
  if (call.session_guarantees.value_or(options_.session_guarantees)) call.seen = seen_.Get();
  if (call.ladder != nullptr) return EnterRung(call, call.started);
  call.kind = KindOf(call.level);
  Include(call.level, call.seen);
}

// The next step of the SLA, in its own time and what is left of the call's.
void Core::EnterRung(Call& call, TimePoint now) {
  const Rung& rung = call.ladder->rungs[call.ladder->at];
  call.level = rung.level;
  call.kind = KindOf(call.level);
  Include(call.level, call.seen);
  call.until = call.deadline;
  if (rung.within.count() > 0) call.until = std::min(call.until, now + rung.within);
  call.asked = 0;
  call.refusal.reset();
  call.quick_retries = static_cast<int>(nodes_.nodes().size());
  calls_.SetWake(call, call.until);
}

void Core::Route(Call& call, TimePoint now) {
  if (call.pinned()) return RoutePinned(call, now);
  const bool once = call.asks_once();
  Node* node = nodes_.Choose(call.wants_leader(), call.last_node, now, once ? call.asked : 0);
  if (node != nullptr) return RouteTo(*node, call, now);
  if (once && call.asked != 0) return GiveUp(call, NobodyAnswered(call), now);
  NobodyThere(call, now);
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
    if (call.asks_once() && (call.asked & node->bit()) != 0) {
      return GiveUp(call, NobodyAnswered(call), now);
    }
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
  call.asked |= node.bit();
  if (!connection.HasRoom(call.counted_bytes)) {
    return Refused(
        node, call,
        MakeError(ErrorCode::kOverloaded, ErrorClass::kNotExecuted,
                  Name(node) + " takes no more than " +
                      std::to_string(connection.max_pending_bytes()) +
                      " bytes in flight on one connection",
                  connection.held_bytes() + call.counted_bytes, connection.max_pending_bytes()),
        now);
  }
  // The node gets a little less time than there is, so that its own reason arrives before ours.
  const std::int64_t left = std::chrono::floor<milliseconds>(call.until - now).count();
  const std::int64_t share = std::max<std::int64_t>(left - std::min(left / 10, kReplyMargin), 1);
  ++call.attempts;
  call.sent_at = now;
  call.attempt_sent = BootClock::now();
  if (call.first_sent == BootTime{}) call.first_sent = call.attempt_sent;
  if (call.seq != 0) {
    // What was acknowledged meanwhile need not be kept any longer.
    call.body.resize(call.command_bytes);
    AppendSessionRef(call.body, RefFor(*call.session, call));
  }
  if (call.explanation != nullptr) BeginAttempt(node, call, now);
  connection.Send(call, codec_, static_cast<std::uint32_t>(share));
  const bool may_leave = !call.is_write() || call.repeatable();
  if (may_leave && !call.pinned() && nodes_.nodes().size() > 1) {
    const auto patience =
        std::max<Clock::duration>(kLeastSilence, (call.until - now) / kSilenceShare);
    calls_.SetWake(call, std::min(call.until, now + patience));
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
  calls_.SetWake(call, std::min(call.until, until));
  ArmTimer();
}

void Core::NobodyThere(Call& call, TimePoint now) {
  // What may have been executed is asked for until the deadline: the nodes may come back.
  if (!call.uncertain && nodes_.AllRefuse() && ++call.dead_rounds > kMostDeadRounds) {
    const ErrorCode code = nodes_.WorstCode();
    return Fail(call, MakeError(code, ErrorClass::kNotExecuted,
                                (code == ErrorCode::kCannotConnect ? "cannot connect: "
                                                                   : "no usable node: ") +
                                    nodes_.Troubles()));
  }
  Pause(call, std::max(nodes_.NextDial(), now + milliseconds(1)));
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

}  // namespace quorate::internal
