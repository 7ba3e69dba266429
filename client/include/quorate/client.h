// A client of a Quorate cluster.
//
//   quorate::Client client({.endpoints = {"127.0.0.1:7001", "127.0.0.1:7002"}});
//   auto put = client.Put("colour", "green");
//   if (!put) std::cerr << put.error().detail << '\n';
//   auto got = client.Get("colour", {.level = quorate::StaleBy(200ms), .timeout = 50ms});
//   if (got && got->found) std::cout << got->value << " at index " << got->revision << '\n';
//
// The other headers: level.h (how fresh a read must be), token.h (what a client has seen),
// options.h, read.h and write.h (what calls take and answer), certificate.h, session.h (exactly
// once), explanation.h (why a read was answered so), status.h (nodes, snapshots), result.h
// (errors).
//
// Every call also comes as Async..., with any Asio completion token of signature void(Result<T>): a
// callback, boost::asio::use_future, boost::asio::use_awaitable.
//
// What to rely on:
// - One deadline bounds a call: queueing, dialling, retries and reply. When it passes the call
//   completes at once, and its connection lives on.
// - What was certainly not executed is tried again, with jittered exponential back-off, until the
//   deadline. A write is never sent again once it may have been executed: it ends with
//   ErrorClass::kUnknown. With a Session it is sent again, and executed once. Reads are always
//   tried again.
// - A client reads its own writes and never goes back, whichever node answers and whatever the
// level
//   (Options::session_guarantees).
// - Writes and strong reads go to the leader, which is found and followed; other reads stay with
// one
//   node, chosen at random, until it fails or refuses them. There is one connection to a node,
//   dialled when first needed; calls share it.
// - When every endpoint refuses, calls end with kCannotConnect after about a tenth of a second, not
//   at the deadline.
// - Keys of 1 byte to 4 KiB, values of up to 1 MiB. Calls beyond Options::max_pending_bytes fail
//   with kOverloaded.
// - No call throws, but for the one misuse named below.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "quorate/handler.h"
#include "quorate/level.h"
#include "quorate/options.h"
#include "quorate/read.h"
#include "quorate/result.h"
#include "quorate/session.h"
#include "quorate/status.h"
#include "quorate/token.h"
#include "quorate/write.h"

namespace quorate {

namespace internal {
class Core;
struct Call;
struct CallDeleter {
  void operator()(Call* call) const;
};
using CallPtr = std::unique_ptr<Call, CallDeleter>;
// For the reply types of Client's calls only.
template <typename T>
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<T> handler);
}  // namespace internal

// Thread-safe, except for destruction. Handlers run on the loop's thread, or on their associated
// executor if they have one; those that take long hold up everything else on the loop. What a
// handler throws reaches whoever runs the loop; the owned thread reports it to Observer::on_log and
// goes on.
class Client {
 public:
  // Owns one thread, which runs the loop until the client is destroyed.
  explicit Client(Options options);

  // Runs on the caller's loop, which one thread at a time may run and which must outlive the
  // client. The blocking calls then need another thread than that one.
  Client(boost::asio::io_context& loop, Options options);

  // Closes. Waits for the owned thread only, thus for a handler that is running, never for the
  // network.
  ~Client();
  Client(Client&&) = delete;

  // Completes every outstanding call now with kClosed (kUnknown for writes that may have been
  // sent). Later calls fail with kClosed, too. Sessions are left to end by themselves.
  void Close();

  // ---- Blocking. Not from a handler: that would wait for itself, and throws std::logic_error.
  // ----

  Result<WriteReply> Put(std::string_view key, std::string_view value, const WriteOptions& o = {});
  Result<WriteReply> Delete(std::string_view key, const WriteOptions& o = {});
  // Sets the key if the expectation holds; otherwise changes nothing and fails with kCompareFailed.
  Result<WriteReply> CompareAndSet(std::string_view key, const Expectation& expect,
                                   std::string_view value, const WriteOptions& o = {});
  // Adds to a decimal number of 64 bits; an absent key counts as 0. The sum is in the reply.
  // kNotANumber, kOutOfRange: nothing was changed.
  Result<WriteReply> Increment(std::string_view key, std::int64_t by, const WriteOptions& o = {});
  // Puts bytes behind the value; an absent key counts as empty. kValueTooLarge: nothing was
  // changed.
  Result<WriteReply> Append(std::string_view key, std::string_view value,
                            const WriteOptions& o = {});
  Result<TransactionReply> Execute(const Transaction& transaction, const WriteOptions& o = {});
  // One step: deletes the first max_keys (1 to 1,000) keys of the range, atomically, and says where
  // to go on. Several steps together are not atomic.
  Result<DeleteRangeReply> DeleteRange(const Range& range, std::uint32_t max_keys,
                                       const WriteOptions& o = {});

  // Kept alive until it is closed or lost, or the client is.
  Result<Session> OpenSession(const SessionOptions& options = {}, const CallOptions& o = {});
  // Ends it, and deletes the keys attached to it.
  Result<WriteReply> CloseSession(const Session& session, const CallOptions& o = {});

  Result<GetReply> Get(std::string_view key, const ReadOptions& o = {});
  // All at one index. At most 1,000 keys, together of at most 63 KiB; keys and values of the answer at
  // most 1 MiB.
  Result<MultiGetReply> MultiGet(const std::vector<std::string>& keys, const ReadOptions& o = {});
  Result<ScanPage> Scan(const Range& range, const ScanOptions& o = {});
  // The page after the one that gave `cursor`. kCursorExpired if the cursor is too old or its
  // connection broke.
  Result<ScanPage> ScanNext(Cursor cursor, const ScanOptions& o = {});

  Result<NodeStatus> Status(std::string_view endpoint, const CallOptions& o = {});
  // Has CallOptions::node take a snapshot of its state now. Large ones take a while: give it a
  // timeout of minutes.
  Result<SnapshotTaken> Snapshot(const CallOptions& o = {});
  // Fewer bytes than asked for come only at the end of the file. CallOptions::node must name the
  // node that took it. kSnapshotGone: it is no longer kept.
  Result<std::string> ReadSnapshot(const SnapshotPiece& piece, const CallOptions& o);
  // The nodes known so far: the endpoints, then those learned.
  std::vector<Member> Members();

  // ---- What this client has seen. Never wait; from any thread, handlers included. ----

  // Everything that its replies and acknowledged writes have shown; false: nothing yet.
  Token Seen() const;
  // From now on reads include this as well (unless session guarantees are off). A token of another
  // history replaces what was seen: reads fail with kDiverged unless the cluster is of that
  // history.
  void Include(const Token& token);

  // ---- Asynchronous. Arguments are copied before the call returns; handlers are never called
  // before it does. ----

  template <typename CompletionToken>
  auto AsyncPut(std::string_view key, std::string_view value, const WriteOptions& o,
                CompletionToken&& token) {
    return Initiate<WriteReply>(MakePut(key, value, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncDelete(std::string_view key, const WriteOptions& o, CompletionToken&& token) {
    return Initiate<WriteReply>(MakeDelete(key, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncCompareAndSet(std::string_view key, const Expectation& expect, std::string_view value,
                          const WriteOptions& o, CompletionToken&& token) {
    return Initiate<WriteReply>(MakeCompareAndSet(key, expect, value, o),
                                std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncIncrement(std::string_view key, std::int64_t by, const WriteOptions& o,
                      CompletionToken&& token) {
    return Initiate<WriteReply>(MakeIncrement(key, by, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncAppend(std::string_view key, std::string_view value, const WriteOptions& o,
                   CompletionToken&& token) {
    return Initiate<WriteReply>(MakeAppend(key, value, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncExecute(const Transaction& transaction, const WriteOptions& o,
                    CompletionToken&& token) {
    return Initiate<TransactionReply>(MakeExecute(transaction, o),
                                      std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncDeleteRange(const Range& range, std::uint32_t max_keys, const WriteOptions& o,
                        CompletionToken&& token) {
    return Initiate<DeleteRangeReply>(MakeDeleteRange(range, max_keys, o),
                                      std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncOpenSession(const SessionOptions& options, const CallOptions& o,
                        CompletionToken&& token) {
    return Initiate<Session>(MakeOpenSession(options, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncCloseSession(const Session& session, const CallOptions& o, CompletionToken&& token) {
    return Initiate<WriteReply>(MakeCloseSession(session, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncGet(std::string_view key, const ReadOptions& o, CompletionToken&& token) {
    return Initiate<GetReply>(MakeGet(key, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncMultiGet(const std::vector<std::string>& keys, const ReadOptions& o,
                     CompletionToken&& token) {
    return Initiate<MultiGetReply>(MakeMultiGet(keys, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncScan(const Range& range, const ScanOptions& o, CompletionToken&& token) {
    return Initiate<ScanPage>(MakeScan(range, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncScanNext(Cursor cursor, const ScanOptions& o, CompletionToken&& token) {
    return Initiate<ScanPage>(MakeScanNext(cursor, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncStatus(std::string_view endpoint, const CallOptions& o, CompletionToken&& token) {
    return Initiate<NodeStatus>(MakeStatus(endpoint, o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncSnapshot(const CallOptions& o, CompletionToken&& token) {
    return Initiate<SnapshotTaken>(MakeSnapshot(o), std::forward<CompletionToken>(token));
  }
  template <typename CompletionToken>
  auto AsyncReadSnapshot(const SnapshotPiece& piece, const CallOptions& o,
                         CompletionToken&& token) {
    return Initiate<std::string>(MakeReadSnapshot(piece, o), std::forward<CompletionToken>(token));
  }

 private:
  struct IoThread;

  static internal::CallPtr MakePut(std::string_view key, std::string_view value,
                                   const WriteOptions& o);
  static internal::CallPtr MakeDelete(std::string_view key, const WriteOptions& o);
  static internal::CallPtr MakeCompareAndSet(std::string_view key, const Expectation& expect,
                                             std::string_view value, const WriteOptions& o);
  static internal::CallPtr MakeIncrement(std::string_view key, std::int64_t by,
                                         const WriteOptions& o);
  static internal::CallPtr MakeAppend(std::string_view key, std::string_view value,
                                      const WriteOptions& o);
  static internal::CallPtr MakeExecute(const Transaction& transaction, const WriteOptions& o);
  static internal::CallPtr MakeDeleteRange(const Range& range, std::uint32_t max_keys,
                                           const WriteOptions& o);
  static internal::CallPtr MakeOpenSession(const SessionOptions& options, const CallOptions& o);
  static internal::CallPtr MakeCloseSession(const Session& session, const CallOptions& o);
  static internal::CallPtr MakeGet(std::string_view key, const ReadOptions& o);
  static internal::CallPtr MakeMultiGet(const std::vector<std::string>& keys, const ReadOptions& o);
  static internal::CallPtr MakeScan(const Range& range, const ScanOptions& o);
  static internal::CallPtr MakeScanNext(Cursor cursor, const ScanOptions& o);
  static internal::CallPtr MakeStatus(std::string_view endpoint, const CallOptions& o);
  static internal::CallPtr MakeSnapshot(const CallOptions& o);
  static internal::CallPtr MakeReadSnapshot(const SnapshotPiece& piece, const CallOptions& o);

  // The call is complete in itself: a lazy token (use_awaitable) may start it after the arguments
  // are gone.
  template <typename T, typename CompletionToken>
  auto Initiate(internal::CallPtr call, CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(Result<T>)>(
        [core = core_, loop = loop_](auto handler, internal::CallPtr started) {
          auto complete = [loop, handler = std::move(handler)](Result<T> result) mutable {
            const auto own = loop->get_executor();
            auto executor = boost::asio::get_associated_executor(handler, own);
            if constexpr (std::is_same_v<decltype(executor), std::decay_t<decltype(own)>>) {
              if (executor == own) return std::move(handler)(std::move(result));
            }
            boost::asio::dispatch(
                executor, [handler = std::move(handler), result = std::move(result)]() mutable {
                  std::move(handler)(std::move(result));
                });
          };
          internal::Submit<T>(core, std::move(started), Handler<T>(std::move(complete)));
        },
        token, std::move(call));
  }

  std::shared_ptr<IoThread> thread_;  // null on the caller's loop
  boost::asio::io_context* loop_;
  std::shared_ptr<internal::Core> core_;
};

}  // namespace quorate
