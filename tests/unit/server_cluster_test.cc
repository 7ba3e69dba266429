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

TEST_F(ServerCluster, SessionReadsWaitForNoOne) {
  RawClient reader(port(Other(1)));
  reader.Hello();
  wire::GetRequest request;
  request.mutable_freshness()->mutable_token()->set_index(1'000'000);
  const auto behind = reader.Call(wire::FrameType::kGet, request, "k").error();
  EXPECT_EQ(behind.code(), wire::NOT_CAUGHT_UP);
  EXPECT_EQ(behind.want(), 1'000'000U);
  request.mutable_freshness()->set_max_age_us(0);
  EXPECT_EQ(reader.Call(wire::FrameType::kGet, request, "k").error().code(), wire::FUTURE_TOKEN);
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
