// Three servers in one process: leadership, followers' answers, loss of the majority, strangers at
// the peer port.
#include "src/proto/peer.pb.h"
#include "tests/unit/server_test_util.h"

namespace quorate::server {
namespace {

class ServerCluster : public ::testing::Test {
 protected:
  void SetUp() override {
    nodes_ = ClusterOptions(3, directory_.path());
    for (const ServerOptions& node : nodes_) {
      servers_[node.id] = std::make_unique<TestServer>(node);
      ASSERT_EQ(servers_[node.id]->error(), "");
    }
    leader_ = WaitForLeader(nodes_);
    ASSERT_NE(leader_, raft::kNoNode);
  }

  std::uint16_t port(raft::NodeId id) const { return nodes_[id - 1].client_address.port; }
  raft::NodeId Other(int n) const { return (leader_ - 1 + static_cast<raft::NodeId>(n)) % 3 + 1; }

  TempDir directory_;
  std::vector<ServerOptions> nodes_;
  std::map<raft::NodeId, std::unique_ptr<TestServer>> servers_;
  raft::NodeId leader_ = raft::kNoNode;
};

TEST_F(ServerCluster, FollowersServeStrongReadsAndPointWritersToTheLeader) {
  RawClient writer(port(leader_));
  writer.Hello();
  RawClient reader(port(Other(1)));
  EXPECT_EQ(reader.Hello().members_size(), 3);
  for (int i = 0; i < 100; ++i) {
    const std::string value = std::to_string(i);
    const auto put = writer.Put("k", value);
    ASSERT_FALSE(put.has_error());
    std::string got;
    const auto get = reader.Get("k", &got);
    EXPECT_EQ(got, value);
    EXPECT_EQ(get.certificate().basis(), wire::READ_INDEX);
    EXPECT_TRUE(get.certificate().via_leader());
    EXPECT_GE(get.certificate().applied_index(), put.mod_index());
  }
  const auto refused = reader.Put("k", "v").error();
  EXPECT_EQ(refused.code(), wire::NOT_LEADER);
  EXPECT_EQ(refused.leader().node_id(), leader_);
  EXPECT_EQ(refused.leader().client_address(), nodes_[leader_ - 1].client_address.ToString());
}

TEST_F(ServerCluster, SessionReadsOfTheFutureAreRefused) {
  RawClient reader(port(Other(1)));
  reader.Hello();
  wire::GetRequest request;
  request.mutable_freshness()->mutable_token()->set_index(1'000'000);
  const auto future = reader.Call(wire::FrameType::kGet, request, "k").error();
  EXPECT_EQ(future.code(), wire::FUTURE_TOKEN) << "a quorum has said that it is";
  EXPECT_EQ(future.want(), 1'000'000U);
  EXPECT_LT(future.have(), 1'000U);
  request.mutable_freshness()->set_on_unmet(wire::REFUSE);
  const auto behind = reader.Call(wire::FrameType::kGet, request, "k").error();
  EXPECT_EQ(behind.code(), wire::NOT_CAUGHT_UP) << "nobody was asked";
  EXPECT_EQ(behind.want(), 1'000'000U);
  request.mutable_freshness()->set_max_age_us(0);
  EXPECT_EQ(reader.Call(wire::FrameType::kGet, request, "k").error().code(), wire::FUTURE_TOKEN);
}

TEST_F(ServerCluster, ASessionReadsItsOwnWritesOnEveryNode) {
  RawClient writer(port(leader_));
  writer.Hello();
  for (int i = 0; i < 50; ++i) {
    const auto put = writer.Put("k", std::to_string(i));
    ASSERT_FALSE(put.has_error());
    for (int other = 0; other < 3; ++other) {
      RawClient reader(port(Other(other)));
      reader.Hello();
      wire::GetRequest request;
      wire::Token& token = *request.mutable_freshness()->mutable_token();
      token.set_index(put.mod_index());
      token.set_term(put.certificate().entry_term());
      std::string got;
      const auto get = reader.Call(wire::FrameType::kGet, request, "k", &got);
      ASSERT_FALSE(get.has_error()) << get.error().message();
      EXPECT_EQ(got, std::to_string(i));
      EXPECT_GE(get.certificate().applied_index(), put.mod_index());
    }
  }
}

TEST_F(ServerCluster, BoundedReadsAreServedLocallyAndSayHowOldTheyAre) {
  RawClient reader(port(Other(1)));
  reader.Hello();
  wire::GetRequest request;
  request.mutable_freshness()->set_explain(true);
  request.mutable_freshness()->set_max_age_us(5'000'000);
  wire::ReplyHeader local;
  for (int i = 0; i < 100 && local.certificate().basis() != wire::ANCHOR; ++i) {
    std::this_thread::sleep_for(milliseconds(20));  // the first anchor comes with a heartbeat
    local = reader.Call(wire::FrameType::kGet, request, "leader");
    ASSERT_FALSE(local.has_error()) << local.error().message();
  }
  EXPECT_EQ(local.certificate().basis(), wire::ANCHOR);
  EXPECT_GT(local.certificate().age_us(), 0U);
  EXPECT_LE(local.certificate().age_us(), 5'000'000U);
  EXPECT_EQ(local.certificate().lag(), 0U);
  EXPECT_NE(local.certificate().incarnation(), 0U);
  EXPECT_EQ(local.explanation().decision(), wire::SERVED_LOCALLY);
  EXPECT_TRUE(local.explanation().caught_up());
  EXPECT_EQ(local.explanation().node_id(), Other(1));

  request.mutable_freshness()->set_max_age_us(1);  // no anchor is ever so young
  const auto confirmed = reader.Call(wire::FrameType::kGet, request, "leader");
  ASSERT_FALSE(confirmed.has_error()) << confirmed.error().message();
  EXPECT_EQ(confirmed.certificate().basis(), wire::READ_INDEX);
  EXPECT_EQ(confirmed.certificate().age_us(), 0U);
  EXPECT_TRUE(confirmed.certificate().via_leader());
  EXPECT_EQ(confirmed.explanation().decision(), wire::CONFIRMED);
  EXPECT_GT(confirmed.explanation().waited_confirm_us(), 0U);

  request.mutable_freshness()->set_on_unmet(wire::REFUSE);
  const auto refused = reader.Call(wire::FrameType::kGet, request, "leader");
  EXPECT_EQ(refused.error().code(), wire::STALE);
  EXPECT_GT(refused.error().age_us(), 1U);
  EXPECT_EQ(refused.error().because(), wire::OK);
  EXPECT_EQ(refused.explanation().decision(), wire::REFUSED);
  EXPECT_GT(refused.explanation().typical_confirm_us(), 0U);

  request.mutable_freshness()->set_on_unmet(wire::SERVE_ANYWAY);
  const auto anyway = reader.Call(wire::FrameType::kGet, request, "leader");
  ASSERT_FALSE(anyway.has_error());
  EXPECT_EQ(anyway.certificate().basis(), wire::ANCHOR);
  EXPECT_GT(anyway.certificate().age_us(), 1U) << "honest";
  EXPECT_EQ(anyway.explanation().decision(), wire::SERVED_UNMET);
}

TEST_F(ServerCluster, ReadsThatMakeNoSenseAreRefusedByName) {
  RawClient writer(port(leader_));
  writer.Hello();
  const auto put = writer.Put("k", "v");
  RawClient client(port(Other(1)));
  const auto hello = client.Hello();
  const auto refusal = [&](auto&& fill) {
    wire::GetRequest request;
    fill(*request.mutable_freshness());
    return client.Call(wire::FrameType::kGet, request, "k").error();
  };
  const auto huge = refusal([](auto& need) { need.set_max_age_us(~std::uint64_t{0}); });
  EXPECT_EQ(huge.code(), wire::INVALID) << "a negative one, for instance";
  EXPECT_EQ(huge.want(), wire::kMaxAgeUs);
  EXPECT_EQ(refusal([](auto& need) { need.set_max_lag(3); }).code(), wire::INVALID);
  EXPECT_EQ(refusal([](auto& need) {
              need.set_max_age_us(0);
              need.set_max_lag(3);
            }).code(),
            wire::INVALID);
  EXPECT_EQ(refusal([](auto& need) { need.set_on_unmet(static_cast<wire::OnUnmet>(7)); }).code(),
            wire::INVALID);
  const auto cluster = refusal([&](auto& need) {
    need.mutable_token()->set_cluster_id(hello.cluster_id() + 1);
    need.mutable_token()->set_index(1);
  });
  EXPECT_EQ(cluster.code(), wire::DIVERGED);
  EXPECT_EQ(cluster.have(), hello.cluster_id());
  const std::uint64_t incarnation = client.Get("k").certificate().incarnation();
  const auto incarnated = refusal([&](auto& need) {
    need.mutable_token()->set_incarnation(incarnation + 1);
    need.mutable_token()->set_index(1);
  });
  EXPECT_EQ(incarnated.code(), wire::DIVERGED);
  EXPECT_EQ(incarnated.want(), incarnation + 1);
  const auto term = refusal([&](auto& need) {
    need.mutable_token()->set_term(put.certificate().entry_term() + 1);
    need.mutable_token()->set_index(put.mod_index());
  });
  EXPECT_EQ(term.code(), wire::DIVERGED);
  EXPECT_EQ(term.have(), put.certificate().entry_term());
  EXPECT_FALSE(term.message().empty());
}

TEST_F(ServerCluster, MultiGetsHaveLimits) {
  RawClient client(port(leader_));
  client.Hello();
  wire::MultiGetRequest none;
  EXPECT_EQ(client.Call(wire::FrameType::kMultiGet, none, {}).error().code(), wire::INVALID);
  none.add_keys("");
  EXPECT_EQ(client.Call(wire::FrameType::kMultiGet, none, {}).error().code(), wire::INVALID);
  wire::MultiGetRequest many;
  for (std::size_t i = 0; i <= wire::kMaxMultiGetKeys; ++i) many.add_keys("k");
  const auto keys = client.Call(wire::FrameType::kMultiGet, many, {}).error();
  EXPECT_EQ(keys.code(), wire::TOO_LARGE);
  EXPECT_EQ(keys.want(), wire::kMaxMultiGetKeys);
  ASSERT_FALSE(client.Put("big", std::string(600 << 10, 'x')).has_error());
  wire::MultiGetRequest big;
  for (int i = 0; i < 2; ++i) big.add_keys("big");
  const auto bytes = client.Call(wire::FrameType::kMultiGet, big, {}).error();
  EXPECT_EQ(bytes.code(), wire::TOO_LARGE);
  EXPECT_EQ(bytes.want(), wire::kMaxMultiGetBytes);
}

// Each refused scan gives its place back.
TEST_F(ServerCluster, RefusedScansLeaveNothingBehind) {
  RawClient client(port(Other(1)));
  client.Hello();
  wire::ScanRequest scan;
  scan.mutable_freshness()->mutable_token()->set_index(1'000'000);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(client.Call(wire::FrameType::kScan, scan, {}).error().code(), wire::FUTURE_TOKEN);
  }
}

// The bound of the last ten seconds is never below the age of now.
TEST_F(ServerCluster, StatusSaysWhichBoundsAreServedLocally) {
  std::this_thread::sleep_for(seconds(1));
  for (int other = 0; other < 3; ++other) {
    RawClient client(port(Other(other)));
    client.Hello();
    std::string body;
    client.Call(wire::FrameType::kStatus, wire::RequestHeader(), {}, &body);
    wire::NodeStatus status;
    ASSERT_TRUE(status.ParseFromString(body));
    EXPECT_GT(status.local_bound_us(), 0U);
    EXPECT_GE(status.local_bound_us(), status.age_us());
  }
}

TEST_F(ServerCluster, ScansAndMultiGetsTakeTheSameForm) {
  RawClient writer(port(leader_));
  writer.Hello();
  ASSERT_FALSE(writer.Put("a", "1").has_error());
  const auto last = writer.Put("b", "2");
  ASSERT_FALSE(last.has_error());
  RawClient reader(port(Other(2)));
  reader.Hello();
  wire::MultiGetRequest multi;
  for (const char* key : {"b", "absent", "a"}) multi.add_keys(key);
  for (int i = 0; i < 40; ++i) multi.add_keys("more" + std::to_string(i));  // over to the lane
  multi.mutable_freshness()->set_max_age_us(1);
  for (const int keys : {43, 3}) {
    while (multi.keys_size() > keys) multi.mutable_keys()->RemoveLast();
    std::string body;
    const auto reply = reader.Call(wire::FrameType::kMultiGet, multi, {}, &body);
    ASSERT_FALSE(reply.has_error()) << reply.error().message();
    EXPECT_GE(reply.certificate().applied_index(), last.mod_index());
    wire::ScanPage page;
    ASSERT_TRUE(page.ParseFromString(body));
    ASSERT_EQ(page.items_size(), 2);
    EXPECT_EQ(page.count(), 2U);
    EXPECT_EQ(page.items(0).key(), "b");
    EXPECT_EQ(page.items(0).value(), "2");
    EXPECT_EQ(page.items(0).mod_index(), last.mod_index());
    EXPECT_EQ(page.items(1).key(), "a");
  }
  wire::ScanRequest scan;
  scan.mutable_freshness()->set_max_age_us(0);
  scan.set_max_items(1);
  std::string body;
  const auto first = reader.Call(wire::FrameType::kScan, scan, {}, &body);
  ASSERT_FALSE(first.has_error()) << first.error().message();
  EXPECT_EQ(first.certificate().basis(), wire::READ_INDEX);
  wire::ScanPage page;
  ASSERT_TRUE(page.ParseFromString(body));
  wire::ScanRequest next;
  next.set_cursor(page.cursor());
  const auto second = reader.Call(wire::FrameType::kScan, next, {}, &body);
  ASSERT_FALSE(second.has_error()) << second.error().message();
  EXPECT_EQ(second.certificate().applied_index(), first.certificate().applied_index());
  EXPECT_EQ(second.certificate().basis(), wire::ANCHOR) << "what proved the first page grows old";
  EXPECT_GT(second.certificate().age_us(), 0U);
}

TEST_F(ServerCluster, StoppingTheLeaderHandsOver) {
  {
    RawClient writer(port(leader_));
    writer.Hello();
    ASSERT_FALSE(writer.Put("before", "v").has_error());
  }
  const auto start = std::chrono::steady_clock::now();
  servers_[leader_]->Stop();
  const raft::NodeId next = WaitForLeader(nodes_);
  ASSERT_NE(next, raft::kNoNode);
  EXPECT_NE(next, leader_);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(3));
  RawClient reader(port(next));
  reader.Hello();
  EXPECT_TRUE(reader.Get("before").found());
}

TEST_F(ServerCluster, WithoutAMajorityEveryAnswerIsARefusalInTime) {
  servers_[Other(1)]->Stop();
  servers_[Other(2)]->Stop();
  RawClient client(port(leader_));
  client.Hello();
  const auto start = std::chrono::steady_clock::now();
  wire::RequestHeader header;
  header.set_deadline_ms(300);
  wire::Command command;
  command.mutable_put()->set_key("k");
  const auto write =
      client.Call(wire::FrameType::kWrite, header, command.SerializeAsString()).error().code();
  EXPECT_TRUE(write == wire::DEADLINE || write == wire::NO_LEADER) << wire::Code_Name(write);
  const auto read = client.Get("k").error().code();
  EXPECT_TRUE(read == wire::NO_QUORUM || read == wire::NO_LEADER || read == wire::LEADER_CHANGED)
      << wire::Code_Name(read);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(3));
  EXPECT_FALSE(client.Get("k", nullptr, false).has_error()) << "an eventual read needs no one";
  wire::GetRequest request;
  request.mutable_freshness()->set_max_age_us(1'000);
  const auto stale = client.Call(wire::FrameType::kGet, request, "k").error();
  EXPECT_EQ(stale.code(), wire::STALE);
  EXPECT_TRUE(stale.because() == wire::NO_QUORUM || stale.because() == wire::NO_LEADER ||
              stale.because() == wire::LEADER_CHANGED)
      << wire::Code_Name(stale.because());
  EXPECT_GT(stale.age_us(), 1'000U);
  request.mutable_freshness()->set_on_unmet(wire::SERVE_ANYWAY);
  const auto anyway = client.Call(wire::FrameType::kGet, request, "k");
  ASSERT_FALSE(anyway.has_error());
  EXPECT_GE(anyway.certificate().age_us(), stale.age_us());
  request.mutable_freshness()->set_max_age_us(0);
  const auto strong = client.Call(wire::FrameType::kGet, request, "k");
  ASSERT_FALSE(strong.has_error()) << "served all the same";
  EXPECT_EQ(strong.certificate().basis(), wire::ANCHOR);
  request.Clear();
  request.mutable_freshness()->mutable_token()->set_index(1'000'000);
  const auto session = client.Call(wire::FrameType::kGet, request, "k").error();
  EXPECT_EQ(session.code(), wire::NOT_CAUGHT_UP);
  EXPECT_NE(session.because(), wire::OK);
}

peer::PeerHelloReply Introduce(std::uint16_t port, const peer::PeerHello& hello) {
  RawClient client(port);
  client.Send(wire::FrameType::kPeerHello, 0, hello);
  const auto answer = client.Receive();
  return answer ? answer->Header<peer::PeerHelloReply>() : peer::PeerHelloReply();
}

TEST_F(ServerCluster, StrangersAtThePeerPortAreToldWhy) {
  const std::uint16_t port = nodes_[0].peer_address.port;
  peer::PeerHello hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_cluster_id(ClusterId(nodes_[0].cluster_name, nodes_[0].cluster));
  hello.set_from(2);
  hello.set_to(1);
  hello.set_uuid_high(1);
  hello.set_uuid_low(2);
  // The leader puts the members' directories on record soon after its election, not with it.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (Introduce(port, hello).refusal() != peer::REPLACED) {
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "a wiped node under its old id";
    std::this_thread::sleep_for(milliseconds(20));
  }
  hello.set_origin(0xbac);
  const peer::PeerHelloReply restored = Introduce(port, hello);
  EXPECT_EQ(restored.refusal(), peer::WRONG_CLUSTER) << "another state under the same name";
  EXPECT_NE(restored.message().find("backup 0000000000000bac"), std::string::npos)
      << restored.message();
  hello.set_origin(0);
  hello.set_to(3);
  EXPECT_EQ(Introduce(port, hello).refusal(), peer::WRONG_NODE);
  hello.set_to(1);
  hello.set_from(9);
  EXPECT_EQ(Introduce(port, hello).refusal(), peer::NOT_A_MEMBER);
  hello.set_cluster_id(1);
  EXPECT_EQ(Introduce(port, hello).refusal(), peer::WRONG_CLUSTER);
  hello.set_protocol(99);
  EXPECT_EQ(Introduce(port, hello).refusal(), peer::BAD_PROTOCOL);
}

TEST_F(ServerCluster, AWipedNodeDoesNotTakePart) {
  const raft::NodeId wiped = Other(1);
  // Before its directory is on record, another one may take its place.
  ASSERT_TRUE(WaitUntilReady(port(wiped)));
  servers_[wiped]->Stop();
  std::filesystem::remove_all(nodes_[wiped - 1].data_dir);
  ServerOptions options = nodes_[wiped - 1];
  TestServer back(options);
  ASSERT_EQ(back.error(), "");
  RawClient client(port(wiped));
  EXPECT_EQ(client.Hello().node_id(), wiped);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_EQ(client.Get("leader").error().code(), wire::NO_LEADER);
  RawClient leader(port(leader_));
  leader.Hello();
  EXPECT_FALSE(leader.Put("k", "v").has_error());
}

}  // namespace
}  // namespace quorate::server
