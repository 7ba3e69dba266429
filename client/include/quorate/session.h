// Sessions: exactly-once writes, and keys that go when their owner does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace quorate {

namespace internal {
struct SessionState;
}

struct SessionOptions {
  // Without a sign of life for this long, by the cluster's own clock, the session ends. 1 s to 1 h.
  // The client library keeps it alive while the Client lives.
  std::chrono::milliseconds ttl{30'000};
  // Writes take effect in the order in which they were asked for: each waits for the one before it
  // to be answered. After one that ended as ErrorClass::kUnknown, later ones are executed only if
  // it was; else they fail with kOutOfOrder, and another session must be opened. Without `ordered`,
  // pipelined writes may overtake each other.
  bool ordered = false;
  // Called on the loop, at most once, when the session is known to have ended, or could not be kept
  // for its whole ttl: from then on somebody else may hold what was attached to it.
  std::function<void()> on_lost{};
};

// A handle, of one Client; copies are the same session. At most 1,024 writes of a session may be
// outstanding, counted from the oldest that has not ended: more fail with kOverloaded.
// Default-constructed: none. Thread-safe.
class Session {
 public:
  Session() = default;

  explicit operator bool() const { return state_ != nullptr; }
  std::uint64_t id() const;  // in the cluster; 0: none
  // It may have ended: the client could not keep it for its whole ttl, or a node said that it has
  // expired.
  bool lost() const;

 private:
  friend class Client;
  friend struct internal::SessionState;
  friend const std::shared_ptr<internal::SessionState>& StateOf(const Session& session);
  explicit Session(std::shared_ptr<internal::SessionState> state) : state_(std::move(state)) {}

  std::shared_ptr<internal::SessionState> state_;
};

}  // namespace quorate
