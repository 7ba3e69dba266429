// One call, from its start to its completion.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/boot_clock.h"
#include "client/proto/frame.h"
#include "client/session.h"
#include "quorate/client.h"

namespace quorate::internal {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

class Connection;
struct Node;

enum class Operation : std::uint8_t {
  kPut,
  kDelete,
  kCompareAndSet,
  kIncrement,
  kAppend,
  kTransaction,
  kDeleteRange,
  kOpenSession,
  kKeepSession,
  kCloseSession,
  kGet,
  kMultiGet,
  kScan,
  kStatus,
  kSnapshot,
  kReadSnapshot,
};

std::string_view ToString(Operation operation);
wire::FrameType FrameTypeOf(Operation operation);

using AnyHandler =
    std::variant<Handler<WriteReply>, Handler<TransactionReply>, Handler<DeleteRangeReply>,
                 Handler<Session>, Handler<GetReply>, Handler<MultiGetReply>, Handler<ScanPage>,
                 Handler<NodeStatus>, Handler<SnapshotTaken>, Handler<std::string>>;

struct ScanQuery {
  Range range;
  std::uint32_t page_items = 0;
  bool count_only = false;
  Cursor cursor;  // set: the range is the node's business
};

// How far a call is down its SLA.
struct Ladder {
  Sla rungs;
  std::size_t at = 0;
  std::vector<Miss> misses{};

  bool last() const { return at + 1 == rungs.size(); }
};

struct Call {
  // What is asked; fixed once started.
  Operation operation = Operation::kGet;
  wire::FrameType type = wire::FrameType::kGet;
  std::string body;                 // the key, or the encoded Command
  std::vector<std::string> keys;    // kMultiGet
  std::unique_ptr<ScanQuery> scan;  // kScan
  SnapshotPiece piece;              // kReadSnapshot
  SessionOptions session_options;   // kOpenSession
  std::string endpoint;             // kStatus: asked of this address only
  std::uint64_t node = 0;           // pinned to this node id; 0: not pinned
  std::string request_id;
  std::chrono::milliseconds timeout{0};
  std::shared_ptr<Cancellation::State> cancellation;
  std::optional<bool> session_guarantees{};
  bool return_previous = false;
  std::unique_ptr<Error> invalid;  // found while it was made: fails without being sent
  AnyHandler handler;
  TimePoint started;
  TimePoint deadline;
  BootTime invoked;

  // ---- Reads ----
  Level level;                     // of the rung that is tried; its token includes `seen`
  std::string_view kind;           // of the level that was asked for, for observers
  Token seen;                      // by this client when the call began; nothing: not asked for
  std::unique_ptr<Ladder> ladder;  // null: no SLA
  TimePoint until;                 // the rung's own deadline; without an SLA the call's
  std::uint64_t asked = 0;         // nodes asked on this rung, by Node::position
  std::unique_ptr<Error> refusal;  // the most telling of those that refused it
  std::optional<std::chrono::microseconds> best_age{};
  std::shared_ptr<Explanation> explanation;  // null: not asked for
  bool attempt_open = false;                 // its last attempt has not ended

  // ---- Writes ----
  std::shared_ptr<SessionState> session;  // null: none. Also of session operations
  std::uint64_t seq = 0;                  // 0: not part of the session's sequence
  bool queued = false;            // ordered session: it waits for those before it to be answered
  std::size_t command_bytes = 0;  // of `body`; behind it the latest attempt's SessionRef
  bool uncertain = false;         // an attempt that was given up may have been executed
  BootTime first_sent{};

  // Where it stands. At most one of the two is set; neither: it waits to be routed again.
  Connection* connection = nullptr;  // it lies in this connection's pending table
  Node* dialling = nullptr;          // it waits for this node's dial

  // Pending at `connection`.
  std::uint64_t request = 0;     // id of the attempt
  std::uint64_t stream_end = 0;  // the connection's stream offset where the frame ends
  TimePoint sent_at;
  BootTime attempt_sent{};

  // Over all attempts.
  TimePoint wake;              // the deadline, or an earlier time to look at it again
  std::size_t heap_index = 0;  // in the CallHeap
  std::size_t counted_bytes = 0;
  Node* last_node = nullptr;  // tried last: the next choice starts after it
  int attempts = 0;
  int quick_retries = 0;  // left before the next one backs off
  int backoffs = 0;
  int dead_rounds = 0;  // times no node at all could be dialled

  bool is_write() const { return type == wire::FrameType::kWrite; }
  // Asking again does no harm. At worst another session is opened that nobody uses, and it ends by
  // itself.
  bool repeatable() const { return session != nullptr || operation == Operation::kOpenSession; }
  bool is_read() const { return operation >= Operation::kGet && operation <= Operation::kScan; }
  bool pinned() const { return node != 0 || !endpoint.empty() || continues_scan(); }
  bool continues_scan() const { return scan != nullptr && scan->cursor; }
  bool wants_leader() const { return is_write() || level.strong(); }
  // Each node is asked at most once, then the read falls, or fails.
  bool asks_once() const {
    return is_read() && !continues_scan() &&
           (level.on_unmet == OnUnmet::kRefuse || (ladder != nullptr && !ladder->last()));
  }
};

}  // namespace quorate::internal
