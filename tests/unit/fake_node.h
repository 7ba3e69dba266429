// A node that does what a test tells it to: it speaks the frame protocol on a port of its own and
// answers each request by a script.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"

namespace quorate::testing {

class FakeSession;

// A request, copied out of the connection's buffer.
struct FakeRequest {
  wire::FrameType type = wire::FrameType::kHello;
  std::uint64_t id = 0;
  std::string header;
  std::string body;

  wire::Command command() const;
  wire::GetRequest get() const;
  wire::ScanRequest scan() const;
};

// Called on the node's thread for every request but Hello.
using Script = std::function<void(FakeSession&, const FakeRequest&)>;

class FakeNode {
 public:
  struct Settings {
    std::uint64_t id = 1;
    std::uint64_t cluster_id = 42;
    wire::Hint leader{};
    std::vector<wire::Hint> members{};
    bool answer_hello = true;
    std::string raw_hello{};  // set: these bytes instead of a HelloReply
    wire::Error hello_error{};
    std::uint64_t in_flight_bytes = 0;
  };

  FakeNode(Settings settings, Script script);
  ~FakeNode();

  const std::string& address() const { return address_; }
  int hellos() const { return hellos_; }
  int requests() const { return requests_; }
  int connections() const { return connections_; }

  // From now on connections are refused; those that exist are closed.
  void Stop();
  void SetScript(Script script);

 private:
  friend class FakeSession;

  void Accept();

  Settings settings_;
  std::mutex mutex_;
  Script script_;
  boost::asio::io_context loop_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::string address_;
  std::vector<std::weak_ptr<FakeSession>> sessions_;
  std::atomic<int> hellos_{0};
  std::atomic<int> requests_{0};
  std::atomic<int> connections_{0};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

class FakeSession : public std::enable_shared_from_this<FakeSession> {
 public:
  FakeSession(FakeNode& node, boost::asio::ip::tcp::socket socket);

  void Start();
  void Reply(const FakeRequest& request, const wire::ReplyHeader& header, std::string body = {});
  void Refuse(const FakeRequest& request, wire::Code code, const wire::Hint& leader = {});
  void Raw(std::string bytes);
  void Close();
  void After(std::chrono::milliseconds delay, std::function<void(FakeSession&)> action);

 private:
  void Read();
  bool TakeFrames();
  void AnswerHello(const wire::Frame& frame);

  FakeNode& node_;
  boost::asio::ip::tcp::socket socket_;
  std::string in_;
  char chunk_[16384];
};

// An address on which nothing listens.
std::string DeadAddress();

wire::Hint MakeHint(std::uint64_t id, const std::string& address);
// A successful reply's header, from node `node` at `index`.
wire::ReplyHeader Success(std::uint64_t node, std::uint64_t index);

// A script that behaves: writes and reads one map.
Script KeyValueScript(std::uint64_t node);

}  // namespace quorate::testing
