// Options of a client and of its calls.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quorate/result.h"

namespace quorate {

// ---- Cancelling ----

// Give one to any number of calls; Cancel() ends those that are outstanding with kCancelled
// (kUnknown class for writes that may have been sent). Connections and other calls stay. Copies are
// the same. Thread-safe.
class Cancellation {
 public:
  Cancellation() = default;  // cancels nothing
  static Cancellation Make();

  void Cancel() const;
  explicit operator bool() const { return state_ != nullptr; }

  struct State;
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

// ---- Watching a client ----

// One call that has ended.
struct CallEvent {
  std::string_view operation;  // "put", "get", ...
  std::string_view level;      // reads: "strong", "bounded", "session", "eventual"; else empty
  std::uint64_t node = 0;      // that answered last; 0: none did
  int attempts = 0;
  std::chrono::microseconds took{0};
  const Error* error = nullptr;  // null: success
};

enum class Severity : std::uint8_t { kDebug, kInfo, kWarning };

// For metrics and logs. Called on the loop; must not block, nor throw. Either may be empty.
struct Observer {
  std::function<void(const CallEvent&)> on_call{};
  std::function<void(Severity, std::string_view text)> on_log{};
};

// ---- A client ----

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
  // Read your writes, and never go back: reads of every level include what this client has seen,
  // whichever node answers. Off: each read stands alone.
  bool session_guarantees = true;
  Observer observer{};
};

// What calls without options of their own take: status, snapshots, session operations.
struct CallOptions {
  // One deadline over queueing, dialling, retries and reply. Zero: Options::timeout.
  std::chrono::milliseconds timeout{0};
  // Only this node is asked, whatever it answers: no other replaces it. Zero: the library chooses.
  std::uint64_t node = 0;
  // The caller's name for the request in the nodes' logs; at most 64 bytes, the rest is cut.
  std::string request_id{};
  Cancellation cancellation{};
};

}  // namespace quorate
