// What happens to a call: routed to a node, sent, answered, tried again, or ended by its deadline.
//
//   core.cc     from start to a node
//   outcome.cc  what an answer, a refusal or a failure makes of it
//   expiry.cc   time
//   links.cc    connections
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "client/anchors.h"
#include "client/call.h"
#include "client/call_heap.h"
#include "client/cancellation.h"
#include "client/codec.h"
#include "client/connection.h"
#include "client/node_table.h"
#include "client/seen.h"
#include "client/session.h"

namespace quorate::internal {

// A node that has sent nothing at all for this long while it owes a reply is suspect.
inline constexpr std::chrono::milliseconds kLeastSilence{100};
// For so long a suspect node is asked only for want of others.
inline constexpr std::chrono::milliseconds kSuspicion{1000};

// Runs on its loop alone; Submit(), seen() and CloseDoor() may be called from any thread. Handlers
// run last in whatever completes a call, or from a post of their own: they may start calls and
// close the client.
class Core final : public std::enable_shared_from_this<Core>, public ConnectionOwner {
 public:
  static std::shared_ptr<Core> Make(boost::asio::io_context& loop, Options options);
  Core(boost::asio::io_context& loop, Options options);
  ~Core() override;

  boost::asio::io_context& loop() { return loop_; }
  std::chrono::milliseconds default_timeout() const { return options_.timeout; }
  Seen& seen() { return seen_; }

  void Submit(CallPtr call);
  void Cancel(const Cancellation::State& cancellation);
  // Cancellations do not come in any more.
  void CloseDoor() { door_->Close(); }
  void Close();
  std::vector<Member> Members() const;
  void Log(Severity severity, std::string_view text) const;

 private:
  // ---- From start to a node ----
  void Start(CallPtr call);
  std::optional<Error> Hinders(const Call& call) const;
  void StartRead(Call& call);
  void EnterRung(Call& call, TimePoint now);
  void Route(Call& call, TimePoint now);
  void RouteTo(Node& node, Call& call, TimePoint now);
  void RoutePinned(Call& call, TimePoint now);
  void SendOn(Node& node, Call& call, TimePoint now);
  // It was not executed. Tries again, at once if that is promising, else after a pause.
  void Retry(Call& call, TimePoint now, bool promising);
  void Pause(Call& call, TimePoint until);
  // No node can be dialled just now.
  void NobodyThere(Call& call, TimePoint now);

  // ---- Outcomes ----
  bool OnReply(Connection& connection, Call& call, const wire::Frame& frame) override;
  std::optional<Error> Contradiction(const Call& call) const;
  bool CompleteAny(Connection& connection, Call& call, const wire::Frame& frame);
  template <typename T>
  bool Complete(Connection& connection, Call& call, const wire::Frame& frame);
  void FinishRead(Call& call, ReadReply& reply);
  void FinishWrite(Call& call, WriteReply& reply);
  bool Finish(Call& call, const wire::Frame& frame, Session& session);
  template <typename T>
  bool Finish(Call& call, const wire::Frame& frame, T& reply);
  Token TokenOf(const Certificate& certificate) const;
  void OnRefusal(Connection& connection, Call& call, Error refusal);
  void Refused(Node& node, Call& call, Error refusal, TimePoint now);
  bool LearnFrom(Node& node, const Error& refusal, TimePoint now);
  static void NoteRefusal(Call& call, Error refusal);
  // Nothing better is to be had: falls to the next rung, or fails.
  void GiveUp(Call& call, Error error, TimePoint now);
  Error NobodyAnswered(const Call& call) const;
  void Fail(Call& call, Error error);
  // Takes a call that has ended out of everything but its connection.
  CallPtr TakeOut(Call& call, bool certainly_not_executed);
  void Deliver(CallPtr call, Error error);
  void DeliverClosed(Call& call);
  void Observe(const Call& call, std::uint64_t node, const Error* error) const;
  void KeepSession(const std::shared_ptr<SessionState>& session);

  // ---- Explaining ----
  static void BeginAttempt(const Node& node, Call& call, TimePoint now);
  static void EndAttempt(Call& call, const std::optional<ErrorCode>& refused,
                         std::string_view detail, const wire::ReplyHeader* reply = nullptr);

  // ---- Time ----
  void ArmTimer();
  void OnTimer();
  void Wake(Call& call, TimePoint now);
  void LeaveSilentNode(Call& call, TimePoint now);
  void SuspectSilent(const Call& call, TimePoint now);
  void TimeIsUp(Call& call, TimePoint now);
  Error ExpiredError(const Call& call) const;

  // ---- Connections ----
  void Dial(Node& node);
  std::optional<Breakage> OnHello(Connection& connection, const wire::HelloReply& hello) override;
  void OnReady(Connection& connection) override;
  void OnBroken(Connection& connection, const Breakage& breakage) override;
  void Lost(Call& call, const Breakage& breakage, const Node& node, TimePoint now);
  void Detach(Call& call);
  std::vector<Call*> DiallingAt(const Node& node) const;
  Node* FindSerial(std::uint64_t serial) const;

  boost::asio::io_context& loop_;
  Options options_;
  std::shared_ptr<Door> door_;
  Seen seen_;
  std::atomic<std::size_t> pending_bytes_{0};
  bool closed_ = false;
  std::uint64_t cluster_id_;
  std::uint64_t next_serial_ = 1;
  std::minstd_rand random_;
  NodeTable nodes_;
  Codec codec_;
  Anchors anchors_;
  CallHeap calls_;  // owns every outstanding call
  boost::asio::steady_timer timer_;
  TimePoint timer_at_ = TimePoint::max();
  SessionKeeper sessions_;
};

// "node 3", or the address of one that has not said who it is.
std::string Name(const Node& node);

}  // namespace quorate::internal
