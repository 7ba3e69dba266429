// Cancellation, from any thread and at any time; handlers and observers that throw.
#include <gtest/gtest.h>

#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using boost::asio::use_future;
using testing::At;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;

// Never answers what concerns the key "silent".
testing::Script Selective() {
  return [store = KeyValueScript(1)](FakeSession& session, const FakeRequest& request) {
    if (request.body.find("silent") == std::string::npos) store(session, request);
  };
}

TEST(ClientCancel, EndsItsCallsAndNothingElse) {
  FakeNode node({}, Selective());
  Client client(At({node.address()}));
  const Cancellation mine = Cancellation::Make();
  auto put = client.AsyncPut("silent", "v", {.timeout = 30s, .cancellation = mine}, use_future);
  auto get = client.AsyncGet("silent", {.timeout = 30s, .cancellation = mine}, use_future);
  auto other = client.AsyncGet("silent", {.timeout = 30s}, use_future);
  while (node.requests() < 3) std::this_thread::sleep_for(1ms);
  mine.Cancel();
  const auto put_result = put.get();
  ASSERT_FALSE(put_result);
  EXPECT_EQ(put_result.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(put_result.error().maybe_applied());
  const auto get_result = get.get();
  EXPECT_EQ(get_result.error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(get_result.error().maybe_applied());
  EXPECT_EQ(other.wait_for(0s), std::future_status::timeout);
  ASSERT_TRUE(client.Put("k", "v"));
  EXPECT_EQ(node.connections(), 1);
  // What comes later is cancelled before it begins.
  const auto late = client.Put("k", "v", {.cancellation = mine});
  EXPECT_EQ(late.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(late.error().error_class, ErrorClass::kNotExecuted);
}

TEST(ClientCancel, AnEmptyOneCancelsNothing) {
  const Cancellation none;
  EXPECT_FALSE(none);
  none.Cancel();
}

TEST(ClientCancel, MayComeAfterTheClientIsGone) {
  FakeNode node({}, Selective());
  const Cancellation cancellation = Cancellation::Make();
  {
    boost::asio::io_context loop;
    Client client(loop, At({node.address()}));
    client.AsyncGet("silent", {.cancellation = cancellation}, [](const Result<GetReply>&) {});
    loop.run_for(20ms);
  }
  cancellation.Cancel();
}

TEST(ClientCancel, RacesWithTheEndOfClients) {
  FakeNode node({}, Selective());
  for (int i = 0; i < 30; ++i) {
    const Cancellation cancellation = Cancellation::Make();
    auto client = std::make_unique<Client>(At({node.address()}));
    std::vector<std::future<Result<GetReply>>> gets;
    for (int j = 0; j < 10; ++j) {
      gets.push_back(
          client->AsyncGet("silent", {.timeout = 30s, .cancellation = cancellation}, use_future));
    }
    std::thread canceller([&] { cancellation.Cancel(); });
    client.reset();
    canceller.join();
    for (auto& get : gets) {
      const auto result = get.get();
      ASSERT_FALSE(result);
      EXPECT_TRUE(result.error().code == ErrorCode::kCancelled ||
                  result.error().code == ErrorCode::kClosed);
    }
  }
}

TEST(ClientThrow, AHandlersExceptionEndsNeitherTheLoopNorTheConnection) {
  FakeNode node({}, KeyValueScript(1));
  std::promise<std::string> logged;
  Options options = At({node.address()});
  options.observer.on_log = [&](Severity severity, std::string_view text) {
    if (severity == Severity::kWarning) logged.set_value(std::string(text));
  };
  Client client(options);
  client.AsyncPut("k", "v", {},
                  [](const Result<WriteReply>&) { throw std::runtime_error("out of paper"); });
  EXPECT_NE(logged.get_future().get().find("out of paper"), std::string::npos);
  EXPECT_TRUE(client.Get("k"));
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientThrow, OnTheCallersLoopItReachesTheCaller) {
  FakeNode node({}, KeyValueScript(1));
  boost::asio::io_context loop;
  Client client(loop, At({node.address()}));
  client.AsyncPut("k", "v", {}, [](const Result<WriteReply>&) { throw std::runtime_error("x"); });
  EXPECT_THROW(loop.run_for(5s), std::runtime_error);
  bool got = false;
  client.AsyncGet("k", {}, [&](const Result<GetReply>& reply) {
    got = reply.has_value();
    client.Close();
  });
  loop.restart();
  loop.run_for(5s);
  EXPECT_TRUE(got);
}

TEST(ClientObserver, SeesEveryCallAndMayThrow) {
  FakeNode node({}, KeyValueScript(1));
  std::vector<std::string> seen;
  Options options = At({node.address()});
  options.observer.on_call = [&](const CallEvent& event) {
    seen.push_back(std::string(event.operation) + " " + std::string(event.level) + " " +
                   std::to_string(event.node) + " " +
                   std::string(event.error != nullptr ? ToString(event.error->code) : "ok"));
    throw std::runtime_error("ignored");
  };
  Client client(options);
  ASSERT_TRUE(client.Put("k", "v"));
  ASSERT_TRUE(client.Get("k", {.level = kEventual}));
  ASSERT_TRUE(client.Get("k", {.level = StaleBy(1s)}));
  ASSERT_FALSE(client.Get(""));
  EXPECT_EQ(seen, (std::vector<std::string>{"put  1 ok", "get eventual 1 ok", "get bounded 1 ok",
                                            "get  0 INVALID"}));
}

}  // namespace
}  // namespace quorate
