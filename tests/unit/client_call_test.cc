// The client library against nodes that follow a script: what reaches a node, what a caller gets to
// know.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
// Boost 1.74's awaitable.hpp needs std::exchange and does not include it.
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <future>
#include <mutex>
#include <set>
#include <string>

#include "quorate/client.h"
#include "tests/unit/fake_node.h"

namespace quorate {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using std::chrono::steady_clock;
using testing::DeadAddress;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;
using testing::MakeHint;
using testing::Success;

Options At(std::vector<std::string> endpoints) {
  Options options;
  options.endpoints = std::move(endpoints);
  return options;
}

class Stopwatch {
 public:
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - start_);
  }

 private:
  steady_clock::time_point start_ = steady_clock::now();
};

testing::Script Refuse(wire::Code code) {
  return
      [code](FakeSession& session, const FakeRequest& request) { session.Refuse(request, code); };
}

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

// ---- Finding the leader ----

TEST(ClientLeader, FollowsTheHintOfHello) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower({.id = 1, .leader = MakeHint(2, leader.address())}, KeyValueScript(1));
  Client client(At({follower.address()}));
  const auto put = client.Put("k", "v");
  ASSERT_TRUE(put) << put.error().detail;
  EXPECT_EQ(put->certificate.node, 2u);
  EXPECT_EQ(follower.requests(), 0);
}

TEST(ClientLeader, FollowsTheHintOfARefusal) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower({.id = 1}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(2, leader.address()));
  });
  Client client(At({follower.address()}));
  for (int i = 0; i < 3; ++i) {
    const auto put = client.Put("k", "v");
    ASSERT_TRUE(put) << put.error().detail;
    EXPECT_EQ(put->certificate.node, 2u);
  }
  EXPECT_EQ(follower.requests(), 1);
}

TEST(ClientLeader, AsksTheOthersWhenOneIsDead) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  for (int i = 0; i < 8; ++i) {
    Client client(At({DeadAddress(), DeadAddress(), leader.address()}));
    const auto put = client.Put("k", "v");
    ASSERT_TRUE(put) << put.error().detail;
    ASSERT_TRUE(client.Get("k", {.level = kEventual}));
  }
}

TEST(ClientLeader, GoesOnWhenTheHintedLeaderIsDead) {
  const std::string dead = DeadAddress();
  std::atomic<bool> elected{false};
  FakeNode second({.id = 2}, nullptr);
  second.SetScript(
      [&, store = KeyValueScript(2)](FakeSession& session, const FakeRequest& request) {
        if (elected) return store(session, request);
        session.Refuse(request, wire::NOT_LEADER, MakeHint(1, dead));
      });
  FakeNode third({.id = 3, .leader = MakeHint(1, dead)},
                 [&](FakeSession& session, const FakeRequest& request) {
                   if (elected) {
                     session.Refuse(request, wire::NOT_LEADER, MakeHint(2, second.address()));
                   } else {
                     session.Refuse(request, wire::NO_LEADER);
                   }
                 });
  Client client(At({dead, second.address(), third.address()}));
  auto put = client.AsyncPut("k", "v", {.timeout = 5s}, boost::asio::use_future);
  std::this_thread::sleep_for(300ms);
  elected = true;
  const auto result = put.get();
  ASSERT_TRUE(result) << result.error().detail;
  EXPECT_EQ(result->certificate.node, 2u);
  // It backed off: without pauses, thousands would have been sent in 300 ms.
  EXPECT_LT(second.requests() + third.requests(), 60);
}

TEST(ClientLeader, NodesThatPointAtEachOtherEndAtTheDeadline) {
  std::string first_address;
  FakeNode second({.id = 2}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(1, first_address));
  });
  FakeNode first({.id = 1}, [&](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NOT_LEADER, MakeHint(2, second.address()));
  });
  first_address = first.address();
  Client client(At({first.address(), second.address()}));
  const Stopwatch watch;
  const auto put = client.Put("k", "v", {.timeout = 400ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_FALSE(put.error().maybe_applied());
  EXPECT_GE(watch.elapsed(), 395ms);
  EXPECT_LT(watch.elapsed(), 800ms);
  EXPECT_GT(put.error().attempts, 2);
  EXPECT_LT(first.requests() + second.requests(), 60);
}

TEST(ClientLeader, SaysWhichNodesAreDeadAndWhichKnowNoLeader) {
  FakeNode second({.id = 2}, [](FakeSession& session, const FakeRequest& request) {
    session.Refuse(request, wire::NO_LEADER);
  });
  const std::string dead = DeadAddress();
  Client client(At({dead, second.address()}));
  const auto put = client.Put("k", "v", {.timeout = 300ms});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kDeadline);
  EXPECT_EQ(put.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_NE(put.error().detail.find("no leader"), std::string::npos) << put.error().detail;
  EXPECT_NE(put.error().detail.find(dead + " unreachable (Connection refused)"), std::string::npos)
      << put.error().detail;
  EXPECT_NE(put.error().detail.find("node 2 knows no leader"), std::string::npos)
      << put.error().detail;
  const auto got = client.Get("k", {.timeout = 300ms});
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kNoLeader);
}

TEST(ClientLeader, APinnedCallNeverFallsBack) {
  FakeNode leader({.id = 2}, KeyValueScript(2));
  FakeNode follower(
      {.id = 1, .members = {MakeHint(2, leader.address()), MakeHint(3, DeadAddress())}},
      [&](FakeSession& session, const FakeRequest& request) {
        session.Refuse(request, wire::NOT_LEADER, MakeHint(2, leader.address()));
      });
  Client client(At({follower.address()}));
  const auto put = client.Put("k", "v", {.node = 1});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kNotLeader);
  EXPECT_EQ(put.error().leader.node, 2u);
  EXPECT_EQ(put.error().leader.address, leader.address());
  EXPECT_TRUE(client.Put("k", "v", {.node = 2}));
  const auto dead = client.Get("k", {.level = kEventual, .node = 3});
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, ErrorCode::kCannotConnect) << dead.error().detail;
  const auto unknown = client.Get("k", {.level = kEventual, .node = 9});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnknownNode) << unknown.error().detail;
}

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
  const CallOptions options{.timeout = 200ms, .node = 1};
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

// ---- Scans and status ----

TEST(ClientScan, PagesFollowTheCursorOnItsConnection) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    const wire::ScanRequest scan = request.scan();
    wire::ScanPage page;
    auto* item = page.add_items();
    item->set_key(scan.cursor() == 0 ? scan.first() : "b");
    item->set_value("v");
    item->set_mod_index(3);
    page.set_count(1);
    if (scan.cursor() == 0) page.set_cursor(77);
    session.Reply(request, Success(1, 9), page.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto first = client.Scan(Range::Prefix("a"));
  ASSERT_TRUE(first) << first.error().detail;
  ASSERT_EQ(first->items.size(), 1u);
  EXPECT_EQ(first->items[0].key, "a");
  ASSERT_TRUE(first->next);
  const auto second = client.ScanNext(first->next);
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_EQ(second->items[0].key, "b");
  EXPECT_FALSE(second->next);
  EXPECT_EQ(second->certificate.applied_index, 9u);
}

TEST(ClientScan, ACursorDiesWithItsConnection) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    wire::ScanPage page;
    page.set_cursor(77);
    session.Reply(request, Success(1, 9), page.SerializeAsString());
    session.Close();
  });
  Client client(At({node.address()}));
  const auto first = client.Scan(Range::All());
  ASSERT_TRUE(first);
  std::this_thread::sleep_for(50ms);
  const auto second = client.ScanNext(first->next);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kCursorExpired);
}

TEST(ClientScan, PrefixRanges) {
  EXPECT_EQ(Range::Prefix("ab").last, "ac");
  EXPECT_EQ(Range::Prefix("a\xff").last, "b");
  EXPECT_EQ(Range::Prefix("\xff\xff").last, "");
  EXPECT_EQ(Range::Prefix("").last, "");
  EXPECT_EQ(Range::Prefix("a\x7f").last, "a\x80");
}

TEST(ClientSnapshot, IsTakenAndReadAtTheNodeThatIsNamed) {
  FakeNode other({.id = 1}, Refuse(wire::INTERNAL));
  FakeNode node({.id = 2}, [](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kSnapshot) {
      wire::SnapshotTaken taken;
      taken.set_id(77);
      taken.set_node_id(2);
      taken.set_index(9);
      taken.set_bytes(1000);
      taken.set_took_us(1500);
      return session.Reply(request, Success(2, 9), taken.SerializeAsString());
    }
    wire::SnapshotRead read;
    ASSERT_TRUE(read.ParseFromString(request.header));
    EXPECT_EQ(read.snapshot(), 77u);
    if (read.has_file()) return session.Refuse(request, wire::SNAPSHOT_GONE);
    session.Reply(request, Success(2, 9),
                  std::to_string(read.offset()) + "+" + std::to_string(read.bytes()));
  });
  Client client(At({other.address(), node.address()}));
  const auto taken = client.Snapshot({.node = 2});
  ASSERT_TRUE(taken) << taken.error().detail;
  EXPECT_EQ(taken->id, 77u);
  EXPECT_EQ(taken->index, 9u);
  EXPECT_EQ(taken->took, 1500us);
  const auto manifest =
      client.ReadSnapshot({.snapshot = 77, .file = {}, .offset = 5, .bytes = 10}, {.node = 2});
  ASSERT_TRUE(manifest) << manifest.error().detail;
  EXPECT_EQ(*manifest, "5+10");
  const auto gone = client.ReadSnapshot({.snapshot = 77, .file = 0}, {.node = 2});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kSnapshotGone);
  EXPECT_EQ(gone.error().error_class, ErrorClass::kFinal);
}

TEST(ClientSnapshot, WantsANodeAndPiecesWithinTheLimit) {
  FakeNode node({}, Refuse(wire::INTERNAL));
  Client client(At({node.address()}));
  EXPECT_EQ(client.ReadSnapshot({.snapshot = 1, .file = 0}, {}).error().code, ErrorCode::kInvalid);
  const auto large = client.ReadSnapshot(
      {.snapshot = 1, .file = 0, .offset = 0, .bytes = kMaxSnapshotPieceBytes + 1}, {.node = 1});
  EXPECT_EQ(large.error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(node.requests(), 0);
}

TEST(ClientSnapshot, WithoutRoomAtTheNodeItFailsAtOnce) {
  FakeNode node({}, Refuse(wire::DISK_FULL));
  Client client(At({node.address()}));
  const auto taken = client.Snapshot({.timeout = 600s, .node = 1});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(node.requests(), 1);
}

TEST(ClientStatus, SaysWhatTheDiskHoldsAndHowFarASnapshotHasCome) {
  FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    wire::NodeStatus status;
    status.set_log_first_index(100);
    status.set_disk_free_bytes(5);
    status.set_disk_full(true);
    status.set_disk_full_reason("no room");
    status.set_snapshots_installed(3);
    status.mutable_snapshot()->set_from(2);
    status.mutable_snapshot()->set_received_bytes(10);
    status.mutable_snapshot()->set_seconds_left(4);
    session.Reply(request, Success(1, 1), status.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto status = client.Status(node.address());
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_EQ(status->disk.log_first_index, 100u);
  EXPECT_EQ(status->disk.free_bytes, 5u);
  EXPECT_TRUE(status->disk.full);
  EXPECT_EQ(status->disk.full_reason, "no room");
  EXPECT_EQ(status->snapshots_installed, 3u);
  ASSERT_TRUE(status->snapshot);
  EXPECT_EQ(status->snapshot->from, 2u);
  EXPECT_EQ(status->snapshot->received_bytes, 10u);
  EXPECT_EQ(status->snapshot->left, 4s);
}

TEST(ClientStatus, AsksTheEndpointAndNobodyElse) {
  FakeNode node({.id = 4}, [](FakeSession& session, const FakeRequest& request) {
    wire::NodeStatus status;
    status.set_id(4);
    status.set_role("follower");
    status.set_age_us(1500);
    status.add_peers()->set_id(5);
    session.Reply(request, Success(4, 1), status.SerializeAsString());
  });
  Client client(At({node.address()}));
  const auto status = client.Status(node.address());
  ASSERT_TRUE(status) << status.error().detail;
  EXPECT_EQ(status->id, 4u);
  EXPECT_EQ(status->role, "follower");
  EXPECT_EQ(status->age, std::chrono::microseconds(1500));
  ASSERT_EQ(status->peers.size(), 1u);
  const auto dead = client.Status(DeadAddress());
  ASSERT_FALSE(dead);
  EXPECT_EQ(dead.error().code, ErrorCode::kCannotConnect);
  EXPECT_EQ(client.Status("nonsense").error().code, ErrorCode::kInvalid);
  const auto members = client.Members();
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].id, 4u);
  EXPECT_TRUE(members[0].connected);
}

}  // namespace
}  // namespace quorate
