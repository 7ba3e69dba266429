// Deadlines, broken connections, limits and closing: what a caller gets to know, honestly.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "quorate/client.h"
#include "tests/unit/client_test_util.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::At;
using testing::DeadAddress;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;
using testing::Stopwatch;
using testing::Success;

// ---- Deadlines, broken connections, honest outcomes ----

TEST(ClientOutcome, NoClusterEndsLongBeforeTheDeadline) {
  Client client(At({DeadAddress(), DeadAddress(), DeadAddress()}));
  const Stopwatch watch;
  const auto put = client.Put("k", "v", {.timeout = 5s});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kCannotConnect);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_NE(put.error().detail.find("Connection refused"), std::string::npos);
  EXPECT_LT(watch.elapsed(), 1s);
}

TEST(ClientOutcome, AnUnresolvableNameAndABadAddressCannotConnect) {
  Client client(At({"no-such-host.invalid:1", "nonsense", "127.0.0.1:99999"}));
  const auto got = client.Get("k", {.timeout = 1500ms});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kCannotConnect) << got.error().detail;
  EXPECT_NE(got.error().detail.find("not a host:port"), std::string::npos) << got.error().detail;
}

TEST(ClientOutcome, ASilentNodeLeavesAWriteUnknownAtTheDeadline) {
  FakeNode node({}, [](FakeSession&, const FakeRequest&) {});
  Client client(At({node.address()}));
  const Stopwatch watch;
  const auto put = client.Put("k", "v", {.timeout = 200ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline);
  EXPECT_TRUE(put.error().maybe_applied());
  EXPECT_GE(watch.elapsed(), 195ms);
  EXPECT_LT(watch.elapsed(), 500ms);
  const auto got = client.Get("k", {.timeout = 200ms});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kDeadline);
  EXPECT_FALSE(got.error().maybe_applied());
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientOutcome, ANodeThatNeverAnswersHelloIsPassedOver) {
  FakeNode silent({.id = 1, .answer_hello = false}, nullptr);
  FakeNode good({.id = 2}, KeyValueScript(2));
  for (int i = 0; i < 4; ++i) {
    Options options = At({silent.address(), good.address()});
    options.dial_timeout = 100ms;
    Client client(options);
    EXPECT_TRUE(client.Put("k", "v"));
  }
  Client lonely(At({silent.address()}));
  const auto put = lonely.Put("k", "v", {.timeout = 200ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline) << put.error().detail;
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
}

TEST(ClientOutcome, AReplyAfterItsDeadlineIsDroppedAndTheConnectionLives) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    if (request.body == "slow") {
      session.After(150ms, [request](FakeSession& later) {
        wire::ReplyHeader header = Success(1, 1);
        header.set_found(true);
        later.Reply(request, header, "late");
      });
      return;
    }
    wire::ReplyHeader header = Success(1, 1);
    header.set_found(true);
    session.Reply(request, header, "for " + request.body);
  });
  Client client(At({node.address()}));
  EXPECT_EQ(client.Get("slow", {.timeout = 50ms}).error().code, ErrorCode::kDeadline);
  // Takes the abandoned slot before the late reply arrives.
  const Stopwatch watch;
  while (watch.elapsed() < 300ms) {
    const auto got = client.Get("quick");
    ASSERT_TRUE(got) << got.error().detail;
    ASSERT_EQ(got->value, "for quick");
  }
  EXPECT_EQ(node.connections(), 1);
}

TEST(ClientOutcome, AWriteWhoseConnectionBreaksIsUnknownAndNotSentAgain) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest&) { session.Close(); });
  FakeNode other({.id = 2}, KeyValueScript(2));
  Client client(At({node.address(), other.address()}));
  ASSERT_TRUE(client.Get("warm", {.node = 2}));
  const int before = other.requests();
  const auto put = client.Put("k", "v", {.node = 1});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kConnectionLost);
  EXPECT_EQ(put.error().error_class, ErrorClass::kUnknown);
  EXPECT_TRUE(put.error().maybe_applied());
  EXPECT_EQ(node.requests(), 1);
  EXPECT_EQ(other.requests(), before);
}

TEST(ClientOutcome, AReadWhoseConnectionBreaksIsAskedElsewhere) {
  FakeNode breaks({.id = 1}, [](FakeSession& session, const FakeRequest&) { session.Close(); });
  FakeNode good({.id = 2}, KeyValueScript(2));
  // Each client begins with a node at random: go on until one has begun with the wrong one.
  for (int i = 0; i < 8 || (breaks.requests() == 0 && i < 100); ++i) {
    Client client(At({breaks.address(), good.address()}));
    const auto got = client.Get("k");
    ASSERT_TRUE(got) << got.error().detail;
    EXPECT_EQ(got->certificate.node, 2u);
  }
  EXPECT_GT(breaks.requests(), 0);
}

TEST(ClientOutcome, AReadLeavesASilentNodeForAnotherBeforeItsDeadline) {
  FakeNode silent({.id = 1}, [](FakeSession&, const FakeRequest&) {});
  FakeNode good({.id = 2}, KeyValueScript(2));
  // As above: until one has begun with the silent one.
  for (int i = 0; i < 6 || (silent.requests() == 0 && i < 100); ++i) {
    Client client(At({silent.address(), good.address()}));
    const auto got = client.Get("k", {.timeout = 900ms});
    ASSERT_TRUE(got) << got.error().detail;
  }
  EXPECT_GT(silent.requests(), 0);
}

TEST(ClientOutcome, HalfAReplyIsNoReply) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    std::string frame;
    wire::AppendFrame(frame, request.type, wire::kFlagReply, request.id, Success(1, 1), "value");
    session.Raw(frame.substr(0, frame.size() - 3));
  });
  Client client(At({node.address()}));
  const auto put = client.Put("k", "v", {.timeout = 200ms});
  ASSERT_FALSE(put);
  EXPECT_TRUE(put.error().maybe_applied());
}

TEST(ClientOutcome, GarbageBreaksTheConnectionOnly) {
  const std::vector<std::string> garbage = {
      std::string(64, '\xff'), std::string(64, '\0'), "HTTP/1.1 400 Bad Request\r\n\r\n",
      std::string("\x10\0\0\0\x01\x02\x01\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 20)};
  for (const std::string& bytes : garbage) {
    std::atomic<int> spoiled{0};
    FakeNode node({}, nullptr);
    node.SetScript(
        [&, store = KeyValueScript(1)](FakeSession& session, const FakeRequest& request) {
          if (spoiled++ == 0) return session.Raw(bytes);
          store(session, request);
        });
    Client client(At({node.address()}));
    const auto put = client.Put("k", "v");
    ASSERT_FALSE(put);
    EXPECT_TRUE(put.error().maybe_applied()) << put.error().detail;
    EXPECT_TRUE(client.Put("k", "v"));
    EXPECT_EQ(node.connections(), 2);
  }
}

TEST(ClientOutcome, ReplyOfTheWrongTypeOrWithAGarbledHeaderBreaksTheConnection) {
  for (const bool wrong_type : {true, false}) {
    FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
      std::string frame;
      const auto type = wrong_type ? wire::FrameType::kScan : request.type;
      wire::AppendFrame(frame, type, wire::kFlagReply, request.id,
                        wrong_type ? std::string_view() : std::string_view("\xff\xff\xff"), "");
      session.Raw(frame);
    });
    Client client(At({node.address()}));
    const auto put = client.Put("k", "v");
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, ErrorCode::kConnectionLost);
    EXPECT_TRUE(put.error().maybe_applied());
  }
}

TEST(ClientOutcome, SomethingElseOnThePortIsNamed) {
  FakeNode http({.raw_hello = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"}, nullptr);
  Client client(At({http.address()}));
  const auto put = client.Put("k", "v");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_NE(put.error().detail.find("not a Quorate client port"), std::string::npos)
      << put.error().detail;
}

TEST(ClientOutcome, AnotherClustersNodesAreRefused) {
  FakeNode node({.cluster_id = 7}, KeyValueScript(1));
  Options options = At({node.address()});
  options.cluster_id = 8;
  Client client(options);
  const auto put = client.Put("k", "v");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kWrongCluster) << put.error().detail;
  EXPECT_EQ(node.requests(), 0);
}

TEST(ClientOutcome, ARefusalByHelloIsPassedOn) {
  wire::Error full;
  full.set_code(wire::TOO_MANY);
  full.set_message("1000 connections are open, the limit");
  FakeNode node({.hello_error = full}, nullptr);
  Client client(At({node.address()}));
  const auto put = client.Put("k", "v");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kTooMany);
  EXPECT_NE(put.error().detail.find("1000 connections"), std::string::npos);
}

TEST(ClientOutcome, OverloadIsRetriedFinalErrorsAreNot) {
  std::atomic<int> refusals{3};
  FakeNode node({}, nullptr);
  node.SetScript([&, store = KeyValueScript(1)](FakeSession& session, const FakeRequest& request) {
    if (refusals-- > 0) return session.Refuse(request, wire::OVERLOADED);
    store(session, request);
  });
  Client client(At({node.address()}));
  EXPECT_TRUE(client.Put("k", "v"));
  EXPECT_EQ(node.requests(), 4);
  node.SetScript([](FakeSession& session, const FakeRequest& request) {
    wire::ReplyHeader header;
    header.mutable_error()->set_code(wire::COMPARE_FAILED);
    header.mutable_error()->set_have(17);
    session.Reply(request, header);
  });
  const auto cas = client.CompareAndSet("k", AtRevision{5}, "v");
  ASSERT_FALSE(cas);
  EXPECT_EQ(cas.error().code, ErrorCode::kCompareFailed);
  EXPECT_EQ(cas.error().error_class, ErrorClass::kFinal);
  EXPECT_EQ(cas.error().have, 17u);
  EXPECT_EQ(node.requests(), 5);
}

TEST(ClientOutcome, RefusedReadsKeepTheirReasonAtTheDeadline) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NO_QUORUM);
  });
  Client client(At({node.address()}));
  const auto got = client.Get("k", {.timeout = 200ms});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kNoQuorum) << got.error().detail;
}

TEST(ClientOutcome, AWriteThatNoDiskHasRoomForSaysSoAtTheDeadline) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::DISK_FULL);
  });
  Client client(At({node.address()}));
  const auto put = client.Put("k", "v", {.timeout = 200ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDiskFull) << put.error().detail;
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_GT(node.requests(), 1) << "another node may come to lead that has room";
}

TEST(ClientOutcome, BytesOutstandingAreBounded) {
  FakeNode node({}, [](FakeSession&, const FakeRequest&) {});
  Options options = At({node.address()});
  options.max_pending_bytes = 10'000;
  Client client(options);
  auto first =
      client.AsyncPut("k", std::string(6000, 'v'), {.timeout = 300ms}, boost::asio::use_future);
  const auto second = client.Put("k", std::string(6000, 'v'));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(second.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_TRUE(first.get().error().maybe_applied());
  // The first call's bytes were given back.
  EXPECT_EQ(client.Put("k", std::string(6000, 'v'), {.timeout = 50ms}).error().code,
            ErrorCode::kDeadline);
}

TEST(ClientOutcome, ANodesLimitOfBytesInFlightIsKept) {
  std::atomic<int> in_flight{0};
  std::atomic<int> most{0};
  FakeNode node({.in_flight_bytes = 10'000}, [&](FakeSession& session, const FakeRequest& request) {
    most = std::max<int>(most, ++in_flight);
    session.After(5ms, [&, request](FakeSession& later) {
      --in_flight;
      later.Reply(request, Success(1, 1));
    });
  });
  Client client(At({node.address()}));
  std::vector<std::future<Result<WriteReply>>> puts;
  for (int i = 0; i < 20; ++i) {
    puts.push_back(
        client.AsyncPut("k", std::string(3000, 'v'), {.timeout = 10s}, boost::asio::use_future));
  }
  for (auto& put : puts) EXPECT_TRUE(put.get());
  EXPECT_LE(most, 3);
}

// A node that has stopped reading, as one that was sent SIGSTOP: its first request begins the
// pause.
class PausedNode {
 public:
  explicit PausedNode(std::uint64_t in_flight_bytes)
      : node_({.in_flight_bytes = in_flight_bytes},
              [this](FakeSession& session, const FakeRequest& request) {
                resumed_.wait();
                {
                  const std::lock_guard lock(mutex_);
                  executed_.insert(request.command().put().key());
                }
                session.Reply(request, Success(1, 1));
              }) {}
  ~PausedNode() { Resume(); }

  const std::string& address() const { return node_.address(); }

  void Resume() {
    if (!std::exchange(going_on_, true)) resume_.set_value();
  }

  // Whether `keys` are all executed in the end.
  bool Executes(const std::set<std::string>& keys) {
    const Stopwatch watch;
    while (watch.elapsed() < 20s) {
      if (std::ranges::includes(Executed(), keys)) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  std::set<std::string> Executed() {
    const std::lock_guard lock(mutex_);
    return executed_;
  }

 private:
  std::promise<void> resume_;
  std::shared_future<void> resumed_ = resume_.get_future().share();
  bool going_on_ = false;
  std::mutex mutex_;
  std::set<std::string> executed_;
  FakeNode node_;
};

TEST(ClientOutcome, AWriteThatExpiresInTheQueueMayStillBeExecuted) {
  PausedNode node(64 << 20);
  Client client(At({node.address()}));
  // More than the kernel takes: what comes behind these waits in the client.
  std::vector<std::future<Result<WriteReply>>> filling;
  for (int i = 0; i < 32; ++i) {
    filling.push_back(client.AsyncPut("fill" + std::to_string(i), std::string(1 << 20, 'v'),
                                      {.timeout = 30s}, boost::asio::use_future));
  }
  const auto late = client.Put("late", "v", {.timeout = 300ms});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kDeadline);
  EXPECT_TRUE(late.error().maybe_applied()) << late.error().detail;
  node.Resume();
  EXPECT_TRUE(node.Executes({"late"}));
  for (auto& put : filling) EXPECT_TRUE(put.get());
}

TEST(ClientOutcome, WhatExpiresInTheQueueStillCountsAgainstTheLimit) {
  constexpr int kWave = 8;
  PausedNode node(kWave << 20);
  Client client(At({node.address()}));
  std::set<std::string> unknown;
  std::set<std::string> not_executed;
  // Calls pinned to the node keep to it however long it is silent.
  const WriteOptions options{.timeout = 200ms, .node = 1};
  int refused_in_wave = 0;
  for (int wave = 0; wave < 20 && refused_in_wave < kWave; ++wave) {
    std::vector<std::pair<std::string, std::future<Result<WriteReply>>>> puts;
    for (int i = 0; i < kWave; ++i) {
      const std::string key = std::to_string(wave) + "." + std::to_string(i);
      puts.emplace_back(
          key, client.AsyncPut(key, std::string(1 << 20, 'v'), options, boost::asio::use_future));
    }
    refused_in_wave = 0;
    for (auto& [key, put] : puts) {
      const auto result = put.get();
      ASSERT_FALSE(result);
      if (!result.error().maybe_applied()) ++refused_in_wave;
      (result.error().maybe_applied() ? unknown : not_executed).insert(key);
    }
  }
  EXPECT_EQ(refused_in_wave, kWave) << "the queue of a node that does not read grows on";
  node.Resume();
  EXPECT_TRUE(node.Executes(unknown));
  for (const std::string& key : node.Executed()) EXPECT_FALSE(not_executed.contains(key)) << key;
}

// ---- Closing ----

TEST(ClientClose, CompletesEverything) {
  FakeNode node({}, [](FakeSession&, const FakeRequest&) {});
  Client client(At({node.address()}));
  std::vector<std::future<Result<WriteReply>>> puts;
  std::vector<std::future<Result<GetReply>>> gets;
  for (int i = 0; i < 100; ++i) {
    puts.push_back(client.AsyncPut("k", "v", {.timeout = 30s}, boost::asio::use_future));
    gets.push_back(client.AsyncGet("k", {.timeout = 30s}, boost::asio::use_future));
  }
  while (node.requests() < 200) std::this_thread::sleep_for(1ms);
  const Stopwatch watch;
  client.Close();
  for (auto& put : puts) {
    const auto result = put.get();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kClosed);
    EXPECT_TRUE(result.error().maybe_applied());
  }
  for (auto& get : gets) EXPECT_FALSE(get.get().error().maybe_applied());
  EXPECT_LT(watch.elapsed(), 1s);
  EXPECT_EQ(client.Put("k", "v").error().code, ErrorCode::kClosed);
}

TEST(ClientClose, DestructionDoesNotWaitForTheNetwork) {
  // A routable address that answers nothing, a name that cannot be looked up, and a silent node.
  FakeNode node({.answer_hello = false}, nullptr);
  const Stopwatch watch;
  std::future<Result<WriteReply>> put;
  {
    Client client(At({"192.0.2.1:7001", "no-such-host.invalid:7001", node.address()}));
    put = client.AsyncPut("k", "v", {.timeout = 30s}, boost::asio::use_future);
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_LT(watch.elapsed(), 1s);
  EXPECT_EQ(put.get().error().code, ErrorCode::kClosed);
}

TEST(ClientClose, AHandlerMayDestroyTheClient) {
  FakeNode node({}, KeyValueScript(1));
  auto client = std::make_unique<Client>(At({node.address()}));
  std::promise<void> destroyed;
  client->AsyncPut("k", "v", {}, [&](const Result<WriteReply>& put) {
    EXPECT_TRUE(put);
    client.reset();
    destroyed.set_value();
  });
  EXPECT_EQ(destroyed.get_future().wait_for(5s), std::future_status::ready);
}

}  // namespace
}  // namespace quorate
