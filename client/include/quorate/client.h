// A client of a Quorate cluster.
//
//   quorate::Client client({.endpoints = {"127.0.0.1:7001", "127.0.0.1:7002"}});
//   auto put = client.Put("colour", "green");
//   if (!put) std::cerr << put.error().detail << '\n';
//   auto got = client.Get("colour", {.level = quorate::kEventual, .timeout = 50ms});
//   if (got && got->found) std::cout << got->value << " at index " << got->revision << '\n';
//
// Every call also comes as Async..., with any Asio completion token of signature void(Result<T>): a
// callback, boost::asio::use_future, boost::asio::use_awaitable.
//
// What to rely on:
// - One deadline bounds a call: queueing, dialling, retries and reply. When it passes the call
// completes at once,
//   and its connection lives on.
// - What was certainly not executed is tried again, with jittered exponential back-off, until the
// deadline. A write
//   is never sent again once it may have been executed: it ends with ErrorClass::kUnknown. Reads
//   are always tried again.
// - Writes and strong reads go to the leader, which is found and followed; eventual reads stay with
// one node, chosen
//   at random. There is one connection to a node, dialled when first needed; calls share it.
// - When every endpoint refuses, calls end with kCannotConnect after about a tenth of a second, not
// at the deadline.
// - Keys of 1 byte to 4 KiB, values of up to 1 MiB. Calls beyond Options::max_pending_bytes fail
// with kOverloaded.
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
#include "quorate/result.h"
#include "quorate/types.h"

namespace quorate {

struct Options {
  // host:port of some nodes; the others are learned from these. At least one, at most 64 are kept.
  std::vector<std::string> endpoints{};
  // Nodes of any other cluster are refused. Zero: the first node that answers decides.
  std::uint64_t cluster_id = 0;
  std::string name = "quorate-client";      // for the nodes' logs; at most 128 bytes
  std::chrono::milliseconds timeout{2000};  // of calls that name none
  // A node that has not answered a dial in this time is passed over. The call's own deadline still
  // holds.
  std::chrono::milliseconds dial_timeout{500};
  // Of requests that have not completed, over all nodes.
  std::size_t max_pending_bytes = std::size_t{64} << 20;
};

namespace internal {
class Core;
struct Call;
struct CallDeleter {
  void operator()(Call* call) const;
};
using CallPtr = std::unique_ptr<Call, CallDeleter>;
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<WriteReply> handler);
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<GetReply> handler);
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<ScanPage> handler);
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<NodeStatus> handler);
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<SnapshotTaken> handler);
void Submit(const std::shared_ptr<Core>& core, CallPtr call, Handler<std::string> handler);
}  // namespace internal

// Thread-safe, except for destruction. Handlers run on the loop's thread, or on their associated
// executor if they have one; those that take long hold up everything else on the loop.
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
  // sent). Later calls fail with kClosed, too.
  void Close();

  // ---- Blocking. Not from a handler: that would wait for itself, and throws std::logic_error.
  // ----

  Result<WriteReply> Put(std::string_view key, std::string_view value, const CallOptions& o = {});
  Result<WriteReply> Delete(std::string_view key, const CallOptions& o = {});
  // Sets the key if the expectation holds; otherwise changes nothing and fails with kCompareFailed.
  Result<WriteReply> CompareAndSet(std::string_view key, const Expectation& expect,
                                   std::string_view value, const CallOptions& o = {});
  Result<GetReply> Get(std::string_view key, const ReadOptions& o = {});
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

  // ---- Asynchronous. Arguments are copied before the call returns; handlers are never called
  // before it does. ----

  template <typename Token>
  auto AsyncPut(std::string_view key, std::string_view value, const CallOptions& o, Token&& token) {
    return Initiate<WriteReply>(MakePut(key, value, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncDelete(std::string_view key, const CallOptions& o, Token&& token) {
    return Initiate<WriteReply>(MakeDelete(key, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncCompareAndSet(std::string_view key, const Expectation& expect, std::string_view value,
                          const CallOptions& o, Token&& token) {
    return Initiate<WriteReply>(MakeCompareAndSet(key, expect, value, o),
                                std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncGet(std::string_view key, const ReadOptions& o, Token&& token) {
    return Initiate<GetReply>(MakeGet(key, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncScan(const Range& range, const ScanOptions& o, Token&& token) {
    return Initiate<ScanPage>(MakeScan(range, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncScanNext(Cursor cursor, const ScanOptions& o, Token&& token) {
    return Initiate<ScanPage>(MakeScanNext(cursor, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncStatus(std::string_view endpoint, const CallOptions& o, Token&& token) {
    return Initiate<NodeStatus>(MakeStatus(endpoint, o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncSnapshot(const CallOptions& o, Token&& token) {
    return Initiate<SnapshotTaken>(MakeSnapshot(o), std::forward<Token>(token));
  }
  template <typename Token>
  auto AsyncReadSnapshot(const SnapshotPiece& piece, const CallOptions& o, Token&& token) {
    return Initiate<std::string>(MakeReadSnapshot(piece, o), std::forward<Token>(token));
  }

 private:
  struct IoThread;

  static internal::CallPtr MakePut(std::string_view key, std::string_view value,
                                   const CallOptions& o);
  static internal::CallPtr MakeDelete(std::string_view key, const CallOptions& o);
  static internal::CallPtr MakeCompareAndSet(std::string_view key, const Expectation& expect,
                                             std::string_view value, const CallOptions& o);
  static internal::CallPtr MakeGet(std::string_view key, const ReadOptions& o);
  static internal::CallPtr MakeScan(const Range& range, const ScanOptions& o);
  static internal::CallPtr MakeScanNext(Cursor cursor, const ScanOptions& o);
  static internal::CallPtr MakeStatus(std::string_view endpoint, const CallOptions& o);
  static internal::CallPtr MakeSnapshot(const CallOptions& o);
  static internal::CallPtr MakeReadSnapshot(const SnapshotPiece& piece, const CallOptions& o);

  // The call is complete in itself: a lazy token (use_awaitable) may start it after the arguments
  // are gone.
  template <typename T, typename Token>
  auto Initiate(internal::CallPtr call, Token&& token) {
    return boost::asio::async_initiate<Token, void(Result<T>)>(
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
          internal::Submit(core, std::move(started), Handler<T>(std::move(complete)));
        },
        token, std::move(call));
  }

  std::shared_ptr<IoThread> thread_;  // null on the caller's loop
  boost::asio::io_context* loop_;
  std::shared_ptr<internal::Core> core_;
};

}  // namespace quorate
