// Many writes in flight on one connection, from coroutines on one thread, each executed exactly
// once.
//
//   example_coroutine_pipeline [HOST:PORT,...]
#include <utility>
// Boost 1.74's awaitable.hpp needs std::exchange and does not include it.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iostream>
#include <string>

#include "endpoints.h"
#include "quorate/client.h"

using boost::asio::awaitable;
using boost::asio::use_awaitable;

namespace {

constexpr int kWorkers = 50;
constexpr int kWritesEach = 20;
constexpr const char* kCounter = "examples/counter";
// Not braces within a co_await: GCC 12 destroys such temporaries twice.
const quorate::ReadOptions kRead;
const quorate::WriteOptions kWrite;
const quorate::CallOptions kCall;
const quorate::SessionOptions kSession;

struct Progress {
  int workers = kWorkers;
  int failed = 0;
};

awaitable<void> Increment(quorate::Client& client, quorate::Session session, Progress& progress) {
  const quorate::WriteOptions once{.session = session};
  for (int i = 0; i < kWritesEach; ++i) {
    const auto sum = co_await client.AsyncIncrement(kCounter, 1, once, use_awaitable);
    if (!sum) ++progress.failed;
  }
  --progress.workers;
  if (progress.workers > 0) co_return;
  const auto total = co_await client.AsyncGet(kCounter, kRead, use_awaitable);
  std::cout << kWorkers * kWritesEach << " increments, " << progress.failed << " failed, counter "
            << (total ? total->value : total.error().detail) << '\n';
  co_await client.AsyncCloseSession(session, kCall, use_awaitable);
  client.Close();
}

awaitable<void> Run(quorate::Client& client, Progress& progress) {
  co_await client.AsyncDelete(kCounter, kWrite, use_awaitable);
  const auto session = co_await client.AsyncOpenSession(kSession, kCall, use_awaitable);
  if (!session) {
    std::cerr << session.error().detail << '\n';
    progress.failed = 1;
    co_return client.Close();
  }
  const auto executor = co_await boost::asio::this_coro::executor;
  for (int i = 0; i < kWorkers; ++i) {
    co_spawn(executor, Increment(client, *session, progress), boost::asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  boost::asio::io_context loop;
  quorate::Client client(loop, {.endpoints = examples::Endpoints(argc, argv)});
  Progress progress;
  co_spawn(loop, Run(client, progress), boost::asio::detached);
  loop.run();
  return progress.failed == 0 ? 0 : 1;
}
