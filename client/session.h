// A session as its client keeps it: the numbers of its writes, and its life.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "client/boot_clock.h"
#include "client/commands.h"
#include "quorate/session.h"

namespace quorate {

// Null: none.
const std::shared_ptr<internal::SessionState>& StateOf(const Session& session);

namespace internal {

class Core;
struct Call;

// Belongs to its client's loop, but for what is atomic and what never changes.
struct SessionState {
  SessionState(const void* owner, std::uint64_t session, SessionOptions session_options)
      : client(owner), id(session), options(std::move(session_options)) {}

  static Session Handle(std::shared_ptr<SessionState> state) { return Session(std::move(state)); }

  const void* const client;  // the Core that opened it; never followed
  const std::uint64_t id;
  const SessionOptions options;

  std::atomic<bool> lost{false};
  // Nobody has taken its keys before then; BootTime's count.
  std::atomic<BootClock::rep> safe_until{0};

  bool ended = false;     // closed, or a node said that it has expired
  bool keeping = false;   // a KeepSession is under way
  BootTime keep_again{};  // not before, if the last one failed

  // Unordered: seqs [first_open, first_open + open.size()) were given out; the flags say which have
  // not ended. The first flag is always set.
  std::uint64_t first_open = 1;
  std::deque<bool> open;

  // Ordered: one write is under way, the others wait for it. What was certainly not executed gives
  // its seq back: the node takes nothing but the direct successor of the last that was executed.
  Call* under_way = nullptr;
  std::deque<Call*> waiting;
  std::uint64_t next_ordered = 1;
};

// ---- Numbers ----

inline constexpr std::size_t kMostPendingWrites = 1'024;

bool HasRoom(const SessionState& session);
// Gives the call its seq, or lets it wait for its turn (Call::queued).
void Admit(SessionState& session, Call& call);
// Whose turn it is now, if a call waited for it.
Call* Release(SessionState& session, Call& call, bool certainly_not_executed);
SessionRef RefFor(const SessionState& session, const Call& call);

// ---- Life ----

// Keeps the sessions of a client alive, and says when one is lost. Belongs to the client's loop.
class SessionKeeper {
 public:
  // `keep` sends a KeepSession for the session.
  SessionKeeper(boost::asio::io_context& loop,
                std::function<void(const std::shared_ptr<SessionState>&)> keep)
      : timer_(loop), keep_(std::move(keep)) {}

  // `guard` keeps this object alive: while it is gone, nothing is called.
  void Add(std::shared_ptr<SessionState> session, BootTime asked_at, std::weak_ptr<void> guard);
  // What `keep` sent was answered, or failed.
  void Kept(SessionState& session, bool answered);
  // A command of the session was answered that was first sent at that time: the cluster's clock
  // cannot have counted from before.
  void Answered(SessionState& session, BootTime first_sent);
  // A node says that it has ended.
  void Lost(SessionState& session);
  // It was closed on purpose.
  void Closed(SessionState& session);
  void Stop();

 private:
  void Arm();
  void OnTimer();
  void Forget(const SessionState& session);
  static BootTime NextKeep(const SessionState& session);

  boost::asio::steady_timer timer_;
  std::function<void(const std::shared_ptr<SessionState>&)> keep_;
  std::weak_ptr<void> guard_;
  std::vector<std::shared_ptr<SessionState>> sessions_;
  BootTime armed_for_ = BootTime::max();
};

}  // namespace internal
}  // namespace quorate
