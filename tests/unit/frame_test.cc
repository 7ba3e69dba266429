// The frame codec: round trips, every truncation, huge lengths, contradicting lengths, random
// bytes.
#include "client/proto/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "client/proto/wire.pb.h"

namespace quorate::wire {
namespace {

constexpr std::size_t kLimit = kMaxClientFrameBytes;

std::string Example() {
  std::string out;
  AppendFrame(out, FrameType::kGet, kFlagReply, 0x1122334455667788, "header!", "the body");
  return out;
}

void SetLength(std::string& frame, std::uint32_t length) {
  std::memcpy(frame.data(), &length, sizeof(length));
}

void SetHeaderLength(std::string& frame, std::uint32_t length) {
  std::memcpy(frame.data() + 16, &length, sizeof(length));
}

FrameStatus Parse(std::string_view in, std::size_t limit = kLimit) {
  Frame frame;
  std::size_t needed = 0;
  return ParseFrame(in, limit, frame, needed);
}

TEST(Frame, LiesOnTheWireAsDocumented) {
  std::string out;
  AppendFrame(out, FrameType::kScan, 0x0201, 0x0807060504030201, "H", "BB");
  const std::string expected(
      "\x13\0\0\0"                        // length: 16 + 1 + 2
      "\x01\x04\x01\x02"                  // version, type, flags
      "\x01\x02\x03\x04\x05\x06\x07\x08"  // request id
      "\x01\0\0\0HBB",
      23);
  EXPECT_EQ(out, expected);
}

TEST(Frame, RoundTripsAndLeavesTheNextFrameAlone) {
  std::string bytes = Example();
  const std::size_t first = bytes.size();
  AppendFrame(bytes, FrameType::kWrite, 0, 7, "", "");
  Frame frame;
  std::size_t needed = 0;
  ASSERT_EQ(ParseFrame(bytes, kLimit, frame, needed), FrameStatus::kComplete);
  EXPECT_EQ(frame.type, FrameType::kGet);
  EXPECT_EQ(frame.flags, kFlagReply);
  EXPECT_EQ(frame.request_id, 0x1122334455667788u);
  EXPECT_EQ(frame.header, "header!");
  EXPECT_EQ(frame.body, "the body");
  EXPECT_EQ(frame.total_bytes, first);
  EXPECT_EQ(needed, first);
  ASSERT_EQ(ParseFrame(std::string_view(bytes).substr(first), kLimit, frame, needed),
            FrameStatus::kComplete);
  EXPECT_EQ(frame.request_id, 7u);
  EXPECT_TRUE(frame.header.empty());
  EXPECT_TRUE(frame.body.empty());
}

TEST(Frame, SerialisesMessagesInPlace) {
  RequestHeader header;
  header.set_deadline_ms(1500);
  Command command;
  command.mutable_put()->set_key("k");
  command.mutable_put()->set_value(std::string(1000, 'v'));
  std::string in_place = "before";
  AppendFrame(in_place, FrameType::kWrite, 0, 9, header, command);
  std::string by_hand = "before";
  AppendFrame(by_hand, FrameType::kWrite, 0, 9, header.SerializeAsString(),
              command.SerializeAsString());
  EXPECT_EQ(in_place, by_hand);
  std::string with_body = "before";
  AppendFrame(with_body, FrameType::kWrite, 0, 9, header, command.SerializeAsString());
  EXPECT_EQ(with_body, by_hand);
}

TEST(Frame, EveryTruncationIsIncomplete) {
  const std::string bytes = Example();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    Frame frame;
    std::size_t needed = 99;
    EXPECT_EQ(ParseFrame(std::string_view(bytes).substr(0, cut), kLimit, frame, needed),
              FrameStatus::kIncomplete)
        << cut;
    EXPECT_EQ(needed, cut < 4 ? 0 : bytes.size()) << cut;
  }
}

TEST(Frame, HugeLengthsAreRefusedFromTheirFourBytes) {
  std::string bytes = Example();
  for (const std::uint32_t length : {std::uint32_t{kLimit} + 1, 0x7fffffffu, 0xffffffffu}) {
    SetLength(bytes, length);
    EXPECT_EQ(Parse(std::string_view(bytes).substr(0, 4)), FrameStatus::kTooLarge);
    EXPECT_EQ(Parse(bytes), FrameStatus::kTooLarge);
  }
  SetLength(bytes, kLimit);
  EXPECT_EQ(Parse(bytes), FrameStatus::kIncomplete);
}

TEST(Frame, TheLimitIsOnTheLengthField) {
  const std::string bytes = Example();
  EXPECT_EQ(Parse(bytes, bytes.size() - 4), FrameStatus::kComplete);
  EXPECT_EQ(Parse(bytes, bytes.size() - 5), FrameStatus::kTooLarge);
}

TEST(Frame, TooShortALengthIsMalformed) {
  std::string bytes = Example();
  for (std::uint32_t length = 0; length < 16; ++length) {
    SetLength(bytes, length);
    EXPECT_EQ(Parse(bytes), FrameStatus::kMalformed) << length;
  }
}

TEST(Frame, AHeaderLongerThanItsFrameIsMalformed) {
  std::string bytes = Example();
  for (const std::uint32_t length : {16u, 0x10000u, 0x80000000u, 0xffffffffu}) {
    SetHeaderLength(bytes, length);
    EXPECT_EQ(Parse(bytes), FrameStatus::kMalformed) << length;
    EXPECT_EQ(Parse(std::string_view(bytes).substr(0, 20)), FrameStatus::kMalformed) << length;
  }
  SetHeaderLength(bytes, 15);  // header and body together: all of it is header
  EXPECT_EQ(Parse(bytes), FrameStatus::kComplete);
}

TEST(Frame, AHeaderOverItsLimitIsMalformed) {
  std::string bytes;
  AppendFrame(bytes, FrameType::kGet, 0, 1, std::string(kMaxHeaderBytes + 1, 'h'), "");
  EXPECT_EQ(Parse(bytes), FrameStatus::kMalformed);
  bytes.clear();
  AppendFrame(bytes, FrameType::kGet, 0, 1, std::string(kMaxHeaderBytes, 'h'), "");
  EXPECT_EQ(Parse(bytes), FrameStatus::kComplete);
}

TEST(Frame, AnUnknownVersionIsMalformedAtItsByte) {
  std::string bytes = Example();
  bytes[4] = static_cast<char>(kProtocolVersion + 1);
  EXPECT_EQ(Parse(bytes), FrameStatus::kMalformed);
  EXPECT_EQ(Parse(std::string_view(bytes).substr(0, 5)), FrameStatus::kMalformed);
  EXPECT_EQ(Parse(std::string_view(bytes).substr(0, 4)), FrameStatus::kIncomplete);
}

// Whatever the bytes, a complete frame's views lie inside the input and its total is what was
// announced.
TEST(Frame, RandomBytesNeverPointOutside) {
  std::mt19937_64 random(1);
  int complete = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string bytes = Example() + Example();
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < flips; ++i) bytes[random() % 24] = static_cast<char>(random());
    const std::string_view in = std::string_view(bytes).substr(0, random() % (bytes.size() + 1));
    Frame frame;
    std::size_t needed = 0;
    if (ParseFrame(in, kLimit, frame, needed) != FrameStatus::kComplete) continue;
    ++complete;
    ASSERT_LE(frame.total_bytes, in.size());
    ASSERT_EQ(frame.total_bytes, needed);
    ASSERT_EQ(kFrameHeaderBytes + frame.header.size() + frame.body.size(), needed);
    ASSERT_GE(frame.header.data(), in.data());
    ASSERT_LE(frame.body.data() + frame.body.size(), in.data() + in.size());
  }
  EXPECT_GT(complete, 1000);
}

}  // namespace
}  // namespace quorate::wire
