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
#include "client/core.h"

namespace quorate {

namespace asio = boost::asio;
using internal::CallPtr;

namespace internal {

void CallDeleter::operator()(Call* call) const {
  delete call;
}

template <typename T>
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<T> handler) {
  call->handler = std::move(handler);
  core->Submit(std::move(call));
}

template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<WriteReply>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<TransactionReply>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<DeleteRangeReply>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<Session>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<GetReply>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<MultiGetReply>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<ScanPage>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<NodeStatus>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<SnapshotTaken>);
template void Submit(const std::shared_ptr<Core>&, CallPtr, Handler<std::string>);

}  // namespace internal

// ---- The loop ----

struct Client::IoThread {
  asio::io_context loop{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{loop.get_executor()};
  std::thread thread;
};

namespace {

// True: the loop has ended. What a handler throws ends neither the loop nor the process.
bool RunUntilItThrows(asio::io_context& loop, const std::weak_ptr<internal::Core>& weak) {
  std::string what = "something that is no std::exception";
  try {
    loop.run();
    return true;
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {  // NOLINT(bugprone-empty-catch): said below
  }
  if (const auto core = weak.lock()) {
    core->Log(Severity::kWarning, "a completion handler threw: " + what);
  }
  return false;
}

}  // namespace

Client::Client(Options options)
    : thread_(std::make_shared<IoThread>()),
      loop_(&thread_->loop),
      core_(internal::Core::Make(*loop_, std::move(options))) {
  thread_->thread = std::thread([io = thread_, core = std::weak_ptr(core_)] {
    while (!RunUntilItThrows(io->loop, core)) {
    }
  });
}

Client::Client(asio::io_context& loop, Options options)
    : loop_(&loop), core_(internal::Core::Make(loop, std::move(options))) {}

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
  // At once, not on the loop: it may never run again, and who cancels then must not find it.
  core_->CloseDoor();
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

Result<WriteReply> Client::Put(std::string_view key, std::string_view value,
                               const WriteOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakePut(key, value, o));
}

Result<WriteReply> Client::Delete(std::string_view key, const WriteOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeDelete(key, o));
}

Result<WriteReply> Client::CompareAndSet(std::string_view key, const Expectation& expect,
                                         std::string_view value, const WriteOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeCompareAndSet(key, expect, value, o));
}

Result<WriteReply> Client::Increment(std::string_view key, std::int64_t by, const WriteOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeIncrement(key, by, o));
}

Result<WriteReply> Client::Append(std::string_view key, std::string_view value,
                                  const WriteOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeAppend(key, value, o));
}

Result<TransactionReply> Client::Execute(const Transaction& transaction, const WriteOptions& o) {
  return Wait<TransactionReply>(*loop_, core_, MakeExecute(transaction, o));
}

Result<DeleteRangeReply> Client::DeleteRange(const Range& range, std::uint32_t max_keys,
                                             const WriteOptions& o) {
  return Wait<DeleteRangeReply>(*loop_, core_, MakeDeleteRange(range, max_keys, o));
}

Result<Session> Client::OpenSession(const SessionOptions& options, const CallOptions& o) {
  return Wait<Session>(*loop_, core_, MakeOpenSession(options, o));
}

Result<WriteReply> Client::CloseSession(const Session& session, const CallOptions& o) {
  return Wait<WriteReply>(*loop_, core_, MakeCloseSession(session, o));
}

Result<GetReply> Client::Get(std::string_view key, const ReadOptions& o) {
  return Wait<GetReply>(*loop_, core_, MakeGet(key, o));
}

Result<MultiGetReply> Client::MultiGet(const std::vector<std::string>& keys, const ReadOptions& o) {
  return Wait<MultiGetReply>(*loop_, core_, MakeMultiGet(keys, o));
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

// ---- What was seen ----

Token Client::Seen() const {
  return core_->seen().Get();
}

void Client::Include(const Token& token) {
  core_->seen().Include(token);
}

std::vector<Member> Client::Members() {
  RefuseOnLoop(*loop_);
  auto waiting = std::make_shared<Waiting<std::vector<Member>>>();
  asio::post(*loop_, [core = core_, waiting] { waiting->Set(core->Members()); });
  return waiting->WaitFor(kGrace) ? std::move(*waiting->value) : std::vector<Member>();
}

}  // namespace quorate
