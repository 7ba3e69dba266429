// One client of the test: it has one operation at a time, and writes down each.
#pragma once

#include <utility>
// Boost 1.74's awaitable.hpp needs std::exchange and does not include it.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "jepsen/workload/chance.h"
#include "jepsen/workload/recorder.h"
#include "jepsen/workload/settings.h"
#include "quorate/client.h"

namespace quorate::workload {

using boost::asio::awaitable;
using boost::asio::use_awaitable;

// What all workers of a run share; outlives them.
struct Run {
  boost::asio::io_context& io;
  const Settings& settings;
  Recorder& recorder;
  bool stopping = false;
  std::int64_t next_process = 0;
};

// How a value of the store looks in the history.
enum class Form : std::uint8_t { kText, kNumber };

// Everything on the run's loop.
class Worker {
 public:
  Worker(Run& run, int number);

  Run& run() { return run_; }
  Chance& chance() { return chance_; }
  Client& client() { return *client_; }

  // ---- An operation, from beginning to end ----

  // `key` empty: the whole model.
  Operation Begin(const char* function, const std::string& key);
  void Succeed(Operation operation, const Certificate& certificate);
  // A write's answer, with its revision; what else it answered is in the operation already.
  void Succeed(Operation operation, const WriteReply& reply);
  // `fail` or `info`, by the error's class.
  void Fail(Operation operation, const Error& error);
  // For what the workload itself, or its transaction, found: certainly not executed.
  void Refuse(Operation operation, const char* code, const std::string& detail);

  // ---- Reads and writes, as the settings and chance will have them ----

  // Level, node and what to do if it cannot be met; the operation says so.
  ReadOptions ChooseRead(Operation& operation);
  // A whole read of one key, strong or as chance will have it.
  awaitable<void> Read(std::string key, Form form, bool strong = false);
  // Every second worker's writes are exactly-once; the operation says which command it is.
  awaitable<WriteOptions> ChooseWrite(Operation& operation);

  // ---- Sessions and time ----

  // The worker's own session, opened if need be; false: it cannot be opened now.
  awaitable<Session> OpenSession(std::chrono::milliseconds ttl);
  // Numbers the command within the session.
  void NameCommand(Operation& operation, const Session& session);
  // As if the client's process had stopped, or been cut off: connections and session are left
  // alone, and what follows is by a client that remembers nothing.
  void Forget();
  // Returns early when the run ends.
  awaitable<void> Sleep(std::chrono::microseconds time);
  void Wake() { timer_.cancel(); }

 private:
  std::unique_ptr<Client> Connect();

  Run& run_;
  const int number_;
  Chance chance_;
  std::int64_t process_;
  std::unique_ptr<Client> client_;
  boost::asio::steady_timer timer_;
  Session session_;
  std::uint64_t next_seq_ = 1;
};

}  // namespace quorate::workload
