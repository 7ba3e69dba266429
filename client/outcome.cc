// What an answer, a refusal or a failure makes of a call.
#include <boost/asio/post.hpp>
#include <exception>
#include <type_traits>
#include <utility>

#include "client/commands.h"
#include "client/core.h"
#include "client/errors.h"

namespace quorate::internal {

namespace asio = boost::asio;
using std::chrono::microseconds;
using std::chrono::milliseconds;

namespace {

// A session that has ended will not come back, and its numbers mean nothing any more.
bool SaysThatTheSessionEnded(const Call& call, const Error& error) {
  return call.session != nullptr && error.code == ErrorCode::kSessionExpired;
}

bool Ends(const Call& call, const Error& refusal) {
  if (refusal.error_class != ErrorClass::kNotExecuted) return true;
  switch (refusal.code) {
    case ErrorCode::kFutureToken:
    case ErrorCode::kDiverged:
      return true;
    case ErrorCode::kNotLeader:
      return call.pinned();
    case ErrorCode::kDeadline:
      return !call.asks_once();
    case ErrorCode::kDiskFull:
      return !call.is_write();
    default:
      return false;
  }
}

}  // namespace

// ---- Answers ----

bool Core::OnReply(Connection& connection, Call& call, const wire::Frame& frame) {
  if (!codec_.ParseReply(frame)) return false;
  if (codec_.header().has_error()) {
    OnRefusal(connection, call, ToError(codec_.header().error(), call.is_write()));
    return true;
  }
  if (std::optional<Error> wrong = Contradiction(call)) {
    OnRefusal(connection, call, *std::move(wrong));
    return true;
  }
  return CompleteAny(connection, call, frame);
}

// An answer that is behind what was asked for is none, whatever the node thinks of it.
std::optional<Error> Core::Contradiction(const Call& call) const {
  if (!call.is_read() || call.continues_scan() || !call.level.token || !*call.level.token ||
      call.level.on_unmet == OnUnmet::kServeAnyway) {
    return std::nullopt;
  }
  const Token& token = *call.level.token;
  const wire::Certificate& certificate = codec_.header().certificate();
  if (token.incarnation != 0 && certificate.incarnation() != 0 &&
      token.incarnation != certificate.incarnation()) {
    return MakeError(ErrorCode::kDiverged, ErrorClass::kNotExecuted,
                     "the token is of incarnation " + std::to_string(token.incarnation) +
                         " of this cluster, which is in incarnation " +
                         std::to_string(certificate.incarnation()) +
                         " now (restored from a backup?)",
                     certificate.incarnation(), token.incarnation);
  }
  if (certificate.applied_index() >= token.index) return std::nullopt;
  return MakeError(ErrorCode::kNotCaughtUp, ErrorClass::kNotExecuted,
                   "its answer was the state at index " +
                       std::to_string(certificate.applied_index()) + ", behind the token's " +
                       std::to_string(token.index),
                   certificate.applied_index(), token.index);
}

bool Core::CompleteAny(Connection& connection, Call& call, const wire::Frame& frame) {
  switch (call.operation) {
    case Operation::kTransaction:
      return Complete<TransactionReply>(connection, call, frame);
    case Operation::kDeleteRange:
      return Complete<DeleteRangeReply>(connection, call, frame);
    case Operation::kOpenSession:
      return Complete<Session>(connection, call, frame);
    case Operation::kGet:
      return Complete<GetReply>(connection, call, frame);
    case Operation::kMultiGet:
      return Complete<MultiGetReply>(connection, call, frame);
    case Operation::kScan:
      return Complete<ScanPage>(connection, call, frame);
    case Operation::kStatus:
      return Complete<NodeStatus>(connection, call, frame);
    case Operation::kSnapshot:
      return Complete<SnapshotTaken>(connection, call, frame);
    case Operation::kReadSnapshot:
      return Complete<std::string>(connection, call, frame);
    default:
      return Complete<WriteReply>(connection, call, frame);
  }
}

template <typename T>
bool Core::Complete(Connection& connection, Call& call, const wire::Frame& frame) {
  T reply;
  if (!Finish(call, frame, reply)) return false;
  if (call.is_write() && nodes_.leader() == nullptr) {
    nodes_.SetLeader(nodes_.FindConnection(connection));
  }
  connection.Release(call);
  const CallPtr done = TakeOut(call, false);
  pending_bytes_.fetch_sub(done->counted_bytes, std::memory_order_relaxed);
  Observe(*done, codec_.header().certificate().node_id(), nullptr);
  try {
    std::get<Handler<T>>(done->handler)(std::move(reply));
  } catch (...) {
    // It belongs to whoever runs the loop, but not in the middle of the connection's buffer.
    asio::post(loop_, [thrown = std::current_exception()] { std::rethrow_exception(thrown); });
  }
  return true;
}

template <typename T>
bool Core::Finish(Call& call, const wire::Frame& frame, T& reply) {
  if (!codec_.Take(call, frame, reply)) return false;
  EndAttempt(call, std::nullopt, {}, &codec_.header());
  if constexpr (std::is_base_of_v<ReadReply, T>) FinishRead(call, reply);
  if constexpr (std::is_same_v<T, WriteReply>) FinishWrite(call, reply);
  if constexpr (std::is_same_v<T, TransactionReply> || std::is_same_v<T, DeleteRangeReply>) {
    FinishWrite(call, reply.write);
  }
  return true;
}

bool Core::Finish(Call& call, const wire::Frame& /*frame*/, Session& session) {
  const std::uint64_t id = codec_.header().mod_index();
  if (id == 0) return false;
  auto state = std::make_shared<SessionState>(this, id, std::move(call.session_options));
  session = SessionState::Handle(state);
  sessions_.Add(std::move(state), call.first_sent, weak_from_this());
  return true;
}

Token Core::TokenOf(const Certificate& certificate) const {
  return {.cluster_id = cluster_id_,
          .incarnation = certificate.incarnation,
          .term = certificate.entry_term,
          .index = certificate.applied_index};
}

void Core::FinishRead(Call& call, ReadReply& reply) {
  const Certificate& certificate = reply.certificate;
  reply.token = seen_.Raise(TokenOf(certificate));
  // Not the later pages of a scan: they were confirmed when the first one was asked for.
  if (certificate.basis == Basis::kReadIndex && certificate.age == microseconds(0) &&
      !call.continues_scan()) {
    anchors_.Add(certificate.incarnation, certificate.applied_index, call.attempt_sent);
  }
  reply.client_age = anchors_.Age(certificate.incarnation, certificate.applied_index, call.invoked);
  if (call.ladder != nullptr) {
    reply.rung = call.ladder->at;
    reply.misses = std::move(call.ladder->misses);
  }
  reply.explanation = std::move(call.explanation);
}

void Core::FinishWrite(Call& call, WriteReply& reply) {
  reply.token = TokenOf(reply.certificate);
  if (reply.token.index < reply.revision) {
    reply.token.index = reply.revision;
    reply.token.term = 0;
  }
  seen_.Raise(reply.token);
  anchors_.Add(reply.certificate.incarnation, reply.revision, call.first_sent);
  if (call.session == nullptr) return;
  if (call.operation == Operation::kCloseSession) {
    sessions_.Closed(*call.session);
  } else if (call.operation == Operation::kKeepSession) {
    // Every attempt is a command of its own: the one that was answered came after it was sent.
    sessions_.Answered(*call.session, call.attempt_sent);
  } else {
    sessions_.Answered(*call.session, call.first_sent);
  }
}

// ---- Refusals ----

void Core::OnRefusal(Connection& connection, Call& call, Error refusal) {
  EndAttempt(call, refusal.code, refusal.detail, &codec_.header());
  connection.Release(call);
  if (Node* node = nodes_.FindConnection(connection)) {
    Refused(*node, call, std::move(refusal), Clock::now());
  }
}

// A reply that refused `call`, which is not pending any more.
void Core::Refused(Node& node, Call& call, Error refusal, TimePoint now) {
  const bool promising = LearnFrom(node, refusal, now);
  if (call.seq != 0 && IsResultOfExecution(refusal.code)) {
    sessions_.Answered(*call.session, call.first_sent);
  }
  if (call.operation == Operation::kCloseSession && call.uncertain &&
      refusal.code == ErrorCode::kSessionExpired) {
    return DeliverClosed(call);
  }
  if (Ends(call, refusal)) {
    if (refusal.age) NoteRefusal(call, refusal);
    return Fail(call, std::move(refusal));
  }
  NoteRefusal(call, std::move(refusal));
  if (call.asks_once()) return Route(call, now);
  Retry(call, now, promising);
}

// True: another node is worth asking at once.
bool Core::LearnFrom(Node& node, const Error& refusal, TimePoint now) {
  switch (refusal.code) {
    case ErrorCode::kNotLeader:
    case ErrorCode::kNoLeader:
    case ErrorCode::kLeaderChanged: {
      nodes_.NotLeader(node);
      Node* leader = nodes_.Learn(refusal.leader.node, refusal.leader.address);
      if (leader != nullptr && leader != &node && nodes_.Usable(*leader, now)) {
        nodes_.SetLeader(leader);
      }
      node.trouble = {
          .code = refusal.code,
          .text = leader == nullptr ? "knows no leader" : "says that " + Name(*leader) + " leads"};
      return leader == nullptr || leader != &node;
    }
    case ErrorCode::kShuttingDown:
      nodes_.Suspect(node, now + kSuspicion);
      break;
    case ErrorCode::kNoQuorum:
    case ErrorCode::kNotCaughtUp:
    case ErrorCode::kStale:
    case ErrorCode::kClockJump:
      nodes_.NotLeader(node);
      break;
    default:
      node.trouble = {.code = refusal.code, .text = "refused: " + refusal.detail};
      return false;
  }
  node.trouble = {.code = refusal.code, .text = "refused: " + refusal.detail};
  return true;
}

void Core::NoteRefusal(Call& call, Error refusal) {
  if (refusal.age && (!call.best_age || *refusal.age < *call.best_age)) {
    call.best_age = refusal.age;
  }
  const Error* before = call.refusal.get();
  const bool worse = call.asks_once() && before != nullptr && before->age &&
                     (!refusal.age || *refusal.age >= *before->age);
  if (!worse) call.refusal = std::make_unique<Error>(std::move(refusal));
}

Error Core::NobodyAnswered(const Call& call) const {
  if (call.refusal) return *call.refusal;
  return MakeError(nodes_.WorstCode(), ErrorClass::kNotExecuted,
                   "no node answered: " + nodes_.Troubles());
}

void Core::GiveUp(Call& call, Error error, TimePoint now) {
  if (call.ladder == nullptr || call.ladder->last()) return Fail(call, std::move(error));
  Detach(call);
  error.attempts = call.attempts;
  call.ladder->misses.push_back({.rung = call.ladder->at, .error = std::move(error)});
  ++call.ladder->at;
  EnterRung(call, now);
  Route(call, now);
}

// ---- The end of a call ----

void Core::Fail(Call& call, Error error) {
  Detach(call);
  const bool executed = IsResultOfExecution(error.code);
  if (call.uncertain && !executed && error.error_class != ErrorClass::kUnknown) {
    error.error_class = ErrorClass::kUnknown;
    error.detail += "; an earlier attempt was not answered: the write may have been applied";
  }
  error.attempts = call.attempts;
  if (!error.best_age) error.best_age = call.best_age;
  error.explanation = call.explanation;
  if (SaysThatTheSessionEnded(call, error)) {
    call.session->ended = true;
    sessions_.Lost(*call.session);
  }
  const bool certainly_not = !executed && error.error_class != ErrorClass::kUnknown;
  Deliver(TakeOut(call, certainly_not), std::move(error));
}

CallPtr Core::TakeOut(Call& call, bool certainly_not_executed) {
  CallPtr taken = calls_.Remove(call);
  if (taken->seq != 0 || taken->queued) {
    Call* next = Release(*taken->session, *taken, certainly_not_executed);
    if (next != nullptr) Pause(*next, Clock::now());
  }
  return taken;
}

// From a post: whoever fails calls may be in the middle of a walk over them.
void Core::Deliver(CallPtr call, Error error) {
  pending_bytes_.fetch_sub(call->counted_bytes, std::memory_order_relaxed);
  Observe(*call, 0, &error);
  asio::post(loop_, [call = std::move(call), error = std::move(error)]() mutable {
    std::visit([&error](auto& handler) { handler(tl::make_unexpected(std::move(error))); },
               call->handler);
  });
}

// An attempt to close it that was not answered did.
void Core::DeliverClosed(Call& call) {
  CallPtr done = TakeOut(call, false);
  sessions_.Closed(*done->session);
  pending_bytes_.fetch_sub(done->counted_bytes, std::memory_order_relaxed);
  Observe(*done, 0, nullptr);
  asio::post(loop_, [done = std::move(done)]() mutable {
    WriteReply reply;
    reply.repeated = true;
    std::get<Handler<WriteReply>>(done->handler)(std::move(reply));
  });
}

void Core::Cancel(const Cancellation::State& cancellation) {
  std::vector<Call*> cancelled;
  for (const CallPtr& call : calls_) {
    if (call->cancellation.get() == &cancellation) cancelled.push_back(call.get());
  }
  for (Call* call : cancelled) {
    // A request that is queued still leaves: the connection lives on.
    const bool unknown = call->is_write() && call->connection != nullptr;
    Fail(*call,
         MakeError(ErrorCode::kCancelled, unknown ? ErrorClass::kUnknown : ErrorClass::kNotExecuted,
                   unknown ? "cancelled before a reply came: the write may have been applied"
                           : "cancelled before a reply came"));
  }
}

void Core::Close() {
  if (closed_) return;
  closed_ = true;
  door_->Close();
  sessions_.Stop();
  while (!calls_.empty()) {
    Call& call = calls_.top();
    const bool unknown =
        call.is_write() && call.connection != nullptr && call.connection->MaybeSent(call);
    Fail(call,
         MakeError(ErrorCode::kClosed, unknown ? ErrorClass::kUnknown : ErrorClass::kNotExecuted,
                   "the client was closed before a reply came"));
  }
  timer_.cancel();
  for (const auto& node : nodes_.nodes()) {
    if (node->connection != nullptr) node->connection->Shutdown();
    node->connection.reset();
  }
}

// ---- Keeping sessions ----

void Core::KeepSession(const std::shared_ptr<SessionState>& session) {
  const BootTime safe_until{std::chrono::nanoseconds(session->safe_until.load())};
  CallPtr call(new Call);
  call->operation = Operation::kKeepSession;
  call->type = FrameTypeOf(call->operation);
  call->session = session;
  call->body = EncodeKeepSession(session->id);
  call->timeout =
      std::max(milliseconds(1), std::chrono::floor<milliseconds>(safe_until - BootClock::now()));
  call->handler =
      Handler<WriteReply>([weak = weak_from_this(), session](const Result<WriteReply>& kept) {
        if (const auto core = weak.lock()) core->sessions_.Kept(*session, kept.has_value());
      });
  Submit(std::move(call));
}

// ---- Explaining and observing ----

void Core::BeginAttempt(const Node& node, Call& call, TimePoint now) {
  Attempt attempt;
  attempt.address = node.address;
  attempt.node = node.id;
  attempt.rung = call.ladder != nullptr ? call.ladder->at : 0;
  attempt.sent = std::chrono::floor<microseconds>(now - call.started);
  call.explanation->attempts.push_back(std::move(attempt));
  call.attempt_open = true;
}

void Core::EndAttempt(Call& call, const std::optional<ErrorCode>& refused, std::string_view detail,
                      const wire::ReplyHeader* reply) {
  if (!std::exchange(call.attempt_open, false)) return;
  Attempt& attempt = call.explanation->attempts.back();
  attempt.took = std::chrono::ceil<microseconds>(Clock::now() - call.started) - attempt.sent;
  attempt.refused = refused;
  attempt.detail = detail;
  if (reply != nullptr && reply->has_explanation()) attempt.view = ToView(reply->explanation());
}

void Core::Observe(const Call& call, std::uint64_t node, const Error* error) const {
  if (!options_.observer.on_call) return;
  CallEvent event;
  event.operation = ToString(call.operation);
  event.level = call.kind;
  event.node = node != 0 || call.last_node == nullptr ? node : call.last_node->id;
  event.attempts = call.attempts;
  if (call.started != TimePoint{}) {
    event.took = std::chrono::ceil<microseconds>(Clock::now() - call.started);
  }
  event.error = error;
  try {
    options_.observer.on_call(event);
  } catch (...) {
    Log(Severity::kWarning, "Observer::on_call threw");
  }
}

void Core::Log(Severity severity, std::string_view text) const {
  if (!options_.observer.on_log) return;
  try {
    options_.observer.on_log(severity, text);
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody left to tell
  }
}

}  // namespace quorate::internal
