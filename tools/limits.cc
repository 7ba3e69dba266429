// quorate-limits: what this machine can do at best, measured by the means a server has: fdatasync
// of preallocated blocks, and a request and its reply over loopback TCP. The benchmark's figures
// are to be read beside these.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/exit_code.h"
#include "tools/histogram.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kBlockBytes = 4096;
constexpr std::size_t kFileBlocks = 4096;
constexpr std::size_t kRequestBytes = 64;
constexpr std::size_t kReplyBytes = 320;

struct Measurement {
  Histogram latency;  // nanoseconds
  double seconds = 0;

  double per_second() const { return static_cast<double>(latency.count()) / seconds; }
};

[[noreturn]] void Throw(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

// Closes what it holds.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

// ---- Disk ----

// Written once before, as a log's recycled segments are: syncs then need not commit a change of the
// file's size or extents.
Measurement MeasureSync(const std::string& directory, double seconds) {
  std::string path = directory + "/quorate-limits-XXXXXX";
  const Descriptor file(::mkstemp(path.data()));
  if (file.get() < 0) Throw("creating a file in " + directory);
  ::unlink(path.c_str());
  const std::string block(kBlockBytes, 'x');
  const auto write_block = [&](std::size_t at) {
    const auto offset = static_cast<off_t>(at % kFileBlocks * kBlockBytes);
    if (::pwrite(file.get(), block.data(), block.size(), offset) !=
        static_cast<ssize_t>(block.size())) {
      Throw("writing in " + directory);
    }
  };
  for (std::size_t i = 0; i < kFileBlocks; ++i) write_block(i);
  if (::fsync(file.get()) != 0) Throw("fsync in " + directory);
  Measurement measured;
  const auto start = Clock::now();
  auto now = start;
  for (std::size_t i = 0; now - start < std::chrono::duration<double>(seconds); ++i) {
    const auto before = now;
    write_block(i);
    if (::fdatasync(file.get()) != 0) Throw("fdatasync in " + directory);
    now = Clock::now();
    measured.latency.Record(static_cast<std::uint64_t>((now - before).count()));
  }
  measured.seconds = std::chrono::duration<double>(now - start).count();
  return measured;
}

// ---- Network ----

// One end of a connection, and how far it has come through the message it is reading.
class Endpoint {
 public:
  explicit Endpoint(int socket) : socket_(socket) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }

  int descriptor() const { return socket_.get(); }

  // How many whole messages of `size` bytes have arrived; nothing if the peer is gone.
  std::optional<std::size_t> Receive(std::size_t size) {
    char buffer[32'768];
    const ssize_t read = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
    if (read <= 0) return std::nullopt;
    partial_ += static_cast<std::size_t>(read);
    const std::size_t whole = partial_ / size;
    partial_ %= size;
    return whole;
  }

  // `count` messages in one write.
  void Send(std::size_t count, std::size_t size) {
    if (count == 0) return;
    const std::string bytes(count * size, 'x');
    if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) Throw("send");
  }

 private:
  Descriptor socket_;
  std::size_t partial_ = 0;
};

// Readable endpoints, by epoll as a server's loop finds them.
class Poller {
 public:
  Poller() : epoll_(::epoll_create1(0)) {}

  void Add(const Endpoint& endpoint, std::size_t name) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = name;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, endpoint.descriptor(), &event) != 0) {
      Throw("epoll_ctl");
    }
  }

  template <typename F>
  void Wait(F on_readable) {
    epoll_event events[128];
    const int count = ::epoll_wait(epoll_.get(), events, 128, 100);
    for (int i = 0; i < count; ++i) on_readable(static_cast<std::size_t>(events[i].data.u64));
  }

 private:
  Descriptor epoll_;
};

// Answers every request, those that came together by one write, until all connections are closed.
void Echo(std::vector<Endpoint> connections) {
  Poller poller;
  for (std::size_t i = 0; i < connections.size(); ++i) poller.Add(connections[i], i);
  std::size_t open = connections.size();
  while (open > 0) {
    poller.Wait([&](std::size_t i) {
      const auto requests = connections[i].Receive(kRequestBytes);
      if (requests) return connections[i].Send(*requests, kReplyBytes);
      --open;
      [[maybe_unused]] const Endpoint closed = std::move(connections[i]);
    });
  }
}

struct Pairs {
  std::vector<Endpoint> clients;
  std::vector<Endpoint> servers;
};

Pairs Connect(std::size_t connections) {
  const Descriptor listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), generic, length) != 0 || ::listen(listener.get(), 128) != 0 ||
      ::getsockname(listener.get(), generic, &length) != 0) {
    Throw("listening on loopback");
  }
  Pairs pairs;
  for (std::size_t i = 0; i < connections; ++i) {
    Endpoint client(::socket(AF_INET, SOCK_STREAM, 0));
    if (::connect(client.descriptor(), generic, length) != 0) Throw("connecting on loopback");
    pairs.clients.push_back(std::move(client));
    pairs.servers.emplace_back(::accept(listener.get(), nullptr, nullptr));
  }
  return pairs;
}

// Keeps `depth` requests outstanding on each of `connections`.
Measurement MeasureEcho(std::size_t connections, std::size_t depth, double seconds) {
  Pairs pairs = Connect(connections);
  std::thread server([&pairs] { Echo(std::move(pairs.servers)); });
  std::vector<std::deque<Clock::time_point>> sent(connections);
  Measurement measured;
  {
    Poller poller;
    const auto start = Clock::now();
    auto now = start;
    for (std::size_t i = 0; i < connections; ++i) {
      poller.Add(pairs.clients[i], i);
      sent[i].assign(depth, now);
      pairs.clients[i].Send(depth, kRequestBytes);
    }
    while (now - start < std::chrono::duration<double>(seconds)) {
      poller.Wait([&](std::size_t i) {
        const std::size_t replies = pairs.clients[i].Receive(kReplyBytes).value_or(0);
        now = Clock::now();
        for (std::size_t reply = 0; reply < replies; ++reply) {
          measured.latency.Record(static_cast<std::uint64_t>((now - sent[i].front()).count()));
          sent[i].pop_front();
          sent[i].push_back(now);
        }
        pairs.clients[i].Send(replies, kRequestBytes);
      });
      now = Clock::now();
    }
    measured.seconds = std::chrono::duration<double>(now - start).count();
  }
  pairs.clients.clear();
  server.join();
  return measured;
}

// ---- The report ----

struct Limit {
  const char* name;
  const char* what;
  Measurement measured;
};

Json ToJson(const Measurement& measured) {
  Json json;
  json["per_sec"] = std::round(measured.per_second());
  json["p50_us"] = static_cast<double>(measured.latency.Quantile(0.5)) / 1000;
  json["p99_us"] = static_cast<double>(measured.latency.Quantile(0.99)) / 1000;
  return json;
}

void Print(const std::vector<Limit>& limits, bool as_json) {
  if (as_json) {
    Json json;
    for (const Limit& limit : limits) json[limit.name] = ToJson(limit.measured);
    return PrintJson(json);
  }
  for (const Limit& limit : limits) {
    std::printf("%-52s %9s/s   p50 %7.0f us   p99 %7.0f us\n", limit.what,
                Grouped(static_cast<std::uint64_t>(limit.measured.per_second())).c_str(),
                static_cast<double>(limit.measured.latency.Quantile(0.5)) / 1000,
                static_cast<double>(limit.measured.latency.Quantile(0.99)) / 1000);
  }
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Measures what this machine can do at best: fdatasync, and request and reply over loopback "
      "TCP.");
  std::string directory = ".";
  double seconds = 1;
  bool json = false;
  app.add_option("--dir", directory, "Where to write the file that is synced")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  app.add_option("--seconds", seconds, "For each measurement")
      ->check(CLI::Range(0.05, 60.0))
      ->capture_default_str();
  app.add_flag("--json", json, "One JSON object");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  std::vector<Limit> limits;
  limits.push_back({"fdatasync_4k", "fdatasync of 4 KiB into a preallocated file",
                    MeasureSync(directory, seconds)});
  limits.push_back(
      {"echo_1x1", "loopback echo, 1 connection, 1 in flight", MeasureEcho(1, 1, seconds)});
  limits.push_back({"echo_64x1", "loopback echo, 64 connections, 1 in flight on each",
                    MeasureEcho(64, 1, seconds)});
  limits.push_back({"echo_8x64", "loopback echo, 8 connections, 64 in flight on each",
                    MeasureEcho(8, 64, seconds)});
  Print(limits, json);
  return kExitOk;
}

}  // namespace
}  // namespace quorate::tools

int main(int argc, char** argv) {
  try {
    return quorate::tools::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quorate-limits: %s\n", error.what());
    return quorate::tools::kExitOther;
  }
}
