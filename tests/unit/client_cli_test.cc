// The built `quorate` as a process, against nodes that follow a script: exit codes, stdout, stderr.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "storage/backup.h"
#include "storage/crc32c.h"
#include "tests/unit/cli_fixture.h"

namespace quorate {
namespace {

using testing::Announcing;
using testing::Cli;
using testing::DeadAddress;
using testing::FakeNode;
using testing::FakeRequest;
using testing::FakeSession;
using testing::KeyValueScript;
using testing::Output;
using testing::Refusing;
using testing::Success;

TEST_F(Cli, TheValueAloneGoesToStdout) {
  const FakeNode node({}, KeyValueScript(1));
  EXPECT_EQ(Run(node.address(), "put k v").code, 0);
  const Output quiet = Run(node.address(), "get k");
  EXPECT_EQ(quiet.code, 0);
  EXPECT_EQ(quiet.out, "v");
  EXPECT_EQ(quiet.err, "");
  const Output verbose = Run(node.address(), "get k -v");
  EXPECT_EQ(verbose.out, "v");
  // The token, which comes behind, is another matter.
  EXPECT_EQ(verbose.err.substr(0, verbose.err.find('\n')),
            "index 1, term 3, node 1, current when asked (confirmed by a quorum)");
}

TEST_F(Cli, JsonHasTheFieldsThatScriptsReadAndNothingElseIsPrinted) {
  const FakeNode node({}, KeyValueScript(1));
  EXPECT_EQ(Run(node.address(), "put k v").code, 0);
  const Output got = Run(node.address(), "--json -v get k");
  EXPECT_EQ(got.err, "");
  const auto json = nlohmann::json::parse(got.out);
  EXPECT_EQ(json.at("key"), "k");
  EXPECT_EQ(json.at("value"), "v");
  EXPECT_EQ(json.at("index"), 1);
  EXPECT_EQ(json.at("term"), 3);
  EXPECT_EQ(json.at("node"), 1);
  EXPECT_EQ(json.at("applied_index"), 1);
  EXPECT_EQ(json.at("age_ms"), 0);
  EXPECT_EQ(json.at("basis"), "read_index");
  EXPECT_EQ(json.at("waited_ms"), 0);
  EXPECT_EQ(json.at("level"), "strong");
  EXPECT_TRUE(json.at("error").is_null());
}

TEST_F(Cli, BinaryValuesComeBackByteByByte) {
  const FakeNode node({}, KeyValueScript(1));
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  std::ofstream(Path("in"), std::ios::binary) << bytes;
  EXPECT_EQ(Run(node.address(), "put k - <" + Path("in")).code, 0);
  EXPECT_EQ(Run(node.address(), "get k").out, bytes);
  EXPECT_TRUE(
      nlohmann::json::parse(Run(node.address(), "--json get k").out).contains("value_base64"));
}

TEST_F(Cli, UsageIs2) {
  for (const char* arguments :
       {"", "get", "put k", "frobnicate", "--no-such-flag", "get k --read sometimes",
        "--deadline soon get k", "--deadline 5 get k", "cas k v",
        "cas k v --expect-index 1 --expect-absent", "put '' v", "bench --clients 0",
        "completion fish", "import /no/such/file", "import - --format xml"}) {
    const Output output = Run("127.0.0.1:1", arguments);
    EXPECT_EQ(output.code, 2) << arguments << output.err;
    EXPECT_FALSE(output.err.empty()) << arguments;
  }
}

TEST_F(Cli, NotFoundIs3) {
  const FakeNode node({}, KeyValueScript(1));
  const Output got = Run(node.address(), "get nothing");
  EXPECT_EQ(got.code, 3);
  EXPECT_EQ(got.out, "");
  EXPECT_EQ(got.err, "quorate: key not found\n");
  EXPECT_EQ(Run(node.address(), "del nothing").code, 3);
}

TEST_F(Cli, CompareFailedIs4AndRefusedIs5) {
  const FakeNode comparing({}, Refusing(wire::COMPARE_FAILED));
  EXPECT_EQ(Run(comparing.address(), "cas k --expect-index 1 v").code, 4);
  const FakeNode alone({}, Refusing(wire::NO_QUORUM));
  EXPECT_EQ(Run(alone.address(), "--deadline 200ms get k").code, 5);
}

TEST_F(Cli, CannotConnectIs6AndNamesTheEndpoints) {
  const std::string dead = DeadAddress();
  const Output output = Run(dead, "get k");
  EXPECT_EQ(output.code, 6);
  EXPECT_NE(output.err.find(dead), std::string::npos) << output.err;
  EXPECT_EQ(Run(dead, "status").code, 6);
  EXPECT_EQ(Run(dead, "import - </dev/null").code, 0);  // nothing to write, nothing to connect for
  std::ofstream(Path("in")) << "Package: a\n";
  EXPECT_EQ(Run(dead, "import " + Path("in")).code, 6);
}

TEST_F(Cli, DeadlineIs7IfNothingCanHaveHappenedAnd8IfItCan) {
  const FakeNode leaderless({}, Refusing(wire::NO_LEADER));
  EXPECT_EQ(Run(leaderless.address(), "--deadline 200ms put k v").code, 7);
  const FakeNode silent({}, [](FakeSession&, const FakeRequest&) {});
  EXPECT_EQ(Run(silent.address(), "--deadline 200ms get k").code, 7);
  const Output unknown = Run(silent.address(), "--deadline 200ms put k v");
  EXPECT_EQ(unknown.code, 8);
  EXPECT_NE(unknown.err.find("unknown"), std::string::npos) << unknown.err;
  const FakeNode breaking({}, [](FakeSession& session, const FakeRequest&) { session.Close(); });
  EXPECT_EQ(Run(breaking.address(), "put k v").code, 8);
  const auto json = nlohmann::json::parse(Run(breaking.address(), "--json put k v").out);
  EXPECT_EQ(json.at("error").at("class"), "unknown");
  EXPECT_EQ(json.at("error").at("maybe_applied"), true);
}

TEST_F(Cli, InterruptedIs130) {
  for (const int times : {1, 2}) {  // timeout(1) sends it twice
    std::promise<void> first_put;
    const FakeNode silent({}, Announcing(first_put, [](FakeSession&, const FakeRequest&) {}));
    const Output put =
        Interrupt(silent.address(), "--deadline 60s put k v", first_put.get_future(), times);
    EXPECT_EQ(put.code, 130);
    EXPECT_NE(put.err.find("may have been applied"), std::string::npos) << put.err;
    std::promise<void> first_of_many;
    const FakeNode node({}, Announcing(first_of_many, KeyValueScript(1)));
    const Output bench = Interrupt(node.address(), "bench --clients 2 --warmup 0s --duration 60s",
                                   first_of_many.get_future(), times);
    EXPECT_EQ(bench.code, 130);
    EXPECT_NE(bench.out.find("interrupted; put: "), std::string::npos) << bench.out << bench.err;
  }
}

TEST_F(Cli, ASecondInterruptEndsWhatStillWaitsForReplies) {
  std::promise<void> first;
  const FakeNode silent({}, Announcing(first, [](FakeSession&, const FakeRequest&) {}));
  const auto begin = std::chrono::steady_clock::now();
  const Output bench = Interrupt(silent.address(), "--deadline 60s bench --duration 60s",
                                 first.get_future(), 100, std::chrono::milliseconds(400));
  EXPECT_EQ(bench.code, 130);
  EXPECT_EQ(bench.out, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(50));
}

TEST_F(Cli, EnvironmentAndConfigFileSetOptionsAndUnknownKeysAreErrors) {
  const FakeNode node({}, KeyValueScript(1));
  EXPECT_EQ(Run(node.address(), "put k v").code, 0);
  std::ofstream(Path("good.ini")) << "json=true\n[get]\nread=\"eventual\"\n";
  const Output configured = Run(node.address(), "get k --config " + Path("good.ini"));
  EXPECT_EQ(configured.code, 0) << configured.err;
  EXPECT_EQ(nlohmann::json::parse(configured.out).at("level"), "eventual");
  std::ofstream(Path("bad.ini")) << "jason=true\n";
  const Output bad = Run(node.address(), "--config " + Path("bad.ini") + " get k");
  EXPECT_EQ(bad.code, 2);
  EXPECT_NE(bad.err.find("jason"), std::string::npos) << bad.err;
  EXPECT_EQ(Run(node.address(), "--config /no/such/file get k").code, 2);
  const Output environment = Run(node.address(), "get k", "QUORATE_JSON=true");
  EXPECT_TRUE(nlohmann::json::accept(environment.out)) << environment.out << environment.err;
}

TEST_F(Cli, ThePrintedConfigIsOneThatCanBeRead) {
  const FakeNode node({}, KeyValueScript(1));
  const Output printed = Run(node.address() + "," + DeadAddress(), "--deadline 3s --print-config");
  EXPECT_EQ(printed.code, 0) << printed.err;
  std::ofstream(Path("printed.ini")) << printed.out;
  const std::string command = QUORATE_BINARY " --config " + Path("printed.ini") + " put k v >" +
                              Path("out") + " 2>" + Path("err");
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 0)  // NOLINT(concurrency-mt-unsafe)
      << printed.out << Slurp("err");
  EXPECT_NE(printed.out.find("deadline=\"3s\""), std::string::npos) << printed.out;
}

TEST_F(Cli, ImportWritesEveryRecordOnceItsOutcomeIsCertain) {
  // Refuses or loses every fifth request; the import must still end with all records there.
  auto count = std::make_shared<int>(0);
  FakeNode node(
      {}, [count, store = KeyValueScript(1)](FakeSession& session, const FakeRequest& request) {
        if (request.type == wire::FrameType::kWrite && ++*count % 50 == 0) return session.Close();
        if (request.type == wire::FrameType::kWrite && *count % 7 == 0) {
          return session.Refuse(request, wire::OVERLOADED);
        }
        store(session, request);
      });
  std::string stanzas;
  for (int i = 0; i < 200; ++i) stanzas += "Package: p" + std::to_string(i) + "\nVersion: 1\n\n";
  stanzas += "Package: p7\nVersion: 2\n";
  std::ofstream(Path("in")) << stanzas;
  const Output imported = Run(node.address(), "--json import " + Path("in"));
  EXPECT_EQ(imported.code, 0) << imported.out << imported.err;
  EXPECT_EQ(nlohmann::json::parse(imported.out).at("written"), 201);
  node.SetScript(nullptr);
}

TEST_F(Cli, ImportKeepsTheLastOfSeveral) {
  const FakeNode node({}, KeyValueScript(1));
  std::ofstream(Path("in"))
      << "Package: a\nVersion: 1\n\nPackage: a\nVersion: 2\n\nPackage: a\nVersion: 3\n";
  EXPECT_EQ(Run(node.address(), "import " + Path("in")).code, 0);
  EXPECT_EQ(Run(node.address(), "get a").out, "Package: a\nVersion: 3\n");
}

TEST_F(Cli, ImportSaysWhichRecordMadeNoSense) {
  const FakeNode node({}, KeyValueScript(1));
  std::ofstream(Path("in")) << "a\t1\nnonsense\n";
  const Output output = Run(node.address(), "import --format lines " + Path("in"));
  EXPECT_EQ(output.code, 1);
  EXPECT_NE(output.err.find("line 2"), std::string::npos) << output.err;
  EXPECT_EQ(Run(node.address(), "get a").out, "1");
}

// A node that keeps a snapshot of two files.
class SnapshotKeeper {
 public:
  explicit SnapshotKeeper(std::uint64_t node) : node_(node) {
    manifest_.id = 99;
    manifest_.cluster_id = 42;
    manifest_.mark.position = {.index = 9, .term = 3};
    manifest_.mark.configuration.incarnation = 0xabc;
    for (std::size_t i = 0; i < contents_.size(); ++i) {
      manifest_.files.push_back({.name = "file" + std::to_string(i),
                                 .bytes = contents_[i].size(),
                                 .crc32c = storage::Crc32c(contents_[i])});
    }
  }

  testing::Script Script() {
    return [this](FakeSession& session, const FakeRequest& request) { Answer(session, request); };
  }
  std::string backup() const {
    return storage::BackupHeader(manifest_) + contents_[0] + contents_[1];
  }
  void Damage() { contents_[1][2] ^= 1; }

 private:
  void Answer(FakeSession& session, const FakeRequest& request) {
    if (request.type == wire::FrameType::kStatus) {
      wire::NodeStatus status;
      status.set_id(node_);
      status.set_leader(node_);
      status.set_disk_full(true);
      status.set_disk_full_reason("5 bytes are free");
      status.mutable_snapshot()->set_from(2);
      return session.Reply(request, Success(node_, 9), status.SerializeAsString());
    }
    if (request.type == wire::FrameType::kSnapshot) {
      wire::SnapshotTaken taken;
      taken.set_id(manifest_.id);
      taken.set_node_id(node_);
      taken.set_index(9);
      taken.set_term(3);
      taken.set_bytes(manifest_.bytes());
      taken.set_files(2);
      taken.set_manifest_bytes(manifest_.Encode().size());
      return session.Reply(request, Success(node_, 9), taken.SerializeAsString());
    }
    wire::SnapshotRead read;
    read.ParseFromString(request.header);
    const std::string whole = read.has_file() ? contents_.at(read.file()) : manifest_.Encode();
    session.Reply(request, Success(node_, 9), whole.substr(read.offset(), read.bytes()));
  }

  const std::uint64_t node_;
  storage::Manifest manifest_;
  std::array<std::string, 2> contents_{std::string(700'000, 'x'), "short"};
};

TEST_F(Cli, BackupWritesWhatTheNodeKeeps) {
  SnapshotKeeper keeper(1);
  const FakeNode node({}, keeper.Script());
  const Output output = Run(node.address(), "--json backup " + Path("b"));
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_EQ(Slurp("b"), keeper.backup());
  const auto json = nlohmann::json::parse(output.out);
  EXPECT_EQ(json.at("index"), 9);
  EXPECT_EQ(json.at("incarnation"), 0xabc);
  EXPECT_EQ(json.at("bytes"), keeper.backup().size());
  EXPECT_FALSE(std::filesystem::exists(Path("b.tmp")));
  EXPECT_EQ(Run(node.address(), "backup " + Path("b")).code, 2) << "it exists";
  const Output forced = Run(node.address(), "backup --force " + Path("b"));
  EXPECT_EQ(forced.code, 0) << forced.err;
  EXPECT_NE(forced.out.find("index 9, term 3, incarnation 0000000000000abc"), std::string::npos)
      << forced.out;
}

TEST_F(Cli, ADamagedSnapshotMakesNoBackup) {
  SnapshotKeeper keeper(1);
  keeper.Damage();
  const FakeNode node({}, keeper.Script());
  const Output output = Run(node.address(), "backup " + Path("b"));
  EXPECT_EQ(output.code, 1);
  EXPECT_NE(output.err.find("file1"), std::string::npos) << output.err;
  EXPECT_FALSE(std::filesystem::exists(Path("b")));
  EXPECT_FALSE(std::filesystem::exists(Path("b.tmp")));
}

TEST_F(Cli, AnInterruptedBackupLeavesNothing) {
  SnapshotKeeper keeper(1);
  std::promise<void> begun;
  auto announced = std::make_shared<bool>(false);
  const FakeNode node({}, [&, announced](FakeSession& session, const FakeRequest& request) {
    wire::SnapshotRead read;
    read.ParseFromString(request.header);
    // The files never come.
    if (request.type != wire::FrameType::kSnapshotRead || !read.has_file()) {
      return keeper.Script()(session, request);
    }
    if (!std::exchange(*announced, true)) begun.set_value();
  });
  const Output output = Interrupt(node.address(), "backup " + Path("b"), begun.get_future(), 1);
  EXPECT_EQ(output.code, 130);
  EXPECT_NE(output.err.find("interrupted"), std::string::npos) << output.err;
  EXPECT_FALSE(std::filesystem::exists(Path("b")));
  EXPECT_FALSE(std::filesystem::exists(Path("b.tmp")));
}

TEST_F(Cli, SnapshotAsksEveryNodeAndStatusSaysWhatIsWrong) {
  SnapshotKeeper one(1);
  SnapshotKeeper two(2);
  const FakeNode second({.id = 2}, two.Script());
  const FakeNode first({.id = 1, .members = {testing::MakeHint(2, second.address())}},
                       one.Script());
  const Output both = Run(first.address(), "snapshot");
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_NE(both.out.find("node 1: index 9, term 3"), std::string::npos) << both.out;
  EXPECT_NE(both.out.find("node 2: index 9, term 3"), std::string::npos) << both.out;
  const Output single = Run(first.address(), "--json --node 2 snapshot");
  EXPECT_EQ(nlohmann::json::parse(single.out).at("node"), 2);
  EXPECT_EQ(Run(first.address(), "--node 3 snapshot").code, 6);
  const Output status = Run(first.address(), "status");
  EXPECT_NE(status.out.find("disk full, no writes are taken: 5 bytes are free"), std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("fetching a snapshot"), std::string::npos) << status.out;
}

TEST_F(Cli, BenchReportsWhatItDid) {
  const FakeNode node({}, KeyValueScript(1));
  const Output closed =
      Run(node.address(),
          "--json bench --workload ycsb-a --clients 8 --connections 2 --keys 50 --duration 300ms "
          "--warmup 50ms --value-size 10");
  EXPECT_EQ(closed.code, 0) << closed.err;
  const auto json = nlohmann::json::parse(closed.out);
  EXPECT_EQ(json.at("workload"), "ycsb-a");
  EXPECT_GT(json.at("ops"), 100);
  EXPECT_EQ(json.at("errors"), 0);
  EXPECT_EQ(json.at("not_found"), 0);  // all were loaded first
  EXPECT_LE(json.at("p50_us"), json.at("p999_us"));
  const Output open =
      Run(node.address(), "--json bench --rate 500 --keys 50 --duration 400ms --warmup 0s");
  const auto ops = nlohmann::json::parse(open.out).at("ops").get<int>();
  EXPECT_GE(ops, 195);
  EXPECT_LE(ops, 201);
}

TEST_F(Cli, AnOpenLoopCountsWhatItCouldNotSend) {
  const FakeNode silent({}, [](FakeSession&, const FakeRequest&) {});
  const Output output =
      Run(silent.address(),
          "--json --deadline 300ms bench --rate 1000 --max-in-flight 10 --keys 5 --duration 200ms "
          "--warmup 0s");
  const auto json = nlohmann::json::parse(output.out);
  EXPECT_EQ(json.at("ops"), 0);
  EXPECT_EQ(json.at("errors_by_code").at("DEADLINE"), 10);
  EXPECT_NEAR(json.at("errors_by_code").at("IN_FLIGHT_LIMIT").get<double>(), 190, 2);
  EXPECT_EQ(output.code, 8);
}

TEST_F(Cli, CompletionScriptsParse) {
  const Output bash = Run("127.0.0.1:1", "completion bash");
  EXPECT_EQ(bash.code, 0);
  std::ofstream(Path("script")) << bash.out;
  EXPECT_EQ(std::system(("bash -n " + Path("script")).c_str()),
            0);  // NOLINT(concurrency-mt-unsafe)
  EXPECT_NE(bash.out.find("--expect-index"), std::string::npos) << bash.out;
}

}  // namespace
}  // namespace quorate
