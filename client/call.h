// One call, from its start to its completion.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "client/proto/frame.h"
#include "quorate/client.h"

namespace quorate::internal {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

class Connection;
struct Node;

using AnyHandler = std::variant<Handler<WriteReply>, Handler<GetReply>, Handler<ScanPage>,
                                Handler<NodeStatus>, Handler<SnapshotTaken>, Handler<std::string>>;

struct ScanQuery {
  Range range;
  std::uint32_t page_items = 0;
  bool count_only = false;
  Cursor cursor;  // set: the range is the node's business
};

struct Call {
  // What is asked; fixed once started.
  wire::FrameType type = wire::FrameType::kGet;
  Level level;                      // reads
  std::string body;                 // the key, or the encoded Command
  std::unique_ptr<ScanQuery> scan;  // kScan
  SnapshotPiece piece;              // kSnapshotRead
  std::string endpoint;             // kStatus: asked of this address only
  std::uint64_t node = 0;           // pinned to this node id; 0: not pinned
  std::string request_id;
  std::chrono::milliseconds timeout{0};
  std::unique_ptr<Error> invalid;  // found while it was made: fails without being sent
  AnyHandler handler;
  TimePoint deadline;

  // Where it stands. At most one of the two is set; neither: it waits to be routed again.
  Connection* connection = nullptr;  // it lies in this connection's pending table
  Node* dialling = nullptr;          // it waits for this node's dial

  // Pending at `connection`.
  std::uint64_t request = 0;     // id of the attempt
  std::uint64_t stream_end = 0;  // the connection's stream offset where the frame ends
  TimePoint sent_at;

  // Over all attempts.
  TimePoint wake;              // the deadline, or an earlier time to look at it again
  std::size_t heap_index = 0;  // in the CallHeap
  std::size_t counted_bytes = 0;
  Node* last_node = nullptr;  // tried last: the next choice starts after it
  int attempts = 0;
  int quick_retries = 0;  // left before the next one backs off
  int backoffs = 0;
  int dead_rounds = 0;             // times no node at all could be dialled
  std::unique_ptr<Error> refusal;  // the last reply that refused it

  bool is_write() const { return type == wire::FrameType::kWrite; }
  bool pinned() const { return node != 0 || !endpoint.empty() || continues_scan(); }
  bool continues_scan() const { return scan != nullptr && scan->cursor; }
  bool wants_leader() const { return is_write() || level.strong(); }
};

}  // namespace quorate::internal
