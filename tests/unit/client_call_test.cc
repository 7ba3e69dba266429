// The client library against nodes that follow a script: what reaches a node, what comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <utility>
// Boost 1.74's awaitable.hpp needs std::exchange and does not include it.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::At;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;
using testing::Success;

TEST(ClientCall, PutsGetsAndDeletes) {
  FakeNode node({}, KeyValueScript(1));
  Client client(At({node.address()}));
  const auto put = client.Put("colour", "green");
  ASSERT_TRUE(put) << put.error().detail;
  EXPECT_EQ(put->revision, 1u);
  const auto got = client.Get("colour");
  ASSERT_TRUE(got) << got.error().detail;
  EXPECT_TRUE(got->found);
  EXPECT_EQ(got->value, "green");
  EXPECT_EQ(got->revision, 1u);
  EXPECT_EQ(got->certificate.node, 1u);
  EXPECT_EQ(got->certificate.basis, Basis::kReadIndex);
  EXPECT_EQ(got->certificate.age, std::chrono::microseconds(0));
  const auto deleted = client.Delete("colour");
  ASSERT_TRUE(deleted);
  EXPECT_TRUE(deleted->found);
  const auto gone = client.Get("colour", {.level = kEventual});
  ASSERT_TRUE(gone);
  EXPECT_FALSE(gone->found);
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientCall, SendsWhatWasAskedFor) {
  std::promise<FakeRequest> seen;
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    seen.set_value(request);
    session.Reply(request, Success(1, 1));
  });
  Client client(At({node.address()}));
  ASSERT_TRUE(client.Get("k", {.level = kStrong, .timeout = 700ms, .request_id = "abc"}));
  const FakeRequest request = seen.get_future().get();
  EXPECT_EQ(request.body, "k");
  const wire::GetRequest get = request.get();
  EXPECT_TRUE(get.freshness().has_max_age_us());
  EXPECT_EQ(get.freshness().max_age_us(), 0u);
  EXPECT_EQ(get.header().request_id(), "abc");
  EXPECT_GT(get.header().deadline_ms(), 400u);
  EXPECT_LE(get.header().deadline_ms(), 700u);
}

TEST(ClientCall, ARequestIdMayBeAnyBytesAndIsCutAtTheLimit) {
  std::vector<std::string> seen;
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    wire::GetRequest get;
    ASSERT_TRUE(get.ParseFromString(request.header));
    seen.push_back(get.header().request_id());
    session.Reply(request, Success(1, 1));
  });
  Options options = At({node.address()});
  options.name = "\xff";
  Client client(options);
  const std::string binary("\0\xff\n", 3);
  std::string umlauts = "x";  // the 64th byte is the first of two
  while (umlauts.size() < 80) umlauts += "\u00e4";
  ASSERT_TRUE(client.Get("k", {.request_id = binary}));
  ASSERT_TRUE(client.Get("k", {.request_id = umlauts}));
  EXPECT_EQ(seen, (std::vector{binary, umlauts.substr(0, 64)}));
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientCall, CommandsDecodeToWhatWasMeant) {
  std::vector<wire::Command> seen;
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    seen.push_back(request.command());
    session.Reply(request, Success(1, 1));
  });
  Client client(At({node.address()}));
  const std::string binary("\0\xff\n", 3);
  const std::string big(300'000, 'x');
  ASSERT_TRUE(client.Put(binary, big));
  ASSERT_TRUE(client.Put("k", ""));
  ASSERT_TRUE(client.CompareAndSet("k", Absent{}, "a"));
  ASSERT_TRUE(client.CompareAndSet("k", AtRevision{1'000'000'007}, "b"));
  ASSERT_TRUE(client.CompareAndSet("k", WithValue{binary}, "c"));
  ASSERT_TRUE(client.Delete("k"));
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen[0].put().key(), binary);
  EXPECT_EQ(seen[0].put().value(), big);
  EXPECT_EQ(seen[1].put().value(), "");
  EXPECT_EQ(seen[2].compare_and_set().expect_case(), wire::CompareAndSet::kModIndex);
  EXPECT_EQ(seen[2].compare_and_set().mod_index(), 0u);
  EXPECT_EQ(seen[3].compare_and_set().mod_index(), 1'000'000'007u);
  EXPECT_EQ(seen[3].compare_and_set().value(), "b");
  EXPECT_EQ(seen[4].compare_and_set().expected_value(), binary);
  EXPECT_EQ(seen[5].delete_().key(), "k");
}

TEST(ClientCall, RefusesWhatExceedsALimitWithoutSendingIt) {
  FakeNode node({}, KeyValueScript(1));
  Client client(At({node.address()}));
  EXPECT_EQ(client.Put("", "v").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(client.Get("").error().code, ErrorCode::kInvalid);
  const auto key = client.Put(std::string(4097, 'k'), "v");
  EXPECT_EQ(key.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(key.error().have, 4097u);
  EXPECT_EQ(key.error().want, 4096u);
  const auto value = client.Put("k", std::string((1 << 20) + 1, 'v'));
  EXPECT_EQ(value.error().code, ErrorCode::kTooLarge);
  EXPECT_NE(value.error().detail.find("1048576"), std::string::npos);
  EXPECT_EQ(node.requests(), 0);
  EXPECT_TRUE(client.Put(std::string(4096, 'k'), std::string(1 << 20, 'v')));
}

TEST(ClientCall, ReadsValuesOfTheLargestSize) {
  FakeNode node({}, KeyValueScript(1));
  Client client(At({node.address()}));
  const std::string big(1 << 20, 'v');
  ASSERT_TRUE(client.Put("big", big));
  for (int i = 0; i < 3; ++i) {
    const auto got = client.Get("big");
    ASSERT_TRUE(got);
    EXPECT_EQ(got->value, big);
    ASSERT_TRUE(client.Get("small"));
  }
}

TEST(ClientCall, WorksWithFuturesAndCoroutines) {
  FakeNode node({}, KeyValueScript(1));
  Client client(At({node.address()}));
  auto future = client.AsyncPut("k", "v", {}, boost::asio::use_future);
  ASSERT_TRUE(future.get());

  boost::asio::io_context loop;
  std::string value;
  boost::asio::co_spawn(
      loop,
      [&]() -> boost::asio::awaitable<void> {
        // The arguments are gone when the coroutine first waits: they must have been copied.
        auto lazy = client.AsyncGet(std::string("k"), {}, boost::asio::use_awaitable);
        const Result<GetReply> got = co_await std::move(lazy);
        value = got->value;
      },
      boost::asio::detached);
  loop.run();
  EXPECT_EQ(value, "v");
}

TEST(ClientCall, RunsOnTheCallersLoop) {
  FakeNode node({}, KeyValueScript(1));
  boost::asio::io_context loop;
  Client client(loop, At({node.address()}));
  int completed = 0;
  client.AsyncPut("k", "v", {}, [&](const Result<WriteReply>& put) {
    EXPECT_TRUE(put);
    client.AsyncGet("k", {}, [&](const Result<GetReply>& got) {
      EXPECT_EQ(got->value, "v");
      ++completed;
      EXPECT_THROW(client.Get("k"), std::logic_error);
      client.Close();
    });
  });
  EXPECT_EQ(completed, 0);
  loop.run_for(5s);
  EXPECT_EQ(completed, 1);
}

TEST(ClientCall, TenThousandCallsShareOneConnection) {
  FakeNode node({}, KeyValueScript(1));
  Client client(At({node.address()}));
  constexpr int kCalls = 10'000;
  std::atomic<int> succeeded{0};
  std::promise<void> all;
  std::atomic<int> left{kCalls};
  for (int i = 0; i < kCalls; ++i) {
    const std::string key = "k" + std::to_string(i);
    client.AsyncPut(key, key, {.timeout = 20s}, [&, key](const Result<WriteReply>& put) {
      ASSERT_TRUE(put) << put.error().detail;
      client.AsyncGet(key, {.timeout = 20s}, [&, key](const Result<GetReply>& got) {
        ASSERT_TRUE(got) << got.error().detail;
        if (got->value == key) ++succeeded;
        if (--left == 0) all.set_value();
      });
    });
  }
  ASSERT_EQ(all.get_future().wait_for(30s), std::future_status::ready);
  EXPECT_EQ(succeeded, kCalls);
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientCall, RepliesMayComeInAnyOrder) {
  std::vector<FakeRequest> held;
  FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    held.push_back(request);
    if (held.size() < 3) return;
    for (std::size_t i = held.size(); i-- > 0;) {
      wire::ReplyHeader header = Success(1, 1);
      header.set_found(true);
      session.Reply(held[i], header, held[i].body + "!");
    }
  });
  Client client(At({node.address()}));
  auto a = client.AsyncGet("a", {}, boost::asio::use_future);
  auto b = client.AsyncGet("b", {}, boost::asio::use_future);
  auto c = client.AsyncGet("c", {}, boost::asio::use_future);
  EXPECT_EQ(a.get()->value, "a!");
  EXPECT_EQ(b.get()->value, "b!");
  EXPECT_EQ(c.get()->value, "c!");
}

}  // namespace
}  // namespace quorate
