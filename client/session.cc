#include "client/session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "client/call.h"

namespace quorate {

namespace {

using internal::BootClock;
using internal::BootTime;
using internal::SessionState;
using std::chrono::nanoseconds;

bool PastSafety(const SessionState& session) {
  return BootClock::now().time_since_epoch().count() >= session.safe_until.load();
}

// Slightly before the cluster may end it: clocks differ in rate, and the caller needs a moment.
nanoseconds SafeTime(const SessionState& session) {
  return nanoseconds(session.options.ttl) / 20 * 19;
}

BootTime KeptAt(const SessionState& session) {
  return BootTime(nanoseconds(session.safe_until.load()) - SafeTime(session));
}

}  // namespace

std::uint64_t Session::id() const {
  return state_ == nullptr ? 0 : state_->id;
}

bool Session::lost() const {
  // Not only the flag: the timer that sets it is late where the machine slept or the loop is busy.
  return state_ != nullptr && (state_->lost || PastSafety(*state_));
}

const std::shared_ptr<internal::SessionState>& StateOf(const Session& session) {
  return session.state_;
}

namespace internal {

// ---- Numbers ----

bool HasRoom(const SessionState& session) {
  if (session.options.ordered) return session.waiting.size() + 1 < kMostPendingWrites;
  return session.open.size() < kMostPendingWrites;
}

void Admit(SessionState& session, Call& call) {
  if (!session.options.ordered) {
    call.seq = session.first_open + session.open.size();
    session.open.push_back(true);
  } else if (session.under_way == nullptr) {
    session.under_way = &call;
    call.seq = session.next_ordered;
  } else {
    call.queued = true;
    session.waiting.push_back(&call);
  }
}

Call* Release(SessionState& session, Call& call, bool certainly_not_executed) {
  if (!session.options.ordered) {
    session.open[call.seq - session.first_open] = false;
    while (!session.open.empty() && !session.open.front()) {
      session.open.pop_front();
      ++session.first_open;
    }
    return nullptr;
  }
  if (call.queued) {
    std::erase(session.waiting, &call);
    return nullptr;
  }
  session.next_ordered = call.seq + (certainly_not_executed ? 0 : 1);
  session.under_way = nullptr;
  if (session.waiting.empty()) return nullptr;
  Call* next = session.waiting.front();
  session.waiting.pop_front();
  next->queued = false;
  next->seq = session.next_ordered;
  session.under_way = next;
  return next;
}

SessionRef RefFor(const SessionState& session, const Call& call) {
  return {.id = session.id,
          .seq = call.seq,
          .acked_below = session.options.ordered ? call.seq : session.first_open,
          .ordered = session.options.ordered};
}

// ---- Life ----

void SessionKeeper::Add(std::shared_ptr<SessionState> session, BootTime asked_at,
                        std::weak_ptr<void> guard) {
  guard_ = std::move(guard);
  session->safe_until = (asked_at + SafeTime(*session)).time_since_epoch().count();
  sessions_.push_back(std::move(session));
  Arm();
}

void SessionKeeper::Answered(SessionState& session, BootTime first_sent) {
  const auto until = (first_sent + SafeTime(session)).time_since_epoch().count();
  if (until > session.safe_until) session.safe_until = until;
}

void SessionKeeper::Kept(SessionState& session, bool answered) {
  session.keeping = false;
  if (!answered) session.keep_again = BootClock::now() + nanoseconds(session.options.ttl) / 20;
  Arm();
}

void SessionKeeper::Lost(SessionState& session) {
  const bool told = session.lost.exchange(true);
  Forget(session);
  if (told || !session.options.on_lost) return;
  // Not from here: whoever found out is in the middle of something.
  boost::asio::post(timer_.get_executor(), [tell = session.options.on_lost] { tell(); });
}

void SessionKeeper::Closed(SessionState& session) {
  session.ended = true;
  session.lost = true;
  Forget(session);
}

void SessionKeeper::Forget(const SessionState& session) {
  std::erase_if(sessions_, [&](const auto& kept) { return kept.get() == &session; });
}

void SessionKeeper::Stop() {
  timer_.cancel();
  sessions_.clear();
}

BootTime SessionKeeper::NextKeep(const SessionState& session) {
  if (session.keeping) return BootTime::max();
  return std::max(KeptAt(session) + nanoseconds(session.options.ttl) / 3, session.keep_again);
}

// What is to be done next for a session: keep it after a third of its time; while that is under
// way, and once it has failed for too long, tell its owner.
void SessionKeeper::Arm() {
  BootTime next = BootTime::max();
  for (const auto& session : sessions_) {
    const BootTime safe{nanoseconds(session->safe_until.load())};
    next = std::min({next, NextKeep(*session), safe});
  }
  if (next == BootTime::max()) return;
  if (next >= armed_for_) return;
  armed_for_ = next;
  timer_.expires_after(std::max(nanoseconds(0), next - BootClock::now()));
  timer_.async_wait([this, guard = guard_](const boost::system::error_code& error) {
    const auto keep = guard.lock();
    if (keep && !error) OnTimer();
  });
}

void SessionKeeper::OnTimer() {
  armed_for_ = BootTime::max();
  const BootTime now = BootClock::now();
  // A copy: telling an owner may change what is kept.
  for (const auto& session : std::vector(sessions_)) {
    if (PastSafety(*session)) {
      Lost(*session);
    } else if (NextKeep(*session) <= now) {
      session->keeping = true;
      keep_(session);
    }
  }
  Arm();
}

}  // namespace internal
}  // namespace quorate
