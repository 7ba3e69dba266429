// What `quorate` says of freshness, and the commands beyond put, get and del, against a node that
// follows a script.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "tests/unit/cli_fixture.h"

namespace quorate {
namespace {

using Json = nlohmann::json;
using testing::Cli;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::Output;
using testing::Refusing;
using testing::Success;

// Answers with whatever the test has put here, and keeps the last request.
struct Canned {
  wire::ReplyHeader header = Success(1, 7);
  wire::WriteResult result;
  std::string value;
  wire::Command command;
  wire::Freshness freshness;
  int requests = 0;

  testing::Script Script() {
    return [this](FakeSession& session, const FakeRequest& request) {
      ++requests;
      if (request.type == wire::FrameType::kWrite) {
        command = request.command();
        wire::ReplyHeader reply = header;
        if (command.has_open_session()) reply = Success(1, 5), reply.set_mod_index(5);
        return session.Reply(request, reply, result.SerializeAsString());
      }
      if (request.type == wire::FrameType::kGet) freshness = request.get().freshness();
      if (request.type == wire::FrameType::kMultiGet) {
        wire::MultiGetRequest get;
        get.ParseFromString(request.header);
        freshness = get.freshness();
      }
      session.Reply(request, header, value);
    };
  }
};

// ---- Levels ----

TEST_F(Cli, LevelsGoOntoTheWireAsTheyAreAsked) {
  Canned canned;
  canned.header.set_found(true);
  const FakeNode node({}, canned.Script());
  EXPECT_EQ(Run(node.address(), "get k --read bounded:200ms,lag=10 --on-unmet refuse").code, 0);
  EXPECT_EQ(canned.freshness.max_age_us(), 200'000u);
  EXPECT_EQ(canned.freshness.max_lag(), 10u);
  EXPECT_EQ(canned.freshness.on_unmet(), wire::REFUSE);
  EXPECT_EQ(Run(node.address(), "get k --read eventual --on-unmet serve").code, 0);
  EXPECT_FALSE(canned.freshness.has_max_age_us());
  EXPECT_EQ(canned.freshness.on_unmet(), wire::SERVE_ANYWAY);
  EXPECT_EQ(Run(node.address(), "get k", "QUORATE_READ=bounded:1s").code, 0);
  EXPECT_EQ(canned.freshness.max_age_us(), 1'000'000u);
}

TEST_F(Cli, ATokenThatAReplyGaveIsOneThatAReadTakes) {
  Canned canned;
  canned.header.set_found(true);
  canned.header.mutable_certificate()->set_incarnation(0xabc);
  const FakeNode node({}, canned.Script());
  const Output first = Run(node.address(), "-v put k v");
  const std::size_t at = first.err.find("token q1-");
  ASSERT_NE(at, std::string::npos) << first.err;
  const std::string token = first.err.substr(at + 6, first.err.find('\n', at) - at - 6);
  EXPECT_EQ(Run(node.address(), "get k --read session:" + token).code, 0);
  EXPECT_EQ(canned.freshness.token().index(), 7u);
  EXPECT_EQ(canned.freshness.token().incarnation(), 0xabcu);
  const Output both = Run(node.address(), "--json get k --read bounded:200ms,session:" + token);
  EXPECT_EQ(canned.freshness.max_age_us(), 200'000u);
  EXPECT_EQ(Json::parse(both.out).at("token"), token);
  const Output cut = Run(node.address(), "get k --read session:" + token.substr(0, 20));
  EXPECT_EQ(cut.code, 2) << cut.err;
}

TEST_F(Cli, LevelsAndSlasThatMakeNoSenseAreUsageErrors) {
  for (const char* arguments :
       {"get k --read bounded:-1ms", "get k --read bounded:", "get k --read bounded:5",
        "get k --read bounded:99999h", "get k --read bounded:200ms,lag=-1",
        "get k --read strong,lag=3", "get k --read session:", "get k --read session:q1-cut",
        "get k --read sometimes", "get k --on-unmet perhaps", "get k --sla ''",
        "get k --sla 'strong >'", "get k --sla 'eventual > strong'",
        "get k --sla 'bounded:1s > bounded:200ms'", "get k --sla strong --read eventual",
        "scan --read bounded:0.5", "bench --read nonsense"}) {
    const Output output = Run("127.0.0.1:1", arguments);
    EXPECT_EQ(output.code, 2) << arguments << "\n" << output.err;
    EXPECT_FALSE(output.err.empty()) << arguments;
  }
}

TEST_F(Cli, CertificatesTellAgeLagAndBasis) {
  Canned canned;
  canned.header.set_found(true);
  canned.value = "v";
  canned.header.mutable_certificate()->set_age_us(117'100);
  canned.header.mutable_certificate()->set_lag(10);
  canned.header.mutable_certificate()->set_basis(wire::ANCHOR);
  const FakeNode node({}, canned.Script());
  const Output text = Run(node.address(), "-v get k --read bounded:200ms,lag=10");
  EXPECT_EQ(text.out, "v");
  EXPECT_NE(text.err.find("at most 118 ms old but for the last 10 entries (anchor)"),
            std::string::npos)
      << text.err;
  const Json json =
      Json::parse(Run(node.address(), "--json get k --read bounded:200ms,lag=10").out);
  EXPECT_EQ(json.at("age_ms"), 117.1);
  EXPECT_EQ(json.at("lag"), 10);
  EXPECT_EQ(json.at("basis"), "anchor");
  EXPECT_EQ(json.at("level"), "bounded:200ms,lag=10");
  EXPECT_TRUE(json.at("error").is_null());
}

TEST_F(Cli, ARefusalSaysItsNumbersAndExits5) {
  const FakeNode node({}, [](FakeSession& session, const FakeRequest& request) {
    wire::ReplyHeader header;
    header.mutable_error()->set_code(wire::STALE);
    header.mutable_error()->set_message("too old");
    header.mutable_error()->set_age_us(300'000);
    header.mutable_error()->set_have(5);
    header.mutable_error()->set_want(9);
    session.Reply(request, header);
  });
  const Output refused = Run(node.address(), "--json get k --read bounded:200ms --on-unmet refuse");
  EXPECT_EQ(refused.code, 5) << refused.out << refused.err;
  const Json error = Json::parse(refused.out).at("error");
  EXPECT_EQ(error.at("code"), "STALE");
  EXPECT_EQ(error.at("age_ms"), 300.0);
  EXPECT_EQ(error.at("have"), 5);
  EXPECT_EQ(error.at("want"), 9);
}

TEST_F(Cli, SeveralKeysAreReadAtOneIndex) {
  Canned canned;
  wire::ScanPage page;
  for (const char* key : {"b", "a"}) {
    auto& item = *page.add_items();
    item.set_key(key);
    item.set_value(std::string(key) + "\n");
    item.set_mod_index(4);
  }
  page.set_count(2);
  canned.value = page.SerializeAsString();
  const FakeNode node({}, canned.Script());
  const Output all = Run(node.address(), "get b a --read eventual");
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_EQ(all.out, "b\tb\\n\na\ta\\n\n");
  EXPECT_FALSE(canned.freshness.has_max_age_us());
  const Output some = Run(node.address(), "get b nothing a");
  EXPECT_EQ(some.code, 3);
  EXPECT_NE(some.err.find("key not found: nothing"), std::string::npos) << some.err;
  const Json json = Json::parse(Run(node.address(), "--json get b nothing a").out);
  ASSERT_EQ(json.at("items").size(), 3u);
  EXPECT_EQ(json.at("items").at(0).at("value"), "b\n");
  EXPECT_EQ(json.at("items").at(1).at("found"), false);
  EXPECT_EQ(json.at("applied_index"), 7);
}

TEST_F(Cli, ExplainPrintsWhatTheNodeKnewForRefusalsToo) {
  bool refuse = false;
  const FakeNode node({}, [&refuse](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kStatus) {
      wire::NodeStatus status;
      status.set_id(1);
      status.set_role("follower");
      status.set_leader(2);
      status.set_local_bound_us(64'000);
      status.set_typical_confirm_us(800);
      return session.Reply(request, Success(1, 7), status.SerializeAsString());
    }
    wire::ReplyHeader header;
    if (refuse) {
      header.mutable_error()->set_code(wire::STALE);
    } else {
      header = Success(1, 7);
      header.set_found(true);
    }
    wire::Explanation& view = *header.mutable_explanation();
    view.set_node_id(1);
    view.set_role("follower");
    view.set_leader(2);
    view.set_decision(refuse ? wire::REFUSED : wire::SERVED_LOCALLY);
    view.set_reason("a reason with numbers");
    view.set_anchor_age_us(118'000);
    view.set_anchor_index(7);
    session.Reply(request, header);
  });
  for (const bool refused : {false, true}) {
    refuse = refused;
    const std::string get = "get k --read bounded:200ms --on-unmet refuse --explain";
    const Output text = Run(node.address(), get);
    EXPECT_EQ(text.code, refused ? 5 : 0) << text.err;
    for (const char* part : {"node 1", "a reason with numbers", "newest anchor 118 ms old",
                             "bounded:200ms costs", "64 ms", "~0.8 ms"}) {
      EXPECT_NE(text.err.find(part), std::string::npos) << part << "\n" << text.err;
    }
    const Json json = Json::parse(Run(node.address(), "--json " + get).out);
    EXPECT_EQ(json.at("explain").at("attempts").at(0).at("view").at("anchor_age_ms"), 118.0);
    EXPECT_EQ(json.at("explain").at("nodes").at(0).at("cost_ms").at("bounded:200ms"), 0);
    EXPECT_EQ(json.at("error").is_null(), !refused);
  }
}

// ---- Writes ----

TEST_F(Cli, IncrementPrintsTheSum) {
  Canned canned;
  canned.header.set_mod_index(7);
  canned.result.set_value("-2");
  const FakeNode node({}, canned.Script());
  const Output output = Run(node.address(), "incr n -- -3");
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(output.out, "-2\n");
  EXPECT_EQ(canned.command.increment().by(), -3);
  EXPECT_EQ(Json::parse(Run(node.address(), "--json incr n").out).at("number"), -2);
  EXPECT_EQ(canned.command.increment().by(), 1);
  EXPECT_EQ(Run(node.address(), "incr n 1.5").code, 2);
  EXPECT_EQ(Run(node.address(), "incr n 9223372036854775808").code, 2);
  const FakeNode text({}, Refusing(wire::NOT_A_NUMBER));
  EXPECT_EQ(Run(text.address(), "incr n").code, 1);
  const FakeNode full({}, Refusing(wire::OUT_OF_RANGE));
  EXPECT_EQ(Run(full.address(), "incr n").code, 2);
}

TEST_F(Cli, AppendTakesBytesFromStdin) {
  Canned canned;
  const FakeNode node({}, canned.Script());
  const std::string bytes("\0\xff\n", 3);
  std::ofstream(Path("in"), std::ios::binary) << bytes;
  EXPECT_EQ(Run(node.address(), "append k - <" + Path("in")).code, 0);
  EXPECT_EQ(canned.command.append().value(), bytes);
  const FakeNode full({}, Refusing(wire::VALUE_TOO_LARGE));
  EXPECT_EQ(Run(full.address(), "append k v").code, 2);
}

TEST_F(Cli, ReturnPreviousPrintsTheValueBefore) {
  Canned canned;
  canned.header.set_found(true);
  canned.result.set_value("before");
  canned.result.set_value_mod_index(3);
  const FakeNode node({}, canned.Script());
  EXPECT_EQ(Run(node.address(), "put k v --return-previous").out, "before");
  EXPECT_TRUE(canned.command.put().return_previous());
  const Json json = Json::parse(Run(node.address(), "--json del k --return-previous").out);
  EXPECT_EQ(json.at("previous"), "before");
  EXPECT_EQ(json.at("previous_index"), 3);
  EXPECT_EQ(Run(node.address(), "put k v").out, "");
}

TEST_F(Cli, ATransactionIsSentWholeAndExits4ForElse) {
  Canned canned;
  canned.result.set_succeeded(true);
  canned.result.add_results()->set_value("9");
  wire::OperationResult got;
  got.set_found(true);
  got.set_value("v\n");
  got.set_mod_index(3);
  *canned.result.add_results() = got;
  const FakeNode node({}, canned.Script());
  std::ofstream(Path("t")) << "if\n exists a\nthen\n incr n -1\n get k\nelse\n get k\n get gone\n";
  const Output then = Run(node.address(), "txn " + Path("t"));
  EXPECT_EQ(then.code, 0) << then.err;
  EXPECT_EQ(then.out, "n\t9\nk\tv\\n\n");
  EXPECT_EQ(canned.command.transaction().compare_size(), 1);
  EXPECT_EQ(canned.command.transaction().then_size(), 2);
  EXPECT_EQ(canned.command.transaction().otherwise_size(), 2);
  canned.result.set_succeeded(false);
  canned.result.clear_results();
  *canned.result.add_results() = got;
  canned.result.add_results();
  const Output otherwise = Run(node.address(), "txn - <" + Path("t"));
  EXPECT_EQ(otherwise.code, 4);
  EXPECT_EQ(otherwise.out, "k\tv\\n\n");
  EXPECT_NE(otherwise.err.find("key not found: gone"), std::string::npos) << otherwise.err;
  const Json json = Json::parse(Run(node.address(), "--json txn " + Path("t")).out);
  EXPECT_EQ(json.at("succeeded"), false);
  EXPECT_EQ(json.at("results").at(0).at("index"), 3);
}

TEST_F(Cli, TransactionsThatMakeNoSenseOrAreTooLargeAre2) {
  Canned canned;
  const FakeNode node({}, canned.Script());
  std::ofstream(Path("bad")) << "then\n  frobnicate k\n";
  const Output bad = Run(node.address(), "txn " + Path("bad"));
  EXPECT_EQ(bad.code, 2);
  EXPECT_NE(bad.err.find("line 2"), std::string::npos) << bad.err;
  std::ofstream many(Path("many"));
  many << "then\n";
  for (int i = 0; i < 129; ++i) many << "get k" << i << "\n";
  many.close();
  const Output parts = Run(node.address(), "txn " + Path("many"));
  EXPECT_EQ(parts.code, 2);
  EXPECT_NE(parts.err.find("128"), std::string::npos) << parts.err;
  std::ofstream(Path("large")) << "then\nput a " << std::string(600'000, 'x') << "\nput b "
                               << std::string(600'000, 'x') << "\n";
  const Output large = Run(node.address(), "txn " + Path("large"));
  EXPECT_EQ(large.code, 2);
  EXPECT_NE(large.err.find("1048576"), std::string::npos) << large.err;
  EXPECT_EQ(Run(node.address(), "txn /no/such/file").code, 2);
  EXPECT_EQ(canned.requests, 0) << "none of these may reach a node";
}

TEST_F(Cli, ARangeIsDeletedInStepsAndEverythingOnlyWithYes) {
  int steps = 0;
  int refuse_at = 0;
  std::string first;
  const FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    const wire::DeleteRange range = request.command().delete_range();
    first = range.first();
    if (++steps == refuse_at) return session.Refuse(request, wire::INTERNAL);
    wire::WriteResult result;
    result.set_deleted(range.max_keys());
    if (steps < 3) result.set_resume(std::string("p/\n") + std::to_string(steps));
    session.Reply(request, Success(1, 7), result.SerializeAsString());
  });
  const Output done = Run(node.address(), "del --prefix p/ --step 10");
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.out, "30\n");
  EXPECT_EQ(first, "p/\n2");
  steps = 0;
  refuse_at = 2;
  const Output broken = Run(node.address(), "del --prefix p/ --step 10");
  EXPECT_EQ(broken.code, 8) << "whether that step was done is unknown";
  EXPECT_NE(
      broken.err.find("10 keys are deleted; to go on: quorate del --from $'p/\\n1' --to $'p0'"),
      std::string::npos)
      << broken.err;
  steps = 0;
  refuse_at = 0;
  for (const char* whole : {"del --prefix ''", "del --from a", "del --from ''"}) {
    EXPECT_EQ(Run(node.address(), whole).code, 2) << whole;
  }
  EXPECT_EQ(Run(node.address(), "del k --prefix p/").code, 2);
  EXPECT_EQ(Run(node.address(), "del --prefix p/ --step 1001").code, 2);
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(Run(node.address(), "del --prefix '' --yes").code, 0);
}

// ---- Locks ----

TEST_F(Cli, ALockRunsItsCommandWithTheFencingToken) {
  Canned canned;
  canned.header.set_mod_index(42);
  const FakeNode node({}, canned.Script());
  const Output held =
      Run(node.address(), "lock name -- sh -c 'echo token $QUORATE_FENCING_TOKEN; exit 9'");
  EXPECT_EQ(held.code, 9) << held.err;
  EXPECT_EQ(held.out, "token 42\n");
  EXPECT_EQ(canned.command.close_session().id(), 5u) << "released";
  EXPECT_EQ(Run(node.address(), "lock name -- /no/such/command").code, 127);
  EXPECT_EQ(Run(node.address(), "lock name").code, 2);
  EXPECT_EQ(Run(node.address(), "lock name --ttl 10ms -- true").code, 2);
}

TEST_F(Cli, ALockThatAnotherHoldsIs4) {
  Canned canned;
  const FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kWrite && request.command().has_compare_and_set()) {
      EXPECT_TRUE(request.command().compare_and_set().attach());
      return session.Refuse(request, wire::COMPARE_FAILED);
    }
    if (request.type == wire::FrameType::kGet) {
      wire::ReplyHeader header = Success(1, 7);
      header.set_found(true);
      return session.Reply(request, header, "somebody");
    }
    canned.Script()(session, request);
  });
  const Output held = Run(node.address(), "lock name --wait 0s -- echo never");
  EXPECT_EQ(held.code, 4);
  EXPECT_EQ(held.out, "");
  EXPECT_NE(held.err.find("held by somebody"), std::string::npos) << held.err;
}

TEST_F(Cli, ALostSessionEndsTheCommand) {
  // From the second request of the session on the node knows nothing of it.
  Canned canned;
  canned.header.set_mod_index(42);
  const FakeNode node({}, [&](FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kWrite && request.command().has_keep_session()) {
      return session.Refuse(request, wire::SESSION_EXPIRED);
    }
    canned.Script()(session, request);
  });
  const auto begin = std::chrono::steady_clock::now();
  const Output lost = Run(
      node.address(), "lock name --ttl 1s -- sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'");
  EXPECT_EQ(lost.code, 5) << lost.err;
  EXPECT_NE(lost.err.find("somebody else"), std::string::npos) << lost.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace quorate
