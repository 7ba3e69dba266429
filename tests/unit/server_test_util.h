// Servers in this process, and a client that speaks raw bytes to them.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/sinks/null_sink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/proto/frame.h"
#include "client/proto/wire.pb.h"
#include "src/server.h"

namespace quorate::server {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "quorate-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Free a moment ago, and below the range from which the kernel gives outgoing connections their
// ports: those would take them in between.
inline std::vector<std::uint16_t> FreePorts(std::size_t count) {
  constexpr unsigned kFirst = 12'000;
  constexpr unsigned kRange = 20'000;
  static unsigned next = static_cast<unsigned>(::getpid()) * 131;
  std::vector<std::uint16_t> ports;
  while (ports.size() < count) {
    const auto port = static_cast<std::uint16_t>(kFirst + next++ % kRange);
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      ports.push_back(port);
    }
    ::close(fd);
  }
  return ports;
}

struct Answer {
  wire::FrameType type = wire::FrameType::kHello;
  std::uint64_t request_id = 0;
  std::string header;
  std::string body;

  template <typename Message>
  Message Header() const {
    Message message;
    EXPECT_TRUE(message.ParseFromString(header));
    return message;
  }
};

// Every wait ends after ten seconds: what should come and does not is a failure, not a hang.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }

  bool SendBytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  void Send(wire::FrameType type, std::uint64_t id, const google::protobuf::MessageLite& header,
            std::string_view body = {}) {
    std::string out;
    wire::AppendFrame(out, type, 0, id, header, body);
    SendBytes(out);
  }

  // Nothing: closed, or nothing came in time.
  std::optional<Answer> Receive(milliseconds timeout = seconds(10)) {
    const auto give_up = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      wire::Frame frame;
      std::size_t needed = 0;
      if (wire::ParseFrame(in_, 64 << 20, frame, needed) == wire::FrameStatus::kComplete) {
        Answer answer{frame.type, frame.request_id, std::string(frame.header),
                      std::string(frame.body)};
        in_.erase(0, frame.total_bytes);
        return answer;
      }
      if (!ReceiveSome(give_up)) return std::nullopt;
    }
  }

  // True once the other side has closed and all it said is read.
  bool ClosedWithin(milliseconds timeout) {
    const auto give_up = std::chrono::steady_clock::now() + timeout;
    while (ReceiveSome(give_up)) {
    }
    return closed_;
  }
  const std::string& buffered() const { return in_; }

  wire::HelloReply Hello(std::uint64_t cluster_id = 0) {
    wire::HelloRequest request;
    request.set_protocol(wire::kProtocolVersion);
    request.set_cluster_id(cluster_id);
    request.set_client("raw client");
    Send(wire::FrameType::kHello, 0, request);
    const auto answer = Receive();
    return answer ? answer->Header<wire::HelloReply>() : wire::HelloReply();
  }

  wire::ReplyHeader Call(wire::FrameType type, const google::protobuf::MessageLite& header,
                         std::string_view body, std::string* reply_body = nullptr) {
    Send(type, ++last_id_, header, body);
    const auto answer = Receive();
    EXPECT_TRUE(answer.has_value());
    if (!answer) return {};
    EXPECT_EQ(answer->request_id, last_id_);
    if (reply_body != nullptr) *reply_body = answer->body;
    return answer->Header<wire::ReplyHeader>();
  }

  wire::ReplyHeader Put(const std::string& key, const std::string& value) {
    wire::Command command;
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value(value);
    return Call(wire::FrameType::kWrite, wire::RequestHeader(), command.SerializeAsString());
  }
  wire::ReplyHeader Get(const std::string& key, std::string* value = nullptr, bool strong = true) {
    wire::GetRequest request;
    if (strong) request.mutable_freshness()->set_max_age_us(0);
    return Call(wire::FrameType::kGet, request, key, value);
  }

 private:
  bool ReceiveSome(std::chrono::steady_clock::time_point give_up) {
    if (closed_) return false;
    const auto left =
        std::chrono::duration_cast<milliseconds>(give_up - std::chrono::steady_clock::now());
    pollfd waiting{fd_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return false;
    std::vector<char> buffer(64 << 10);
    const ssize_t received = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (received <= 0) {
      closed_ = true;
      return false;
    }
    in_.append(buffer.data(), static_cast<std::size_t>(received));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  bool closed_ = false;
  std::uint64_t last_id_ = 0;
  std::string in_;
};

// One server on a thread of its own.
class TestServer {
 public:
  explicit TestServer(ServerOptions options)
      : log_(std::make_unique<Logger>(LogFormat::kText, spdlog::level::off, options.id,
                                      std::make_shared<spdlog::sinks::null_sink_mt>())) {
    auto opened = Server::Open(options, *log_);
    if (!opened) {
      error_ = opened.error().message;
      return;
    }
    server_ = std::move(*opened);
    thread_ = std::thread([this] { EXPECT_TRUE(server_->Run().has_value()); });
    for (int i = 0; i < 200 && !RawClient(options.client_address.port).connected(); ++i) {
      std::this_thread::sleep_for(milliseconds(10));
    }
  }
  ~TestServer() { Stop(); }
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  void Stop() {
    if (!thread_.joinable()) return;
    server_->Shutdown();
    thread_.join();
    server_.reset();
  }
  const std::string& error() const { return error_; }

 private:
  std::unique_ptr<Logger> log_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::string error_;
};

// The options of a cluster of `nodes` on free ports, data below `directory`, small and quick.
inline std::vector<ServerOptions> ClusterOptions(std::size_t nodes, const std::string& directory) {
  const auto ports = FreePorts(nodes * 3);
  std::map<raft::NodeId, HostPort> members;
  for (std::size_t i = 0; i < nodes; ++i) members[i + 1] = {"127.0.0.1", ports[i]};
  std::vector<ServerOptions> all(nodes);
  for (std::size_t i = 0; i < nodes; ++i) {
    ServerOptions& options = all[i];
    options.id = i + 1;
    options.cluster = members;
    options.data_dir = directory + "/node" + std::to_string(i + 1);
    options.bootstrap = true;
    options.peer_address = members[i + 1];
    options.client_address = {"127.0.0.1", ports[nodes + i]};
    options.advertised_client_address = options.client_address;
    options.http_address = {"127.0.0.1", ports[2 * nodes + i]};
    options.log.segment_bytes = 1 << 20;
    options.database.memtable_bytes = 1 << 20;
    options.replica.raft.election = milliseconds(200);
  }
  return all;
}

// Until one of the nodes says that it leads and a put through it succeeds; 0 if none does within
// ten seconds.
inline raft::NodeId WaitForLeader(const std::vector<ServerOptions>& nodes) {
  for (int i = 0; i < 200; ++i) {
    for (const ServerOptions& node : nodes) {
      RawClient client(node.client_address.port);
      if (!client.connected()) continue;
      const auto hello = client.Hello();
      if (hello.leader().node_id() == node.id && !client.Put("leader", "").has_error()) {
        return node.id;
      }
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
  return raft::kNoNode;
}

// Until the node says that it is ready: then every member's directory is on record.
inline bool WaitUntilReady(std::uint16_t client_port) {
  RawClient client(client_port);
  client.Hello();
  for (int i = 0; i < 200; ++i) {
    std::string body;
    client.Call(wire::FrameType::kStatus, wire::RequestHeader(), {}, &body);
    wire::NodeStatus status;
    if (status.ParseFromString(body) && status.ready()) return true;
    std::this_thread::sleep_for(milliseconds(50));
  }
  return false;
}

}  // namespace quorate::server
