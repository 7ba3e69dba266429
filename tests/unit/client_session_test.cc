// Sessions: exactly-once writes over lost answers, honest outcomes, keeping alive, order.
#include <gtest/gtest.h>

#include <boost/asio/use_future.hpp>
#include <future>
#include <mutex>
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
using testing::Success;

wire::ReplyHeader WriteAt(std::uint64_t index) {
  wire::ReplyHeader header = Success(1, index);
  header.set_mod_index(index);
  return header;
}

// Opens sessions with id 100; `writes` treats everything but session operations. Notes all
// commands.
struct Cluster {
  std::mutex mutex;
  std::vector<wire::Command> writes;
  std::atomic<int> kept{0};
  std::atomic<bool> answers_keeps{true};
  // Says how to treat the nth write (from 1).
  std::function<void(FakeSession&, const FakeRequest&, int)> treat;

  testing::Script Script() {
    return [this](FakeSession& session, const FakeRequest& request) {
      const wire::Command command = request.command();
      if (command.has_open_session()) return session.Reply(request, WriteAt(100));
      if (command.has_keep_session()) {
        ++kept;
        if (answers_keeps) session.Reply(request, WriteAt(200));
        return;
      }
      if (command.has_close_session()) return session.Reply(request, WriteAt(300));
      int nth = 0;
      {
        const std::lock_guard lock(mutex);
        writes.push_back(command);
        nth = static_cast<int>(writes.size());
      }
      if (treat) return treat(session, request, nth);
      session.Reply(request, WriteAt(100 + static_cast<std::uint64_t>(nth)));
    };
  }

  std::vector<wire::Command> Writes() {
    const std::lock_guard lock(mutex);
    return writes;
  }
};

struct ClientSession : ::testing::Test {
  Cluster cluster;
  FakeNode node{{}, cluster.Script()};
  Client client{At({node.address()})};

  Session Open(SessionOptions options = {}) {
    const auto session = client.OpenSession(options);
    EXPECT_TRUE(session) << session.error().detail;
    return session ? *session : Session();
  }
};

TEST_F(ClientSession, WritesCarrySeqsAndWhatIsAcknowledged) {
  const Session session = Open();
  EXPECT_EQ(session.id(), 100u);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client.Put("k", "v", {.session = session}));
  ASSERT_TRUE(client.Put("k", "v"));
  const auto writes = cluster.Writes();
  ASSERT_EQ(writes.size(), 4u);
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(writes[i].session().id(), 100u);
    EXPECT_EQ(writes[i].session().seq(), i + 1);
    EXPECT_EQ(writes[i].session().acked_below(), i + 1);
    EXPECT_EQ(writes[i].put().value(), "v");
  }
  EXPECT_FALSE(writes[3].has_session());
}

TEST_F(ClientSession, AWriteWhoseAnswerIsLostIsAskedAgainWithTheSameSeq) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int nth) {
    if (nth <= 2) return session.Close();
    wire::ReplyHeader header = WriteAt(101);
    header.set_repeated(true);
    session.Reply(request, header);
  };
  const Session session = Open();
  const auto put = client.Put("k", "v", {.timeout = 10s, .session = session});
  ASSERT_TRUE(put) << put.error().detail;
  EXPECT_TRUE(put->repeated);
  EXPECT_EQ(put->revision, 101u);
  const auto writes = cluster.Writes();
  ASSERT_EQ(writes.size(), 3u);
  for (const auto& write : writes) EXPECT_EQ(write.session().seq(), 1u);
}

TEST_F(ClientSession, AnErrorOnARetrySpeaksOfThatAttemptAlone) {
  for (const wire::Code code : {wire::SESSION_SEQ_GONE, wire::TOO_LARGE}) {
    cluster.writes.clear();
    cluster.treat = [code](FakeSession& session, const FakeRequest& request, int nth) {
      if (nth == 1) return session.Close();
      session.Refuse(request, code);
    };
    const Session session = Open();
    const auto put = client.Put("k", "v", {.timeout = 10s, .session = session});
    ASSERT_FALSE(put);
    EXPECT_EQ(static_cast<int>(put.error().code), code);
    EXPECT_TRUE(put.error().maybe_applied());
    // The same on a first attempt is certain.
    cluster.treat = [code](FakeSession& again, const FakeRequest& request, int) {
      again.Refuse(request, code);
    };
    const auto first = client.Put("k", "v", {.session = session});
    ASSERT_FALSE(first);
    EXPECT_FALSE(first.error().maybe_applied());
  }
}

TEST_F(ClientSession, ARecordedResultOfExecutionIsCertain) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int nth) {
    if (nth == 1) return session.Close();
    session.Refuse(request, wire::COMPARE_FAILED);
  };
  const auto cas = client.CompareAndSet("k", Absent{}, "v", {.timeout = 10s, .session = Open()});
  ASSERT_FALSE(cas);
  EXPECT_EQ(cas.error().code, ErrorCode::kCompareFailed);
  EXPECT_EQ(cas.error().error_class, ErrorClass::kFinal);
}

TEST_F(ClientSession, TheDeadlineOfAWriteThatMayHaveBeenExecutedIsUnknown) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int nth) {
    if (nth == 1) return session.Close();
    session.Refuse(request, wire::NOT_LEADER);
  };
  const auto put = client.Put("k", "v", {.timeout = 300ms, .session = Open()});
  ASSERT_FALSE(put);
  EXPECT_TRUE(put.error().maybe_applied()) << put.error().detail;
  EXPECT_GT(cluster.Writes().size(), 1u);
}

TEST_F(ClientSession, AnExpiredSessionIsLostAndTakesNoMoreWrites) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int) {
    session.Refuse(request, wire::SESSION_EXPIRED);
  };
  std::promise<void> lost;
  const Session session = Open({.on_lost = [&] { lost.set_value(); }});
  EXPECT_FALSE(session.lost());
  const auto put = client.Put("k", "v", {.session = session});
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kSessionExpired);
  EXPECT_EQ(put.error().error_class, ErrorClass::kFinal);
  EXPECT_EQ(lost.get_future().wait_for(5s), std::future_status::ready);
  EXPECT_TRUE(session.lost());
  EXPECT_EQ(client.Put("k", "v", {.session = session}).error().code, ErrorCode::kSessionExpired);
  EXPECT_EQ(cluster.Writes().size(), 1u);
}

TEST_F(ClientSession, IsKeptAliveAndLostBeforeItsTimeIsUp) {
  std::promise<void> lost;
  const testing::Stopwatch watch;
  const Session session = Open({.ttl = 1s, .on_lost = [&] { lost.set_value(); }});
  auto told = lost.get_future();
  EXPECT_EQ(told.wait_for(1500ms), std::future_status::timeout);
  EXPECT_FALSE(session.lost());
  EXPECT_GE(cluster.kept, 3);
  cluster.answers_keeps = false;
  const testing::Stopwatch silent;
  ASSERT_EQ(told.wait_for(5s), std::future_status::ready);
  EXPECT_LT(silent.elapsed(), 1s);
  EXPECT_TRUE(session.lost());
}

TEST_F(ClientSession, ClosedOnPurposeIsNotLost) {
  bool told = false;
  const Session session = Open({.on_lost = [&] { told = true; }});
  ASSERT_TRUE(client.CloseSession(session));
  EXPECT_EQ(client.Put("k", "v", {.session = session}).error().code, ErrorCode::kSessionExpired);
  EXPECT_FALSE(told);
}

TEST_F(ClientSession, SoManyMayBeOutstanding) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int nth) {
    if (nth > 1) session.Reply(request, WriteAt(100));
  };
  const Session session = Open();
  auto oldest = client.AsyncPut("k", "v", {.timeout = 2s, .session = session}, use_future);
  std::vector<std::future<Result<WriteReply>>> puts;
  for (int i = 0; i < 1023; ++i) {
    puts.push_back(client.AsyncPut("k", "v", {.timeout = 9s, .session = session}, use_future));
  }
  for (auto& put : puts) EXPECT_TRUE(put.get());
  const auto more = client.Put("k", "v", {.session = session});
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(more.error().error_class, ErrorClass::kNotExecuted);
  EXPECT_TRUE(oldest.get().error().maybe_applied());
  EXPECT_TRUE(client.Put("k", "v", {.session = session}));
}

TEST_F(ClientSession, OrderedWritesGoOneByOne) {
  std::atomic<int> in_flight{0};
  std::atomic<int> most{0};
  cluster.treat = [&](FakeSession& session, const FakeRequest& request, int nth) {
    most = std::max<int>(most, ++in_flight);
    session.After(1ms, [&, request, nth](FakeSession& later) {
      --in_flight;
      later.Reply(request, WriteAt(100 + static_cast<std::uint64_t>(nth)));
    });
  };
  const Session session = Open({.ordered = true});
  std::vector<std::future<Result<WriteReply>>> puts;
  for (int i = 0; i < 20; ++i) {
    puts.push_back(
        client.AsyncPut(std::to_string(i), "v", {.timeout = 9s, .session = session}, use_future));
  }
  for (auto& put : puts) EXPECT_TRUE(put.get());
  EXPECT_EQ(most, 1);
  const auto writes = cluster.Writes();
  for (std::size_t i = 0; i < writes.size(); ++i) {
    EXPECT_EQ(writes[i].put().key(), std::to_string(i));
    EXPECT_EQ(writes[i].session().seq(), i + 1);
    EXPECT_TRUE(writes[i].session().ordered());
  }
}

TEST_F(ClientSession, AnOrderedSeqIsUsedAgainOnlyAfterCertainNonExecution) {
  cluster.treat = [](FakeSession& session, const FakeRequest& request, int nth) {
    if (nth == 1) return session.Refuse(request, wire::TOO_LARGE);       // certainly not executed
    if (nth == 2) return session.Refuse(request, wire::COMPARE_FAILED);  // executed
    if (nth == 3) return;                                                // nobody knows
    session.Reply(request, WriteAt(101));
  };
  const Session session = Open({.ordered = true});
  const WriteOptions o{.timeout = 100ms, .session = session};
  EXPECT_FALSE(client.Put("a", "v", o));
  EXPECT_FALSE(client.CompareAndSet("b", Absent{}, "v", o));
  EXPECT_TRUE(client.Put("c", "v", o).error().maybe_applied());
  EXPECT_TRUE(client.Put("d", "v", {.timeout = 5s, .session = session}));
  const auto writes = cluster.Writes();
  ASSERT_EQ(writes.size(), 4u);
  EXPECT_EQ(writes[0].session().seq(), 1u);
  EXPECT_EQ(writes[1].session().seq(), 1u);
  EXPECT_EQ(writes[2].session().seq(), 2u);
  EXPECT_EQ(writes[3].session().seq(), 3u);
}

TEST_F(ClientSession, AttachingNeedsASessionOfThisClient) {
  EXPECT_EQ(client.Put("k", "v", {.attach = true}).error().code, ErrorCode::kInvalid);
  Client other(At({node.address()}));
  EXPECT_EQ(other.Put("k", "v", {.session = Open()}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(client.OpenSession({.ttl = 10ms}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(client.CloseSession({}).error().code, ErrorCode::kInvalid);
  const Session session = Open();
  ASSERT_TRUE(client.Put("k", "v", {.session = session, .attach = true}));
  EXPECT_TRUE(cluster.Writes().at(0).put().attach());
}

}  // namespace
}  // namespace quorate
