// What happens to a call: routed to a node, sent, answered, tried again, or ended by its deadline.
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

#include "client/call.h"
#include "client/call_heap.h"
#include "client/codec.h"
#include "client/connection.h"
#include "client/node_table.h"

namespace quorate::internal {

// Runs on its loop alone; Submit() may come from any thread. Handlers run last in whatever
// completes a call, or from a post of their own: they may start calls and close the client.
class Core final : public std::enable_shared_from_this<Core>, public ConnectionOwner {
 public:
  Core(boost::asio::io_context& loop, Options options);
  ~Core() override;

  boost::asio::io_context& loop() { return loop_; }
  std::chrono::milliseconds default_timeout() const { return options_.timeout; }

  void Submit(CallPtr call);
  void Close();
  std::vector<Member> Members() const;

 private:
  // ---- From start to completion ----
  void Start(CallPtr call);
  void Route(Call& call, TimePoint now);
  void RouteTo(Node& node, Call& call, TimePoint now);
  void RoutePinned(Call& call, TimePoint now);
  void SendOn(Node& node, Call& call, TimePoint now);
  // It was not executed. Tries again, at once if that is promising, else after a pause.
  void Retry(Call& call, TimePoint now, bool promising);
  void Pause(Call& call, TimePoint until);
  // No node can be dialled just now.
  void NobodyThere(Call& call, TimePoint now);
  void Refused(Node& node, Call& call, Error refusal, TimePoint now);
  void Fail(Call& call, Error error);
  void Deliver(CallPtr call, Error error);

  // ---- Time ----
  void ArmTimer();
  void OnTimer();
  void Wake(Call& call, TimePoint now);
  void Expire(Call& call);
  Error ExpiredError(const Call& call) const;

  // ---- Connections ----
  void Dial(Node& node);
  std::optional<Breakage> OnHello(Connection& connection, const wire::HelloReply& hello) override;
  void OnReady(Connection& connection) override;
  bool OnReply(Connection& connection, Call& call, const wire::Frame& frame) override;
  void OnBroken(Connection& connection, const Breakage& breakage) override;
  void Lost(Call& call, const Breakage& breakage, const Node& node, TimePoint now);
  void Detach(Call& call);
  std::vector<Call*> DiallingAt(const Node& node) const;
  Node* FindSerial(std::uint64_t serial) const;
  template <typename T, typename... Args>
  bool Complete(Connection& connection, Call& call, Args&&... args);

  boost::asio::io_context& loop_;
  Options options_;
  std::atomic<std::size_t> pending_bytes_{0};
  bool closed_ = false;
  std::uint64_t cluster_id_;
  std::uint64_t next_serial_ = 1;
  std::minstd_rand random_;
  NodeTable nodes_;
  Codec codec_;
  CallHeap calls_;  // owns every outstanding call
  boost::asio::steady_timer timer_;
  TimePoint timer_at_ = TimePoint::max();
};

}  // namespace quorate::internal
