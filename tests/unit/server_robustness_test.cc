// What clients, peers and browsers may do to a server: each ends in a clear answer, and costs other
// clients nothing.
#include <random>

#include "tests/unit/server_test_util.h"

namespace quorate::server {
namespace {

class ServerRobustness : public ::testing::Test {
 protected:
  void Start(const std::function<void(ServerOptions&)>& change = {}) {
    nodes_ = ClusterOptions(1, directory_.path());
    if (change) change(nodes_[0]);
    server_ = std::make_unique<TestServer>(nodes_[0]);
    ASSERT_EQ(server_->error(), "");
    ASSERT_EQ(WaitForLeader(nodes_), 1U);
  }

  std::uint16_t port() const { return nodes_[0].client_address.port; }

  // Other clients notice nothing.
  void ExpectServes() {
    RawClient client(port());
    ASSERT_FALSE(client.Hello().has_error());
    EXPECT_FALSE(client.Put("still", "here").has_error());
    std::string value;
    EXPECT_TRUE(client.Get("still", &value).found());
    EXPECT_EQ(value, "here");
  }

  wire::Error RefusalOf(std::string_view bytes) {
    RawClient client(port());
    EXPECT_FALSE(client.Hello().has_error());
    EXPECT_TRUE(client.SendBytes(bytes));
    const auto answer = client.Receive();
    if (!answer) return {};
    EXPECT_TRUE(client.ClosedWithin(seconds(5)));
    return answer->Header<wire::HelloReply>().error();
  }

  TempDir directory_;
  std::vector<ServerOptions> nodes_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(ServerRobustness, PutGetDeleteAndCompare) {
  Start();
  RawClient client(port());
  const auto hello = client.Hello();
  EXPECT_EQ(hello.node_id(), 1U);
  EXPECT_EQ(hello.leader().client_address(), nodes_[0].client_address.ToString());
  const auto put = client.Put("k", "v1");
  EXPECT_EQ(put.certificate().basis(), wire::COMMIT);
  EXPECT_GT(put.mod_index(), 0U);
  std::string value;
  const auto got = client.Get("k", &value);
  EXPECT_EQ(value, "v1");
  EXPECT_EQ(got.mod_index(), put.mod_index());
  EXPECT_EQ(got.certificate().basis(), wire::READ_INDEX);
  EXPECT_GE(got.certificate().applied_index(), put.mod_index());
  EXPECT_FALSE(client.Get("absent").found());

  wire::Command command;
  auto* cas = command.mutable_compare_and_set();
  cas->set_key("k");
  cas->set_value("v2");
  cas->set_mod_index(put.mod_index() + 1000);
  const auto failed =
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), command.SerializeAsString());
  EXPECT_EQ(failed.error().code(), wire::COMPARE_FAILED);
  EXPECT_EQ(failed.error().have(), put.mod_index());

  command.mutable_delete_()->set_key("k");
  EXPECT_TRUE(
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), command.SerializeAsString())
          .found());
  EXPECT_FALSE(
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), command.SerializeAsString())
          .found());
}

TEST_F(ServerRobustness, LimitsAreNamed) {
  Start();
  RawClient client(port());
  client.Hello();
  EXPECT_EQ(client.Put("", "v").error().code(), wire::INVALID);
  const auto long_key = client.Put(std::string(wire::kMaxKeyBytes + 1, 'k'), "v").error();
  EXPECT_EQ(long_key.code(), wire::TOO_LARGE);
  EXPECT_EQ(long_key.want(), wire::kMaxKeyBytes);
  const auto long_value = client.Put("k", std::string(wire::kMaxValueBytes + 1, 'v')).error();
  EXPECT_EQ(long_value.code(), wire::TOO_LARGE);
  EXPECT_EQ(long_value.want(), wire::kMaxValueBytes);
  EXPECT_FALSE(
      client.Put(std::string(wire::kMaxKeyBytes, 'k'), std::string(wire::kMaxValueBytes, 'v'))
          .has_error());
  EXPECT_EQ(client.Get("").error().code(), wire::INVALID);
  EXPECT_EQ(client.Get(std::string(wire::kMaxKeyBytes + 1, 'k')).error().code(), wire::TOO_LARGE);
  wire::RequestHeader header;
  header.set_request_id(std::string(65, 'r'));
  wire::Command command;
  command.mutable_put()->set_key("k");
  EXPECT_EQ(
      client.Call(wire::FrameType::kWrite, header, command.SerializeAsString()).error().code(),
      wire::INVALID);
}

TEST_F(ServerRobustness, NamesNeedNotBeText) {
  Start();
  RawClient client(port());
  const std::string binary("\0\n\xff\xc3", 4);
  wire::HelloRequest hello;
  hello.set_protocol(wire::kProtocolVersion);
  hello.set_client(binary);
  client.Send(wire::FrameType::kHello, 0, hello);
  const auto greeted = client.Receive();
  ASSERT_TRUE(greeted);
  EXPECT_FALSE(greeted->Header<wire::HelloReply>().has_error());
  wire::GetRequest get;
  wire::ScanRequest scan;
  wire::RequestHeader header;
  header.set_request_id(binary);
  header.set_traceparent(binary);
  *get.mutable_header() = header;
  *scan.mutable_header() = header;
  wire::Command command;
  command.mutable_put()->set_key("k");
  EXPECT_FALSE(
      client.Call(wire::FrameType::kWrite, header, command.SerializeAsString()).has_error());
  EXPECT_FALSE(client.Call(wire::FrameType::kGet, get, "k").has_error());
  EXPECT_FALSE(client.Call(wire::FrameType::kScan, scan, "").has_error());
  EXPECT_FALSE(client.Call(wire::FrameType::kStatus, header, "").has_error());
}

TEST_F(ServerRobustness, UnknownCommandsAndTypesAreRefusedAndTheConnectionLives) {
  Start();
  RawClient client(port());
  client.Hello();
  EXPECT_EQ(client.Call(wire::FrameType::kWrite, wire::RequestHeader(), "").error().code(),
            wire::UNSUPPORTED);
  EXPECT_EQ(client.Call(wire::FrameType::kWrite, wire::RequestHeader(), "\xff\xff").error().code(),
            wire::INVALID);
  // Field 99: an operation of a later version.
  EXPECT_EQ(
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), "\x9a\x06\x01x").error().code(),
      wire::UNSUPPORTED);
  EXPECT_EQ(
      client.Call(static_cast<wire::FrameType>(200), wire::RequestHeader(), "").error().code(),
      wire::UNSUPPORTED);
  wire::Command of_session;
  of_session.mutable_put()->set_key("k");
  of_session.mutable_session()->set_id(1);
  EXPECT_EQ(
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), of_session.SerializeAsString())
          .error()
          .code(),
      wire::INVALID)
      << "without a seq it would not be deduplicated";
  of_session.mutable_session()->set_seq(1);
  EXPECT_EQ(
      client.Call(wire::FrameType::kWrite, wire::RequestHeader(), of_session.SerializeAsString())
          .error()
          .code(),
      wire::SESSION_EXPIRED)
      << "nobody opened it";
  EXPECT_FALSE(client.Put("k", "v").has_error());
}

TEST_F(ServerRobustness, GarbageIsAnsweredAndTheConnectionClosed) {
  Start();
  EXPECT_EQ(RefusalOf(std::string(64, '\0')).code(), wire::PROTOCOL);
  EXPECT_EQ(RefusalOf(std::string(64, '\xff')).code(), wire::TOO_LARGE);
  std::string bad_header;
  wire::AppendFrame(bad_header, wire::FrameType::kGet, 0, 1, std::string_view("\xff\xff"), "k");
  EXPECT_EQ(RefusalOf(bad_header).code(), wire::PROTOCOL);
  ExpectServes();
}

TEST_F(ServerRobustness, AnythingButAHelloFirstIsRefused) {
  Start();
  RawClient client(port());
  client.Send(wire::FrameType::kGet, 7, wire::GetRequest(), "k");
  const auto answer = client.Receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->Header<wire::HelloReply>().error().code(), wire::PROTOCOL);
  EXPECT_TRUE(client.ClosedWithin(seconds(5)));
}

TEST_F(ServerRobustness, WrongClusterIsRefused) {
  Start();
  RawClient client(port());
  EXPECT_EQ(client.Hello(12345).error().code(), wire::WRONG_CLUSTER);
  EXPECT_TRUE(client.ClosedWithin(seconds(5)));
  RawClient right(port());
  EXPECT_FALSE(right.Hello(ClusterId(nodes_[0].cluster_name, nodes_[0].cluster)).has_error());
}

TEST_F(ServerRobustness, RandomBytesAtEveryPort) {
  Start();
  std::mt19937 random(1);  // NOLINT(bugprone-random-generator-seed): the same bytes every time
  for (int round = 0; round < 60; ++round) {
    for (const std::uint16_t target :
         {port(), nodes_[0].peer_address.port, nodes_[0].http_address.port}) {
      RawClient client(target);
      ASSERT_TRUE(client.connected());
      if (target == port() && round % 2 == 0) client.Hello();
      std::string bytes(random() % 4096, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      if (round % 3 == 0 && bytes.size() > 20) {
        // A plausible prefix, so that the bytes get past the first check.
        const std::uint32_t length = static_cast<std::uint32_t>(bytes.size()) - 4;
        std::memcpy(bytes.data(), &length, sizeof length);
        bytes[4] = static_cast<char>(wire::kProtocolVersion);
        const std::uint32_t header = random() % (length - 16 + 1);
        std::memcpy(bytes.data() + 16, &header, sizeof header);
      }
      client.SendBytes(bytes);
    }
  }
  ExpectServes();
}

TEST_F(ServerRobustness, EveryPrefixOfAFrameThenSilence) {
  Start();
  wire::Command command;
  command.mutable_put()->set_key("half");
  std::string frame;
  wire::AppendFrame(frame, wire::FrameType::kWrite, 0, 1, wire::RequestHeader(),
                    command.SerializeAsString());
  for (std::size_t size = 0; size < frame.size(); ++size) {
    RawClient client(port());
    client.Hello();
    EXPECT_TRUE(client.SendBytes(std::string_view(frame).substr(0, size)));
  }
  RawClient client(port());
  client.Hello();
  for (const char byte : frame) client.SendBytes({&byte, 1});
  const auto answer = client.Receive();
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->Header<wire::ReplyHeader>().has_error());
  ExpectServes();
}

TEST_F(ServerRobustness, AThousandIdleConnections) {
  Start();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(std::make_unique<RawClient>(port()));
    ASSERT_TRUE(idle.back()->connected()) << i;
    if (i % 2 == 0) {
      ASSERT_FALSE(idle.back()->Hello().has_error()) << i;
    }
  }
  ExpectServes();
  EXPECT_FALSE(idle[0]->Put("idle", "no more").has_error());
}

TEST_F(ServerRobustness, SilentConnectionsAreClosed) {
  Start([](ServerOptions& options) { options.service.hello_timeout = milliseconds(300); });
  RawClient silent(port());
  EXPECT_TRUE(silent.ClosedWithin(seconds(5)));
  RawClient greeted(port());
  greeted.Hello();
  EXPECT_FALSE(greeted.ClosedWithin(seconds(3)));
}

TEST_F(ServerRobustness, SilentConnectionsDoNotLockPeersOut) {
  Start();
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 129; ++i) {
    silent.push_back(std::make_unique<RawClient>(nodes_[0].peer_address.port));
    ASSERT_TRUE(silent.back()->connected()) << i;
  }
  // Sooner than silence alone would end it.
  EXPECT_TRUE(silent.front()->ClosedWithin(seconds(2)));
  EXPECT_FALSE(silent.back()->ClosedWithin(milliseconds(200)));
}

// Their deadlines are over before their turn on the reading thread comes.
TEST_F(ServerRobustness, ScansThatNobodyWaitsForAnyMoreTakeNoRoomForEver) {
  Start();
  RawClient client(port());
  client.Hello();
  std::string burst;
  constexpr int kKeys = 2000;
  wire::Command command;
  for (int i = 0; i < kKeys; ++i) {
    command.mutable_put()->set_key(fmt::format("key{:06}", i));
    wire::AppendFrame(burst, wire::FrameType::kWrite, 0, 1000 + i, wire::RequestHeader(),
                      command.SerializeAsString());
  }
  ASSERT_TRUE(client.SendBytes(burst));
  for (int i = 0; i < kKeys; ++i) ASSERT_TRUE(client.Receive()) << i;
  wire::ScanRequest scan;
  scan.set_first("key");
  scan.set_count_only(true);
  scan.mutable_header()->set_deadline_ms(1);
  constexpr int kScans = 400;
  int answered = 0;
  for (int i = 0; i < kScans; ++i) {
    client.Send(wire::FrameType::kScan, 10'000 + i, scan);
    if (i % 16 == 15) std::this_thread::sleep_for(milliseconds(6));
  }
  while (answered < kScans && client.Receive()) ++answered;
  EXPECT_EQ(answered, kScans);
  // Every one has left the count of those that run, or will once its job's turn has come.
  scan.mutable_header()->set_deadline_ms(5000);
  for (int i = 0; i < 200; ++i) {
    if (!client.Call(wire::FrameType::kScan, scan, {}).has_error()) break;
    std::this_thread::sleep_for(milliseconds(50));
  }
  for (int i = 0; i < 8; ++i) client.Send(wire::FrameType::kScan, 20'000 + i, scan);
  for (int i = 0; i < 8; ++i) {
    const auto answer = client.Receive();
    ASSERT_TRUE(answer);
    EXPECT_FALSE(answer->Header<wire::ReplyHeader>().has_error());
  }
  // A node that stops with scans queued and cursors open stops all the same.
  scan.set_count_only(false);
  for (int i = 0; i < 8; ++i) client.Send(wire::FrameType::kScan, 30'000 + i, scan);
  server_->Stop();
}

// Commands that just fit into a frame, whatever fills them.
TEST_F(ServerRobustness, CommandsAsLongAsAFrameAreWrittenOrRefused) {
  Start();
  RawClient client(port());
  client.Hello();
  std::string empty;
  wire::AppendFrame(empty, wire::FrameType::kWrite, 0, 1, wire::RequestHeader(), "");
  const std::size_t room = wire::kMaxClientFrameBytes - (empty.size() - sizeof(std::uint32_t));
  wire::Command command;
  command.mutable_put()->set_key("padded");
  const std::string put = command.SerializeAsString();
  for (const std::size_t spare : {0, 1, 2, 7, 8, 15, 16, 17, 24, 32, 64}) {
    // Field 99, which no version knows, of a length that takes four bytes.
    const std::size_t padding = room - spare - put.size() - 6;
    std::string body = put + "\x9a\x06";
    for (std::size_t left = padding, i = 0; i < 4; ++i, left >>= 7) {
      body += static_cast<char>((left & 0x7f) | (i < 3 ? 0x80 : 0));
    }
    body.append(padding, 'p');
    ASSERT_EQ(body.size(), room - spare);
    const auto reply = client.Call(wire::FrameType::kWrite, wire::RequestHeader(), body);
    if (reply.has_error()) {
      EXPECT_EQ(reply.error().code(), wire::TOO_LARGE) << spare;
    } else {
      EXPECT_GT(reply.mod_index(), 0U) << spare;
    }
  }
  auto* cas = command.mutable_compare_and_set();
  cas->set_key("compared");
  for (const std::size_t spare : {16, 20, 24, 32, 64}) {
    cas->set_value(std::string(wire::kMaxValueBytes - spare, 'v'));
    cas->set_expected_value(std::string(wire::kMaxValueBytes - spare, 'e'));
    const std::string body = command.SerializeAsString();
    if (body.size() > room) continue;
    const auto error = client.Call(wire::FrameType::kWrite, wire::RequestHeader(), body).error();
    EXPECT_TRUE(error.code() == wire::COMPARE_FAILED || error.code() == wire::TOO_LARGE)
        << wire::Code_Name(error.code());
  }
  ExpectServes();
}

TEST_F(ServerRobustness, HalfARequestIsNotHeldForEver) {
  Start([](ServerOptions& options) { options.service.half_frame_timeout = milliseconds(300); });
  std::string frame;
  wire::AppendFrame(frame, wire::FrameType::kGet, 0, 1, wire::GetRequest(), "key");
  RawClient half(port());
  half.Hello();
  half.SendBytes(std::string_view(frame).substr(0, frame.size() - 1));
  RawClient idle(port());
  idle.Hello();
  EXPECT_TRUE(half.ClosedWithin(seconds(5)));
  EXPECT_FALSE(idle.Put("idle", "lives").has_error());
}

TEST_F(ServerRobustness, ManyHalfRequestsDoNotTakeAllMemory) {
  constexpr std::size_t kLimit = 4 << 20;
  Start([](ServerOptions& options) {
    options.service.max_client_bytes = kLimit;
    options.service.half_frame_timeout = seconds(2);
  });
  RawClient bystander(port());
  bystander.Hello();
  wire::Command command;
  command.mutable_put()->set_key("half");
  command.mutable_put()->set_value(std::string(wire::kMaxValueBytes, 'h'));
  std::string frame;
  wire::AppendFrame(frame, wire::FrameType::kWrite, 0, 1, wire::RequestHeader(),
                    command.SerializeAsString());
  frame.pop_back();
  std::vector<std::unique_ptr<RawClient>> hogs;
  int told = 0;
  for (int i = 0; i < 6; ++i) {
    hogs.push_back(std::make_unique<RawClient>(port()));
    hogs.back()->Hello();
    hogs.back()->SendBytes(frame);
    const auto answer = hogs.back()->Receive(milliseconds(200));
    if (!answer) continue;
    const auto error = answer->Header<wire::HelloReply>().error();
    EXPECT_EQ(error.code(), wire::OVERLOADED);
    EXPECT_EQ(error.want(), kLimit);
    EXPECT_NE(error.message().find("--max-client-bytes"), std::string::npos);
    EXPECT_TRUE(hogs.back()->ClosedWithin(seconds(5)));
    ++told;
  }
  EXPECT_GE(told, 2);
  // At the limit small requests are answered: with a refusal until the hogs are closed.
  while (hogs.size() > 4) hogs.pop_back();
  for (int i = 0; i < 100; ++i) {
    const auto reply = bystander.Put("small", "value");
    if (!reply.has_error()) break;
    ASSERT_EQ(reply.error().code(), wire::OVERLOADED);
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_FALSE(bystander.Put("small", "value").has_error());
  ExpectServes();
}

TEST_F(ServerRobustness, TooManyConnectionsAreToldSo) {
  Start([](ServerOptions& options) { options.service.max_connections = 2; });
  std::this_thread::sleep_for(
      milliseconds(100));  // the connections that waited for the leader are gone
  RawClient first(port());
  RawClient second(port());
  ASSERT_FALSE(first.Hello().has_error());
  ASSERT_FALSE(second.Hello().has_error());
  RawClient third(port());
  const auto answer = third.Receive();
  ASSERT_TRUE(answer);
  const auto error = answer->Header<wire::HelloReply>().error();
  EXPECT_EQ(error.code(), wire::TOO_MANY);
  EXPECT_EQ(error.want(), 2U);
  EXPECT_TRUE(third.ClosedWithin(seconds(5)));
}

TEST_F(ServerRobustness, ASlowReaderHurtsOnlyItself) {
  Start([](ServerOptions& options) {
    options.service.pause_output_bytes = 256 << 10;
    options.service.max_output_bytes = 1 << 20;
    options.service.stalled_timeout = milliseconds(500);
  });
  {
    RawClient client(port());
    client.Hello();
    ASSERT_FALSE(client.Put("big", std::string(1 << 20, 'b')).has_error());
  }
  RawClient slow(port(), 4096);
  slow.Hello();
  wire::GetRequest request;
  request.mutable_freshness()->set_max_age_us(0);
  std::string burst;
  for (int i = 0; i < 200; ++i) {
    wire::AppendFrame(burst, wire::FrameType::kGet, 0, 100 + i, request, "big");
  }
  ASSERT_TRUE(slow.SendBytes(burst));
  std::this_thread::sleep_for(milliseconds(200));
  ExpectServes();
  // It reads nothing for longer than it may.
  std::this_thread::sleep_for(milliseconds(2500));
  EXPECT_TRUE(slow.ClosedWithin(seconds(5)));
  ExpectServes();
}

TEST_F(ServerRobustness, AnEagerReaderGetsEveryAnswer) {
  Start([](ServerOptions& options) {
    options.service.pause_output_bytes = 256 << 10;
    options.service.max_output_bytes = 4 << 20;
  });
  RawClient client(port());
  client.Hello();
  ASSERT_FALSE(client.Put("big", std::string(100'000, 'b')).has_error());
  wire::GetRequest request;  // eventual: answered while the frames are taken
  std::string burst;
  constexpr int kRequests = 200;
  for (int i = 0; i < kRequests; ++i) {
    wire::AppendFrame(burst, wire::FrameType::kGet, 0, 100 + i, request, "big");
  }
  ASSERT_TRUE(client.SendBytes(burst));
  for (int i = 0; i < kRequests; ++i) {
    const auto answer = client.Receive();
    ASSERT_TRUE(answer) << i;
    EXPECT_EQ(answer->request_id, 100U + i);
    EXPECT_EQ(answer->body.size(), 100'000U);
  }
}

TEST_F(ServerRobustness, ScansGoOnAtOneIndex) {
  Start();
  RawClient client(port());
  client.Hello();
  for (int i = 0; i < 10; ++i) client.Put("scan" + std::to_string(i), "v");
  wire::ScanRequest request;
  request.mutable_freshness()->set_max_age_us(0);
  request.set_first("scan");
  request.set_last("scao");
  request.set_max_items(4);
  std::string body;
  auto reply = client.Call(wire::FrameType::kScan, request, {}, &body);
  wire::ScanPage page;
  ASSERT_TRUE(page.ParseFromString(body));
  ASSERT_EQ(page.items_size(), 4);
  ASSERT_NE(page.cursor(), 0U);
  const auto index = reply.certificate().applied_index();
  client.Put("scan99", "later");
  int items = page.items_size();
  while (page.cursor() != 0) {
    wire::ScanRequest next;
    next.set_cursor(page.cursor());
    reply = client.Call(wire::FrameType::kScan, next, {}, &body);
    ASSERT_TRUE(page.ParseFromString(body));
    EXPECT_EQ(reply.certificate().applied_index(), index);
    items += page.items_size();
  }
  EXPECT_EQ(items, 10);
  wire::ScanRequest unknown;
  unknown.set_cursor(4711);
  EXPECT_EQ(client.Call(wire::FrameType::kScan, unknown, {}).error().code(), wire::CURSOR_EXPIRED);
  for (int i = 0; i < 16; ++i) {
    EXPECT_FALSE(client.Call(wire::FrameType::kScan, request, {}).has_error()) << i;
  }
  EXPECT_EQ(client.Call(wire::FrameType::kScan, request, {}).error().code(), wire::TOO_MANY);
}

// The longest record after as many small ones as a page takes.
TEST_F(ServerRobustness, AScanPageFitsIntoAFrameWhateverItHolds) {
  Start();
  RawClient client(port());
  client.Hello();
  const std::string small(1 << 10, 's');
  wire::Command command;
  std::string burst;
  constexpr int kSmall = 1023;
  for (int i = 0; i < kSmall; ++i) {
    command.mutable_put()->set_key(fmt::format("page{:06}", i));
    command.mutable_put()->set_value(small);
    wire::AppendFrame(burst, wire::FrameType::kWrite, 0, 1000 + i, wire::RequestHeader(),
                      command.SerializeAsString());
  }
  ASSERT_TRUE(client.SendBytes(burst));
  for (int i = 0; i < kSmall; ++i) {
    const auto answer = client.Receive();
    ASSERT_TRUE(answer) << i;
    ASSERT_FALSE(answer->Header<wire::ReplyHeader>().has_error()) << i;
  }
  ASSERT_FALSE(client.Put("page999999", std::string(wire::kMaxValueBytes, 'l')).has_error());
  for (const std::uint32_t max_items : {0U, 10'000U}) {
    wire::ScanRequest request;
    request.mutable_freshness()->set_max_age_us(0);
    request.set_first("page");
    request.set_last("pagf");
    request.set_max_items(max_items);
    int items = 0;
    do {
      client.Send(wire::FrameType::kScan, 1, request);
      const auto answer = client.Receive();
      ASSERT_TRUE(answer);
      ASSERT_FALSE(answer->Header<wire::ReplyHeader>().has_error());
      EXPECT_LE(wire::kFrameHeaderBytes + answer->header.size() + answer->body.size(),
                wire::kMaxClientFrameBytes);
      wire::ScanPage page;
      ASSERT_TRUE(page.ParseFromString(answer->body));
      items += page.items_size();
      request.Clear();
      request.set_cursor(page.cursor());
    } while (request.cursor() != 0);
    EXPECT_EQ(items, kSmall + 1);
  }
}

std::string HttpGet(std::uint16_t port, const std::string& request) {
  RawClient client(port);
  client.SendBytes(request);
  client.ClosedWithin(seconds(3));
  return client.buffered();
}

TEST_F(ServerRobustness, HttpAnswersAndRefuses) {
  Start();
  const std::uint16_t http = nodes_[0].http_address.port;
  const auto get = [&](const std::string& path) {
    return HttpGet(http, "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  };
  const std::string metrics = get("/metrics");
  EXPECT_NE(metrics.find("HTTP/1.1 200"), std::string::npos);
  EXPECT_NE(metrics.find("# TYPE quorate_request_duration_seconds histogram"), std::string::npos);
  EXPECT_NE(metrics.find("quorate_role{role=\"leader\"} 1"), std::string::npos);
  EXPECT_NE(metrics.find("quorate_client_memory_limit_bytes 268435456"), std::string::npos);
  EXPECT_NE(get("/healthz").find("200"), std::string::npos);
  EXPECT_NE(get("/readyz").find("ready"), std::string::npos);
  EXPECT_NE(get("/status").find("\"role\":\"leader\""), std::string::npos);
  EXPECT_NE(get("/nothing").find("404"), std::string::npos);
  EXPECT_NE(HttpGet(http,
                    "POST /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    "Content-Length: 0\r\n\r\n")
                .find("405"),
            std::string::npos);
  EXPECT_NE(HttpGet(http, "\x01\x02\x03 nonsense\r\n\r\n").find("400"), std::string::npos);
  EXPECT_NE(
      HttpGet(http, "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n").find("413"),
      std::string::npos);
  ExpectServes();
}

// More than memory holds: answers come by way of the reading thread.
TEST_F(ServerRobustness, ReadsFromDisk) {
  Start([](ServerOptions& options) {
    options.database.memtable_bytes = 64 << 10;
    options.database.cache_bytes = 0;
  });
  RawClient client(port());
  client.Hello();
  const std::string padding(2000, 'p');
  constexpr int kKeys = 400;
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_FALSE(client.Put("disk" + std::to_string(i), std::to_string(i) + padding).has_error());
  }
  for (int i = 0; i < kKeys; ++i) {
    for (const bool strong : {true, false}) {
      std::string value;
      const auto reply = client.Get("disk" + std::to_string(i), &value, strong);
      ASSERT_TRUE(reply.found()) << i;
      EXPECT_EQ(value, std::to_string(i) + padding);
    }
  }
}

TEST_F(ServerRobustness, TooMuchInFlightIsRefusedAndTheRestAnswered) {
  Start([](ServerOptions& options) { options.service.max_in_flight_requests = 4; });
  RawClient client(port());
  client.Hello();
  wire::Command command;
  command.mutable_put()->set_key("k");
  std::string burst;
  constexpr int kRequests = 64;
  for (int i = 0; i < kRequests; ++i) {
    wire::AppendFrame(burst, wire::FrameType::kWrite, 0, 1 + i, wire::RequestHeader(),
                      command.SerializeAsString());
  }
  ASSERT_TRUE(client.SendBytes(burst));
  int done = 0;
  int overloaded = 0;
  for (int i = 0; i < kRequests; ++i) {
    const auto answer = client.Receive();
    ASSERT_TRUE(answer) << i;
    const auto error = answer->Header<wire::ReplyHeader>().error().code();
    if (error == wire::OK) ++done;
    if (error == wire::OVERLOADED) ++overloaded;
  }
  EXPECT_GE(done, 4);
  EXPECT_GT(overloaded, 0);
  EXPECT_EQ(done + overloaded, kRequests);
  EXPECT_FALSE(client.Put("k", "v").has_error());
}

TEST_F(ServerRobustness, StartingTwiceSaysWhy) {
  Start();
  TestServer same_port(nodes_[0]);
  EXPECT_NE(same_port.error().find("in use"), std::string::npos) << same_port.error();
  ServerOptions same_directory = ClusterOptions(1, directory_.path())[0];
  same_directory.cluster = nodes_[0].cluster;
  TestServer locked(same_directory);
  EXPECT_NE(locked.error(), "");
  ServerOptions empty = ClusterOptions(1, directory_.path() + "/other")[0];
  empty.bootstrap = false;
  TestServer refused(empty);
  EXPECT_NE(refused.error().find("--bootstrap"), std::string::npos) << refused.error();
}

TEST_F(ServerRobustness, RestartsWithWhatItAcknowledged) {
  Start();
  {
    RawClient client(port());
    client.Hello();
    ASSERT_FALSE(client.Put("kept", "value").has_error());
  }
  server_->Stop();
  server_ = std::make_unique<TestServer>(nodes_[0]);
  ASSERT_EQ(server_->error(), "");
  ASSERT_EQ(WaitForLeader(nodes_), 1U);
  RawClient client(port());
  client.Hello();
  std::string value;
  EXPECT_TRUE(client.Get("kept", &value).found());
  EXPECT_EQ(value, "value");
}

}  // namespace
}  // namespace quorate::server
