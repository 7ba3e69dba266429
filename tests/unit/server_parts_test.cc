// The server's small parts: addresses, options, tickets, histograms, the peer codec, log lines.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "src/address.h"
#include "src/command_line.h"
#include "src/logger.h"
#include "src/metrics.h"
#include "src/options.h"
#include "src/peer_codec.h"
#include "src/slots.h"

namespace quorate::server {
namespace {

using std::chrono::milliseconds;

TEST(Address, TakesNamesAndNumbersAndSaysWhatIsWrong) {
  EXPECT_EQ(ParseHostPort("localhost:7001")->host, "localhost");
  EXPECT_EQ(ParseHostPort("[::1]:7001")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:7001")->ToString(), "[::1]:7001");
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536", "host:1x", "::1:80",
                          "a b:1", "host:-1"}) {
    const auto parsed = ParseHostPort(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_NE(parsed.error().message.find(bad), std::string::npos);
  }
}

TEST(Options, DurationsAndSizes) {
  EXPECT_EQ(*ParseDuration("30ms"), milliseconds(30));
  EXPECT_EQ(*ParseDuration("1.5s"), milliseconds(1500));
  EXPECT_EQ(*ParseBytes("64MiB"), 64U << 20);
  EXPECT_EQ(*ParseBytes("4096"), 4096U);
  for (const char* bad : {"", "30", "ms", "-1ms", "1 s", "nan s", "1e99s"}) {
    EXPECT_FALSE(ParseDuration(bad)) << bad;
  }
  for (const char* bad : {"", "x", "-1", "1.5", "1MB", "1e30"})
    EXPECT_FALSE(ParseBytes(bad)) << bad;
}

// On disk and on the wire: must never change.
TEST(Options, TheClusterIdIsStable) {
  const std::map<raft::NodeId, HostPort> members = {
      {1, {"127.0.0.1", 7101}}, {2, {"127.0.0.1", 7102}}, {3, {"127.0.0.1", 7103}}};
  EXPECT_EQ(ClusterId("quorate", members), 0xe5edb9c873c5e0a4ULL);
  EXPECT_NE(ClusterId("other", members), ClusterId("quorate", members));
}

CommandLine Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "quorated");
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

struct UsageCase {
  std::vector<const char*> arguments;
  const char* names;  // what the message must name
};

TEST(CommandLine, WrongUsageNamesFlagAndValue) {
  const std::vector<const char*> good = {"--id",       "1", "--cluster",     "1=127.0.0.1:1",
                                         "--data-dir", "d", "--client-addr", "127.0.0.1:2"};
  ASSERT_TRUE(Parse(good).options.has_value());
  const UsageCase cases[] = {
      {{"--id", "2"}, "--id"},
      {{"--id", "x"}, "--id"},
      {{"--cluster", "1=nowhere"}, "nowhere"},
      {{"--cluster", "1=a:1,1=b:1"}, "twice"},
      {{"--cluster", "1=a:1,2=a:1"}, "same address"},
      {{"--client-addr", "0.0.0.0:1"}, "--advertise-client-addr"},
      {{"--heartbeat", "soon"}, "soon"},
      {{"--election-timeout", "60ms"}, "--heartbeat"},
      {{"--segment-bytes", "1"}, "--segment-bytes"},
      {{"--log-max", "255MiB"}, "--log-max"},  // less than four segments
      {{"--log-retain", "2GiB"}, "--log-retain"},
      {{"--min-free-bytes", "some"}, "some"},
      {{"--snapshot-rate", "1KiB"}, "--snapshot-rate"},
      {{"--restore", "/backup"}, "--bootstrap"},
      {{"--log-level", "loud"}, "loud"},
      {{"--log-format", "xml"}, "xml"},
      {{"--max-connections", "0"}, "--max-connections"},
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"--config", "/nonexistent.toml"}, "/nonexistent.toml"},
  };
  for (const UsageCase& wrong : cases) {
    std::vector<const char*> arguments;
    for (std::size_t i = 0; i < good.size(); i += 2) {
      if (std::string_view(good[i]) != wrong.arguments[0]) {
        arguments.insert(arguments.end(), {good[i], good[i + 1]});
      }
    }
    arguments.insert(arguments.end(), wrong.arguments.begin(), wrong.arguments.end());
    ::testing::internal::CaptureStderr();
    const CommandLine parsed = Parse(arguments);
    const std::string said = ::testing::internal::GetCapturedStderr();
    EXPECT_FALSE(parsed.options.has_value()) << wrong.arguments[0];
    EXPECT_EQ(parsed.exit_code, kExitUsage) << said;
    EXPECT_NE(said.find(wrong.names), std::string::npos) << said;
  }
}

TEST(Slots, TicketsAreNeverReused) {
  Slots<std::string> slots;
  const auto [first, value] = slots.Add();
  *value = "one";
  ASSERT_NE(slots.Find(first), nullptr);
  slots.Free(first);
  EXPECT_EQ(slots.Find(first), nullptr);
  slots.Free(first);  // a second time does nothing
  const auto second = slots.Add().first;
  EXPECT_NE(second, first);
  EXPECT_EQ(slots.Find(first), nullptr);
  EXPECT_EQ(slots.size(), 1U);
  EXPECT_EQ(slots.Find(0), nullptr);
}

TEST(Histogram, ValuesLandInTheBucketThatBoundsThem) {
  for (const std::uint64_t value : {0, 1, 50, 51, 100, 101, 200, 3200, 3201}) {
    LatencyHistogram histogram;
    histogram.Observe(value);
    for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
      const bool fits = value <= LatencyHistogram::UpperBound(i);
      const bool fits_before = i > 0 && value <= LatencyHistogram::UpperBound(i - 1);
      EXPECT_EQ(histogram.counts[i], fits && !fits_before ? 1U : 0U) << value << " in " << i;
    }
  }
  LatencyHistogram histogram;
  histogram.Observe(~std::uint64_t{0});
  EXPECT_EQ(histogram.counts.back(), 1U);
}

TEST(Metrics, SayWhatTheDiskHolds) {
  wire::NodeStatus status;
  status.set_log_bytes(7);
  status.set_disk_full(true);
  status.set_log_cuts(3);
  const auto lines = [&status] { return FormatMetrics(Metrics(), status, {}); };
  EXPECT_NE(lines().find("\nquorate_log_bytes 7\n"), std::string::npos);
  EXPECT_NE(lines().find("\nquorate_disk_full 1\n"), std::string::npos);
  EXPECT_NE(lines().find("\nquorate_disk_stuck 0\n"), std::string::npos);
  EXPECT_NE(lines().find("\nquorate_log_cuts_total 3\n"), std::string::npos);
  EXPECT_NE(lines().find("\nquorate_snapshot_fetching 0\n"), std::string::npos);
  status.mutable_snapshot()->set_received_bytes(9);
  EXPECT_NE(lines().find("\nquorate_snapshot_fetching 1\n"), std::string::npos);
  EXPECT_NE(lines().find("\nquorate_snapshot_received_bytes 9\n"), std::string::npos);
}

TEST(Metrics, BoundsOfBucketsAreWrittenAsPeopleWould) {
  const std::string page = FormatMetrics(Metrics(), wire::NodeStatus(), {});
  std::size_t bounds = 0;
  for (std::size_t at = page.find("{le=\""); at != std::string::npos;
       at = page.find("{le=\"", at)) {
    at += 5;
    const std::string bound = page.substr(at, page.find('"', at) - at);
    EXPECT_LE(bound.size(), 9U) << bound;
    ++bounds;
  }
  EXPECT_GT(bounds, LatencyHistogram::kBuckets);
}

std::vector<raft::MessageBody> EveryKindOfMessage() {
  const raft::ClockReading clock{raft::Time(12345), 0xabcdef};
  const raft::Anchor anchor{7, clock};
  raft::Append append{{4, 2}, 3, 9, anchor, {}};
  append.entries.push_back({2, 5, raft::EntryKind::kCommand, Bytes::Copy("data")});
  append.entries.push_back({3, 6, raft::EntryKind::kNoop, {}});
  return {raft::VoteRequest{true, 5, {9, 4}, true, 0xb007},
          raft::VoteReply{true, 5, true, 0xb007},
          append,
          raft::Append{{4, 2}, 3, 9, std::nullopt, {}},
          raft::AppendReply{true, 5, 4, 0, {}, 9, clock},
          raft::AppendReply{false, 0, 0, 8, {6, 2}, 9, clock},
          raft::AppendReply{true, 5, 4, 0, {}, 9, clock, /*full=*/true},
          raft::Heartbeat{5, 6, anchor},
          raft::HeartbeatReply{6, clock},
          raft::HeartbeatReply{6, clock, /*full=*/true},
          raft::SnapshotOffer{0xfeedfacecafebeef, {100, 11}},
          raft::ReadIndexRequest{77},
          raft::ReadIndexReply{77, true, 12},
          raft::TimeoutNow{}};
}

std::string Encoded(const raft::MessageBody& body) {
  PeerCodec codec;
  std::string out;
  raft::Message message;
  message.term = 11;
  message.body = body;
  codec.Encode(message, out);
  return out;
}

TEST(PeerCodec, EveryMessageComesBackAsItWas) {
  for (const raft::MessageBody& body : EveryKindOfMessage()) {
    const std::string bytes = Encoded(body);
    wire::Frame frame;
    std::size_t needed = 0;
    ASSERT_EQ(wire::ParseFrame(bytes, wire::kMaxPeerFrameBytes, frame, needed),
              wire::FrameStatus::kComplete);
    PeerCodec codec;
    const auto decoded = codec.Decode(frame);
    ASSERT_TRUE(decoded) << body.index();
    EXPECT_EQ(decoded->term, 11U);
    EXPECT_EQ(decoded->body.index(), body.index());
    EXPECT_EQ(Encoded(decoded->body), bytes) << body.index();
  }
}

TEST(PeerCodec, PiecesOfSnapshotsComeBackAsTheyWere) {
  const auto pass = [](const SnapshotMessage& message) {
    PeerCodec codec;
    std::string bytes;
    codec.Encode(message, bytes);
    wire::Frame frame;
    std::size_t needed = 0;
    EXPECT_EQ(wire::ParseFrame(bytes, wire::kMaxPeerFrameBytes, frame, needed),
              wire::FrameStatus::kComplete);
    EXPECT_EQ(frame.type, wire::FrameType::kPeerSnapshot);
    return codec.DecodeSnapshot(frame);
  };
  const auto asked = pass(SnapshotRequest{~0ULL, kManifestFile, 1ULL << 40, 7});
  ASSERT_TRUE(asked && std::holds_alternative<SnapshotRequest>(*asked));
  const auto& request = std::get<SnapshotRequest>(*asked);
  EXPECT_EQ(request.snapshot, ~0ULL);
  EXPECT_EQ(request.file, kManifestFile);
  EXPECT_EQ(request.offset, 1ULL << 40);
  EXPECT_EQ(request.bytes, 7U);

  const Bytes piece = Bytes::Copy(std::string(kSnapshotChunkBytes, 'x'));
  for (const bool gone : {false, true}) {
    const auto answered = pass(SnapshotReply{9, 3, 4, gone, 5, gone ? Bytes() : piece});
    ASSERT_TRUE(answered && std::holds_alternative<SnapshotReply>(*answered));
    const auto& reply = std::get<SnapshotReply>(*answered);
    EXPECT_EQ(reply.snapshot, 9U);
    EXPECT_EQ(reply.file, 3U);
    EXPECT_EQ(reply.offset, 4U);
    EXPECT_EQ(reply.gone, gone);
    EXPECT_EQ(reply.total, 5U);
    EXPECT_EQ(reply.data, gone ? Bytes() : piece);
  }
}

TEST(PeerCodec, DamagedBodiesAreRefusedOrDecodeToAMessage) {
  for (const raft::MessageBody& body : EveryKindOfMessage()) {
    const std::string bytes = Encoded(body);
    for (std::size_t i = wire::kFrameHeaderBytes; i < bytes.size(); ++i) {
      for (const int bit : {0, 3, 7}) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        wire::Frame frame;
        std::size_t needed = 0;
        ASSERT_EQ(wire::ParseFrame(damaged, wire::kMaxPeerFrameBytes, frame, needed),
                  wire::FrameStatus::kComplete);
        PeerCodec codec;
        const auto decoded = codec.Decode(frame);
        if (!decoded) continue;
        if (const auto* append = std::get_if<raft::Append>(&decoded->body)) {
          raft::Index expected = append->previous.index;
          for (const raft::Entry& entry : append->entries) EXPECT_EQ(entry.index, ++expected);
        }
      }
    }
  }
}

bool Decodes(const raft::MessageBody& body) {
  const std::string bytes = Encoded(body);
  wire::Frame frame;
  std::size_t needed = 0;
  EXPECT_EQ(wire::ParseFrame(bytes, wire::kMaxPeerFrameBytes, frame, needed),
            wire::FrameStatus::kComplete);
  PeerCodec codec;
  return codec.Decode(frame).has_value();
}

// The core asserts these: a peer's bytes must not get that far. Encoded() is of term 11.
TEST(PeerCodec, WhatNoCorrectPeerSendsIsRefused) {
  const auto append = [](raft::Position previous, std::vector<raft::Term> terms) {
    raft::Append out{previous, 3, 9, std::nullopt, {}};
    raft::Index index = previous.index;
    for (const raft::Term term : terms) {
      out.entries.push_back({term, ++index, raft::EntryKind::kNoop, {}});
    }
    return out;
  };
  EXPECT_TRUE(Decodes(append({4, 11}, {11, 11})));
  EXPECT_TRUE(Decodes(append({0, 0}, {1, 11})));
  EXPECT_FALSE(Decodes(append({4, 11}, {11, 12})));
  EXPECT_FALSE(Decodes(append({4, 12}, {})));
  EXPECT_FALSE(Decodes(append({0, 1}, {})));
  EXPECT_FALSE(Decodes(append({4, 11}, {10})));
  const raft::ClockReading clock{raft::Time(1), 2};
  EXPECT_TRUE(Decodes(raft::AppendReply{true, 5, 5, 0, {}, 9, clock}));
  EXPECT_FALSE(Decodes(raft::AppendReply{true, 5, 6, 0, {}, 9, clock}));
  EXPECT_TRUE(Decodes(raft::SnapshotOffer{1, {5, 11}}));
  EXPECT_FALSE(Decodes(raft::SnapshotOffer{1, {5, 12}}));
  EXPECT_FALSE(Decodes(raft::SnapshotOffer{1, {0, 0}}));
}

TEST(PeerCodec, EntriesThatDoNotFollowOneAnotherAreRefused) {
  raft::Append append{{4, 2}, 3, 9, std::nullopt, {}};
  append.entries.push_back({2, 6, raft::EntryKind::kNoop, {}});
  const std::string bytes = Encoded(append);
  wire::Frame frame;
  std::size_t needed = 0;
  ASSERT_EQ(wire::ParseFrame(bytes, wire::kMaxPeerFrameBytes, frame, needed),
            wire::FrameStatus::kComplete);
  PeerCodec codec;
  EXPECT_FALSE(codec.Decode(frame));
}

std::string Logged(LogFormat format, std::string_view value) {
  std::ostringstream out;
  Logger log(format, spdlog::level::info, 3, std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  log.SetTerm(7);
  log.Debug("not shown");
  log.Warn("something \"happened\"", {{"request_id", value}, {"took_ms", 1.5}, {"count", 3U}});
  return out.str();
}

TEST(Logger, JsonLinesParseWhateverTheyCarry) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  for (const std::string& value : {std::string("plain"), std::string("a\"b\\c\n{"), every_byte}) {
    const std::string line = Logged(LogFormat::kJson, value);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << "one line each";
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(json["node"], 3);
    EXPECT_EQ(json["term"], 7);
    EXPECT_EQ(json["level"], "warning");
    EXPECT_EQ(json["message"], "something \"happened\"");
    EXPECT_EQ(json["took_ms"], 1.5);
  }
  EXPECT_EQ(nlohmann::json::parse(Logged(LogFormat::kJson, "a\"b\\c\n{"))["request_id"],
            "a\"b\\c\n{");
}

TEST(Logger, ATextValueCannotPassForALineOfItsOwn) {
  const std::string line = Logged(LogFormat::kText, "x\n2026-01-01 error forged");
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("node=3 term=7"), std::string::npos);
}

TEST(LogLimit, LeavesOutAndCounts) {
  LogLimit limit(2);
  std::uint64_t left_out = 0;
  EXPECT_TRUE(limit.Allow(milliseconds(0), left_out));
  EXPECT_TRUE(limit.Allow(milliseconds(1), left_out));
  EXPECT_FALSE(limit.Allow(milliseconds(2), left_out));
  EXPECT_FALSE(limit.Allow(milliseconds(3), left_out));
  EXPECT_TRUE(limit.Allow(milliseconds(1500), left_out));
  EXPECT_EQ(left_out, 2U);
}

}  // namespace
}  // namespace quorate::server
