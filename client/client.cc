#include "quorate/client.h"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "client/call.h"
#include "client/codec.h"
#include "client/core.h"

namespace quorate {

namespace asio = boost::asio;
using internal::Call;
using internal::CallPtr;

namespace internal {

void CallDeleter::operator()(Call* call) const {
  delete call;
}

namespace {

template <typename T>
void SubmitTyped(const std::shared_ptr<Core>& core, CallPtr call, Handler<T> handler) {
  call->handler = std::move(handler);
  core->Submit(std::move(call));
}

}  // namespace

void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<WriteReply> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<GetReply> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<ScanPage> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<NodeStatus> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<SnapshotTaken> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<std::string> handler) {
  SubmitTyped(core, std::move(call), std::move(handler));
}

}  // namespace internal

// ---- Making calls ----

namespace {

std::unique_ptr<Error> Invalid(ErrorCode code, std::string detail, std::uint64_t have = 0,
                               std::uint64_t want = 0) {
  auto error = std::make_unique<Error>();
  error->code = code;
  error->error_class = ErrorClass::kFinal;
  error->detail = std::move(detail);
  error->have = have;
  error->want = want;
  return error;
}

std::unique_ptr<Error> TooLarge(std::string_view what, std::size_t bytes, std::size_t limit) {
  return Invalid(ErrorCode::kTooLarge,
                 std::string(what) + " of " + std::to_string(bytes) +
                     " bytes exceeds the limit of " + std::to_string(limit),
                 bytes, limit);
}

std::unique_ptr<Error> CheckKey(std::string_view key) {
  if (key.empty()) {
    return Invalid(ErrorCode::kInvalid, "the key is empty; keys have 1 to " +
                                            std::to_string(wire::kMaxKeyBytes) + " bytes");
  }
  if (key.size() > wire::kMaxKeyBytes) return TooLarge("a key", key.size(), wire::kMaxKeyBytes);
  return nullptr;
}

std::unique_ptr<Error> CheckKeyAndValue(std::string_view key, std::string_view value) {
  if (auto error = CheckKey(key)) return error;
  if (value.size() > wire::kMaxValueBytes) {
    return TooLarge("a value", value.size(), wire::kMaxValueBytes);
  }
  return nullptr;
}

template <typename CallOrReadOptions>
CallPtr NewCall(wire::FrameType type, const CallOrReadOptions& o) {
  CallPtr call(new Call);
  call->type = type;
  call->timeout = o.timeout;
  call->node = o.node;
  call->request_id = o.request_id;
  return call;
}

CallPtr NewScan(const ScanOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kScan, o);
  call->level = o.level;
  call->scan = std::make_unique<internal::ScanQuery>();
  call->scan->page_items = o.page_items;
  call->scan->count_only = o.count_only;
  return call;
}

}  // namespace

CallPtr Client::MakePut(std::string_view key, std::string_view value, const CallOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kWrite, o);
  call->invalid = CheckKeyAndValue(key, value);
  if (!call->invalid) call->body = internal::EncodePut(key, value);
  return call;
}

CallPtr Client::MakeDelete(std::string_view key, const CallOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kWrite, o);
  call->invalid = CheckKey(key);
  if (!call->invalid) call->body = internal::EncodeDelete(key);
  return call;
}

CallPtr Client::MakeCompareAndSet(std::string_view key, const Expectation& expect,
                                  std::string_view value, const CallOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kWrite, o);
  call->invalid = CheckKeyAndValue(key, value);
  const auto* with_value = std::get_if<WithValue>(&expect);
  if (!call->invalid && with_value != nullptr && with_value->value.size() > wire::kMaxValueBytes) {
    call->invalid = TooLarge("an expected value", with_value->value.size(), wire::kMaxValueBytes);
  }
  if (!call->invalid) call->body = internal::EncodeCompareAndSet(key, expect, value);
  // Two values at their limits fit into no frame.
  if (call->body.size() + wire::kMaxHeaderBytes > wire::kMaxClientFrameBytes) {
    call->invalid = TooLarge("a compare-and-set", call->body.size(),
                             wire::kMaxClientFrameBytes - wire::kMaxHeaderBytes);
  }
  return call;
}

CallPtr Client::MakeGet(std::string_view key, const ReadOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kGet, o);
  call->level = o.level;
  call->invalid = CheckKey(key);
  if (!call->invalid) call->body = key;
  return call;
}

CallPtr Client::MakeScan(const Range& range, const ScanOptions& o) {
  CallPtr call = NewScan(o);
  const std::size_t longest = std::max(range.first.size(), range.last.size());
  if (longest > wire::kMaxKeyBytes) {
    call->invalid = TooLarge("a bound of the range", longest, wire::kMaxKeyBytes);
  } else {
    call->scan->range = range;
  }
  return call;
}

CallPtr Client::MakeScanNext(Cursor cursor, const ScanOptions& o) {
  CallPtr call = NewScan(o);
  call->scan->cursor = cursor;
  if (!cursor) {
    call->invalid = Invalid(ErrorCode::kInvalid, "the scan has ended: it has no next page");
  }
  return call;
}

CallPtr Client::MakeStatus(std::string_view endpoint, const CallOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kStatus, o);
  call->endpoint = endpoint;
  if (!internal::ParseHostPort(endpoint)) {
    call->invalid =
        Invalid(ErrorCode::kInvalid, "'" + std::string(endpoint) + "' is not a host:port address");
  }
  return call;
}

CallPtr Client::MakeSnapshot(const CallOptions& o) {
  return NewCall(wire::FrameType::kSnapshot, o);
}

CallPtr Client::MakeReadSnapshot(const SnapshotPiece& piece, const CallOptions& o) {
  CallPtr call = NewCall(wire::FrameType::kSnapshotRead, o);
  call->piece = piece;
  if (o.node == 0) {
    call->invalid = Invalid(ErrorCode::kInvalid, "name the node that keeps the snapshot");
  } else if (piece.bytes > wire::kMaxSnapshotReadBytes) {
    call->invalid = TooLarge("a piece of a snapshot", piece.bytes, wire::kMaxSnapshotReadBytes);
  }
  return call;
}

// ---- The loop ----

struct Client::IoThread {
  asio::io_context loop{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  std::thread thread;
};

Client::Client(Options options)
    : thread_(std::make_shared<IoThread>()),
      loop_(&thread_->loop),
      core_(std::make_shared<internal::Core>(*loop_, std::move(options))) {
  thread_->thread = std::thread([io = thread_] { io->loop.run(); });
}

Client::Client(asio::io_context& loop, Options options)
    : loop_(&loop), core_(std::make_shared<internal::Core>(loop, std::move(options))) {}

Client::~Client() {
  Close();
  if (thread_ == nullptr) return;
  thread_->work.reset();
  if (thread_->thread.get_id() == std::this_thread::get_id()) {
    // Destroyed by one of its own handlers: the loop ends, and is freed, once that has returned.
    thread_->thread.detach();
  } else {
    thread_->thread.join();
  }
}

void Client::Close() {
  asio::dispatch(*loop_, [core = core_] { core->Close(); });
}

// ---- Blocking ----

namespace {

// Shared, not on the stack: if the caller's loop is not being run, the handler may come after the
// wait was given up.
template <typename T>
struct Waiting {
  std::mutex mutex;
  std::condition_variable arrived;
  std::optional<T> value;

  void Set(T result) {
    const std::lock_guard lock(mutex);
    value.emplace(std::move(result));
    arrived.notify_one();
  }

  bool WaitFor(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex);
    return arrived.wait_for(lock, time, [this] { return value.has_value(); });
  }
};

// Calls end by their deadline; this much later the loop cannot be running.
constexpr std::chrono::milliseconds kGrace{10'000};

void RefuseOnLoop(asio::io_context& loop) {
  if (loop.get_executor().running_in_this_thread()) {
    throw std::logic_error("a blocking call of quorate::Client from its own loop");
  }
}

template <typename T>
Result<T> Wait(asio::io_context& loop, const std::shared_ptr<internal::Core>& core, CallPtr call) {
  RefuseOnLoop(loop);
  const auto timeout = call->timeout.count() > 0 ? call->timeout : core->default_timeout();
  const bool is_write = call->is_write();
  auto waiting = std::make_shared<Waiting<Result<T>>>();
  internal::Submit(core, std::move(call),
                   Handler<T>([waiting](Result<T> result) { waiting->Set(std::move(result)); }));
  if (waiting->WaitFor(timeout + kGrace)) return std::move(*waiting->value);
  Error error;
  error.error_class = is_write ? ErrorClass::kUnknown : ErrorClass::kNotExecuted;
  error.detail = "nothing runs the loop that this client was given";
  return tl::make_unexpected(std::move(error));
}

}  // namespace

Result<WriteReply> Client::Put(std::string_view key, std::string_view value, const CallOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakePut(key, value, o));
}

Result<WriteReply> Client::Delete(std::string_view key, const CallOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeDelete(key, o));
}

Result<WriteReply> Client::CompareAndSet(std::string_view key, const Expectation& expect,
                                         std::string_view value, const CallOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeCompareAndSet(key, expect, value, o));
}

Result<GetReply> Client::Get(std::string_view key, const ReadOptions& o) {
  return Wait<GetReply>(*loop_, core_, MakeGet(key, o));
}

Result<ScanPage> Client::Scan(const Range& range, const ScanOptions& o) {
  return Wait<ScanPage>(*loop_, core_, MakeScan(range, o));
}

Result<ScanPage> Client::ScanNext(Cursor cursor, const ScanOptions& o) {
  return Wait<ScanPage>(*loop_, core_, MakeScanNext(cursor, o));
}

Result<NodeStatus> Client::Status(std::string_view endpoint, const CallOptions& o) {
  return Wait<NodeStatus>(*loop_, core_, MakeStatus(endpoint, o));
}

Result<SnapshotTaken> Client::Snapshot(const CallOptions& o) {
  return Wait<SnapshotTaken>(*loop_, core_, MakeSnapshot(o));
}

Result<std::string> Client::ReadSnapshot(const SnapshotPiece& piece, const CallOptions& o) {
  return Wait<std::string>(*loop_, core_, MakeReadSnapshot(piece, o));
}

std::vector<Member> Client::Members() {
  RefuseOnLoop(*loop_);
  auto waiting = std::make_shared<Waiting<std::vector<Member>>>();
  asio::post(*loop_, [core = core_, waiting] { waiting->Set(core->Members()); });
  return waiting->WaitFor(kGrace) ? std::move(*waiting->value) : std::vector<Member>();
}

}  // namespace quorate
