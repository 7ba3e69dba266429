// The parts of the command line that need no server: formats, durations, output, histogram,
// workloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tools/exit_code.h"
#include "tools/explain.h"
#include "tools/histogram.h"
#include "tools/output.h"
#include "tools/record_reader.h"
#include "tools/settings.h"
#include "tools/transaction_text.h"
#include "tools/workload.h"

namespace quorate::tools {
namespace {

using std::chrono::microseconds;

struct Reading {
  std::vector<Record> records;
  std::uint64_t skipped = 0;
  std::string first_problem;
};

Reading Read(const std::string& text, ImportFormat format) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), &std::fclose);
  std::fwrite(text.data(), 1, text.size(), file.get());
  std::rewind(file.get());
  RecordReader reader(file.get(), format);
  Reading reading;
  for (Record record; reader.Next(record);) reading.records.push_back(record);
  EXPECT_EQ(reader.bytes_read(), text.size());
  reading.skipped = reader.skipped();
  reading.first_problem = reader.first_problem();
  return reading;
}

TEST(RecordReader, Stanzas) {
  const Reading reading = Read(
      "\n\nPackage: alpha\nVersion: 1\nDescription: a\n continued\n\n\nVersion: 2\nPackage:   beta "
      "\r\n"
      "\nArchitecture: none\n\nPackage: gamma",
      ImportFormat::kDebian);
  ASSERT_EQ(reading.records.size(), 3u);
  EXPECT_EQ(reading.records[0].key, "alpha");
  EXPECT_EQ(reading.records[0].value, "Package: alpha\nVersion: 1\nDescription: a\n continued\n");
  EXPECT_EQ(reading.records[1].key, "beta");
  EXPECT_EQ(reading.records[2].key, "gamma");
  EXPECT_EQ(reading.records[2].value, "Package: gamma\n");
  EXPECT_EQ(reading.skipped, 1u);
  EXPECT_NE(reading.first_problem.find("without a field Package"), std::string::npos);
}

TEST(RecordReader, TheLargestStanzaFitsAndOneByteMoreDoesNot) {
  const std::string head = "Package: big\n";
  const std::string fits = head + std::string((1 << 20) - head.size() - 1, 'x') + "\n";
  const Reading good = Read(fits, ImportFormat::kDebian);
  ASSERT_EQ(good.records.size(), 1u);
  EXPECT_EQ(good.records[0].value, fits);
  const Reading bad =
      Read(head + std::string(1 << 20, 'x') + "\n\nPackage: next\n", ImportFormat::kDebian);
  ASSERT_EQ(bad.records.size(), 1u);
  EXPECT_EQ(bad.records[0].key, "next");
  EXPECT_NE(bad.first_problem.find("1048576"), std::string::npos);
}

TEST(RecordReader, Lines) {
  const Reading reading =
      Read("a\t1\nb\ttwo\\nlines\\t\\x00\\\\\nno tab\n\t no key\nc\t\n", ImportFormat::kLines);
  ASSERT_EQ(reading.records.size(), 3u);
  EXPECT_EQ(reading.records[1].value, std::string("two\nlines\t\0\\", 12));
  EXPECT_EQ(reading.records[2].value, "");
  EXPECT_EQ(reading.skipped, 2u);
  EXPECT_EQ(reading.first_problem, "line 3: no tab between key and value");
}

TEST(RecordReader, JsonLines) {
  const Reading reading = Read(
      "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value_base64\":\"AP8K\"}\n[]\n{\"key\":5,"
      "\"value\":\"x\"}\n{oops\n",
      ImportFormat::kJsonLines);
  ASSERT_EQ(reading.records.size(), 2u);
  EXPECT_EQ(reading.records[1].value, std::string("\0\xff\n", 3));
  EXPECT_EQ(reading.skipped, 3u);
}

TEST(RecordReader, RandomBytesAreReadToTheirEnd) {
  std::mt19937_64 random(7);
  for (const ImportFormat format :
       {ImportFormat::kDebian, ImportFormat::kLines, ImportFormat::kJsonLines}) {
    for (int round = 0; round < 50; ++round) {
      std::string text(random() % 20'000, '\0');
      for (char& byte : text) byte = static_cast<char>(random());
      Read(text, format);
    }
  }
}

TEST(Output, EscapeIsUndoneByUnescape) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 20, '\0');
    for (char& byte : bytes)
      byte = static_cast<char>(random() % 2 ? random() : "\\ntx0\n\xc3\xa9"[random() % 8]);
    const std::string escaped = Escape(bytes);
    EXPECT_EQ(escaped.find('\n'), std::string::npos);
    EXPECT_EQ(escaped.find('\t'), std::string::npos);
    EXPECT_EQ(Unescape(escaped), bytes);
  }
  EXPECT_EQ(Escape("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(Escape("\xc3"), "\\xc3");
}

TEST(Output, BytesThatAreNotUtf8GoIntoBase64) {
  Json json;
  AddBytes(json, "a", "plain");
  AddBytes(json, "b", std::string_view("\xff\x00\x01", 3));
  AddBytes(json, "c", "\xed\xa0\x80");  // a surrogate
  AddBytes(json, "d", "\xc0\xaf");      // overlong
  EXPECT_EQ(json.dump(), R"({"a":"plain","b_base64":"/wAB","c_base64":"7aCA","d_base64":"wK8="})");
}

TEST(Output, CertificatesReadAsSentences) {
  Certificate certificate{.node = 3,
                          .term = 7,
                          .applied_index = 1093,
                          .age = microseconds(117'100),
                          .basis = Basis::kAnchor};
  EXPECT_EQ(Describe(certificate), "index 1093, term 7, node 3, at most 118 ms old (anchor)");
  certificate.age = microseconds(0);
  certificate.basis = Basis::kReadIndex;
  EXPECT_EQ(Describe(certificate),
            "index 1093, term 7, node 3, current when asked (confirmed by a quorum)");
  EXPECT_EQ(Describe(Certificate{.node = 1, .applied_index = 2}),
            "index 2, term 0, node 1, of unknown age");
  certificate.age = microseconds(9'010);
  certificate.basis = Basis::kAnchor;
  certificate.lag = 10;
  EXPECT_EQ(Describe(certificate),
            "index 1093, term 7, node 3, at most 9.1 ms old but for the last 10 entries (anchor)");
  certificate.lag = 1;
  certificate.basis = Basis::kNone;
  EXPECT_EQ(Describe(certificate),
            "index 1093, term 7, node 3, at most 9.1 ms old but for the last 1 entry (no bound "
            "known)");
}

TEST(Output, AnSlaSaysWhichRungWasMetAndWhyNotTheOthers) {
  const Sla sla = {{.level = kStrong}, {.level = StaleBy(std::chrono::milliseconds(200))}};
  GetReply reply;
  reply.certificate = {.node = 3,
                       .term = 7,
                       .applied_index = 1093,
                       .age = microseconds(117'100),
                       .basis = Basis::kAnchor};
  reply.rung = 1;
  Error error;
  error.code = ErrorCode::kDeadline;
  reply.misses.push_back({.rung = 0, .error = error});
  EXPECT_EQ(Describe(reply, sla),
            "index 1093, term 7, node 3, at most 118 ms old (anchor); rung 2 of 2, bounded:200ms; "
            "not strong: DEADLINE");
  EXPECT_EQ(Describe(reply, {}), Describe(reply.certificate));
  Json json;
  AddReadReply(json, reply, sla);
  EXPECT_EQ(json.at("rung"), "bounded:200ms");
  EXPECT_EQ(json.at("misses").at(0).at("rung"), "strong");
  EXPECT_EQ(json.at("misses").at(0).at("error").at("code"), "DEADLINE");
}

TEST(Explain, SaysWhoWasAskedWhatItKnewAndWhatElseWouldCost) {
  NodeView view{.node = 2, .role = "follower", .leader = 1, .decision = Decision::kRefused};
  view.reason = "the newest anchor is 118 ms old, 50 ms were asked for";
  view.applied = 90;
  view.commit = 93;
  view.local_age = microseconds(118'000);
  view.anchor_age = microseconds(118'000);
  view.anchor_index = 93;
  view.waited_for_confirmation = microseconds(2'000);
  view.caught_up = true;
  Explanation explanation;
  explanation.attempts.push_back({.address = "127.0.0.1:7002",
                                  .node = 2,
                                  .sent = microseconds(100),
                                  .took = microseconds(2'400),
                                  .refused = ErrorCode::kStale,
                                  .detail = "too old",
                                  .view = view});
  NodeStatus status;
  status.id = 2;
  status.role = "follower";
  status.leader = 1;
  status.applied = 95;
  status.age = microseconds(40'000);
  status.local_bound = microseconds(64'000);
  status.typical_confirmation = microseconds(800);
  status.ready = true;
  Explained explained{.level = StaleBy(std::chrono::milliseconds(50)),
                      .name = "bounded:50ms",
                      .explanation = &explanation,
                      .nodes = {{.id = 2, .address = "127.0.0.1:7002", .status = status}}};
  const std::string text = Describe(explained);
  for (const char* part :
       {"bounded:50ms", "+0.1 ms  node 2 (127.0.0.1:7002): refused STALE, after 2.4 ms",
        "follower of node 1; applied 90 of 93 committed",
        "newest anchor 118 ms old, at index 93, 3 entries not applied yet",
        "waited 2.0 ms for the leader", "because: the newest anchor is 118 ms old",
        "it says: too old", "64 ms", "~0.8 ms", "bounded:50ms costs"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  Json json = ToJson(explained);
  EXPECT_EQ(json.at("attempts").at(0).at("view").at("anchor_age_ms"), 118.0);
  EXPECT_EQ(json.at("attempts").at(0).at("refused"), "STALE");
  EXPECT_EQ(json.at("nodes").at(0).at("cost_ms").at("bounded:50ms"), 0.8);
  explained.level = StaleBy(std::chrono::milliseconds(100));
  EXPECT_EQ(ToJson(explained).at("nodes").at(0).at("cost_ms").at("bounded:100ms"), 0);
  explained.explanation = nullptr;
  EXPECT_NE(Describe(explained).find("no node was asked"), std::string::npos);
}

TEST(TransactionText, ReadsEverySectionAndForm) {
  const auto parsed = ParseTransaction(
      "# a comment\n"
      "if\n"
      "  value owner = alice   # and another\n"
      "  index stock > 1093\n"
      "  value \"two words\" != \"#\\\"\\x00\\\\\"\n"
      "  exists a\n  missing b\n"
      "then\n"
      "  put k \"\"\n\tincr n -3\n  incr m\n  append k x\\ny\n  del \"#d\"\n  get g\r\n"
      "else\n  get stock");
  ASSERT_TRUE(parsed) << parsed.error().detail;
  ASSERT_EQ(parsed->when.size(), 5u);
  EXPECT_EQ(parsed->when[0].key, "owner");
  EXPECT_EQ(std::get<std::string>(parsed->when[0].with), "alice");
  EXPECT_EQ(parsed->when[1].relation, Relation::kGreater);
  EXPECT_EQ(std::get<std::uint64_t>(parsed->when[1].with), 1093u);
  EXPECT_EQ(parsed->when[2].key, "two words");
  EXPECT_EQ(std::get<std::string>(parsed->when[2].with), std::string("#\"\0\\", 4));
  EXPECT_EQ(std::get<std::uint64_t>(parsed->when[4].with), 0u);
  ASSERT_EQ(parsed->then.size(), 6u);
  EXPECT_EQ(parsed->then[0].value, "");
  EXPECT_EQ(parsed->then[1].by, -3);
  EXPECT_EQ(parsed->then[2].by, 1);
  EXPECT_EQ(parsed->then[3].value, "x\ny");
  EXPECT_EQ(parsed->then[4].key, "#d");
  EXPECT_EQ(parsed->then[5].key, "g");
  ASSERT_EQ(parsed->otherwise.size(), 1u);
}

TEST(TransactionText, SaysWhichLineMakesNoSense) {
  const std::map<std::string, std::string> bad = {
      {"", "needs an operation"},
      {"if\nexists k\n", "needs an operation"},
      {"put k v\n", "line 1: expected 'if', 'then' or 'else'"},
      {"then\n put k\n", "line 2: an operation is one of"},
      {"then\n frobnicate k\n", "line 2: an operation is one of"},
      {"then\n incr k 1.5\n", "'1.5' is not a number"},
      {"then\n incr k 9223372036854775808\n", "is not a number of 64 bits"},
      {"if\n index k = -1\nthen\n get k", "line 2: '-1' is not an index"},
      {"if\n value k ~ v\nthen\n get k", "'~' is none of"},
      {"if\n value k =\nthen\n get k", "a comparison is one of"},
      {"then\n put k \"v\n", "line 2: a word in quotes has no end"},
      {"then\n put k \"v\"w\n", "no blank behind it"},
      {"then\n get k\nthen\n get k\n", "line 3: a second section 'then'"}};
  for (const auto& [text, complaint] : bad) {
    const auto parsed = ParseTransaction(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
    EXPECT_NE(parsed.error().detail.find(complaint), std::string::npos) << text << "\n"
                                                                        << parsed.error().detail;
  }
}

TEST(TransactionText, RandomBytesAreReadToTheirEnd) {
  std::mt19937_64 random(7);
  constexpr std::string_view kPieces[] = {"if\n",   "then\n", "else\n", "get ", "put ", "\"",
                                          "\\x0",   "\\",     "#",      "\n",   " ",    "k",
                                          "value ", "= ",     "\xff",   "incr "};
  int good = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (auto i = random() % 12; i > 0; --i) text += kPieces[random() % std::size(kPieces)];
    if (ParseTransaction(text)) ++good;
  }
  EXPECT_GT(good, 10);
}

TEST(Output, BytesHaveAtMostFiveCharacters) {
  EXPECT_EQ(Bytes(0), "0");
  EXPECT_EQ(Bytes(1023), "1023");
  EXPECT_EQ(Bytes(1024), "1.0K");
  EXPECT_EQ(Bytes(64 << 20), "64M");
  EXPECT_EQ(Bytes(1023 << 10), "1.0M");
  for (std::uint64_t bytes = 1; bytes != 0; bytes <<= 1) {
    EXPECT_LE(Bytes(bytes).size(), 5U) << bytes;
    EXPECT_LE(Bytes(bytes - 1).size(), 5U) << bytes;
  }
  EXPECT_EQ(Bytes(~std::uint64_t{0}), "16E");
}

TEST(Output, SnapshotsOnTheirWaySayHowFarTheyAre) {
  SnapshotFetch fetch{.from = 2, .index = 7};
  EXPECT_EQ(Describe(fetch), "fetching a snapshot at index 7 from node 2");
  fetch.total_bytes = 200 << 20;
  fetch.received_bytes = 90 << 20;
  fetch.bytes_per_second = 10 << 20;
  EXPECT_EQ(Describe(fetch), "fetching a snapshot at index 7 from node 2: 45% of 200M, 10M/s");
  fetch.left = std::chrono::seconds(11);
  EXPECT_EQ(Describe(fetch),
            "fetching a snapshot at index 7 from node 2: 45% of 200M, 10M/s, 11 s left");
  fetch.verifying = true;
  EXPECT_EQ(Describe(fetch), "checking a snapshot at index 7 from node 2 (200M)");
}

TEST(Output, Grouped) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
}

TEST(Durations, HaveUnitsAndLimits) {
  EXPECT_EQ(ParseDuration("250ms"), microseconds(250'000));
  EXPECT_EQ(ParseDuration("1.5s"), microseconds(1'500'000));
  EXPECT_EQ(ParseDuration("1h"), std::chrono::hours(1));
  for (const char* bad : {"", "5", "ms", "-1s", "2h", "1e9s", "nans", "infs", "1 s", "1sec"}) {
    EXPECT_FALSE(ParseDuration(bad)) << bad;
  }
}

TEST(ExitCodes, TellTheOutcomesApart) {
  const auto code = [](ErrorCode error_code, ErrorClass error_class) {
    Error error;
    error.code = error_code;
    error.error_class = error_class;
    return ToExitCode(error);
  };
  EXPECT_EQ(code(ErrorCode::kDeadline, ErrorClass::kNotExecuted), 7);
  EXPECT_EQ(code(ErrorCode::kDeadline, ErrorClass::kUnknown), 8);
  EXPECT_EQ(code(ErrorCode::kConnectionLost, ErrorClass::kUnknown), 8);
  EXPECT_EQ(code(ErrorCode::kCompareFailed, ErrorClass::kFinal), 4);
  EXPECT_EQ(code(ErrorCode::kNoQuorum, ErrorClass::kNotExecuted), 5);
  EXPECT_EQ(code(ErrorCode::kDiskFull, ErrorClass::kNotExecuted), 5);
  EXPECT_EQ(code(ErrorCode::kCannotConnect, ErrorClass::kNotExecuted), 6);
  EXPECT_EQ(code(ErrorCode::kTooLarge, ErrorClass::kFinal), 2);
  EXPECT_EQ(code(ErrorCode::kInternal, ErrorClass::kFinal), 1);
  EXPECT_EQ(code(ErrorCode::kStale, ErrorClass::kNotExecuted), 5);
  EXPECT_EQ(code(ErrorCode::kFutureToken, ErrorClass::kFinal), 5);
  EXPECT_EQ(code(ErrorCode::kSessionExpired, ErrorClass::kFinal), 5);
  EXPECT_EQ(code(ErrorCode::kNotANumber, ErrorClass::kFinal), 1);
  EXPECT_EQ(code(ErrorCode::kOutOfRange, ErrorClass::kFinal), 2);
  EXPECT_EQ(code(ErrorCode::kValueTooLarge, ErrorClass::kFinal), 2);
}

TEST(Histogram, QuantilesAreWithinTheirBucketOfTheTruth) {
  std::mt19937_64 random(5);
  Histogram histogram;
  std::vector<std::uint64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t value = random() >> (random() % 64);
    values.push_back(value);
    histogram.Record(value);
  }
  std::ranges::sort(values);
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = std::max<std::size_t>(1, static_cast<std::size_t>(q * 100'000 + 0.5));
    const auto truth = static_cast<double>(values[rank - 1]);
    const auto got = static_cast<double>(histogram.Quantile(q));
    EXPECT_GE(got, truth) << q;
    EXPECT_LE(got, truth * (1 + 1.0 / 64) + 1) << q;
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(Histogram().Quantile(0.5), 0u);
}

TEST(Workload, ZipfFavoursFewKeysAsItsLawSays) {
  constexpr std::uint64_t kKeys = 1000;
  const Zipf zipf(kKeys, 0.99);
  Random random(11);
  std::vector<int> counts(kKeys);
  constexpr int kDraws = 400'000;
  for (int i = 0; i < kDraws; ++i) ++counts.at(zipf(random));
  double zeta = 0;
  for (std::uint64_t i = 1; i <= kKeys; ++i) zeta += std::pow(static_cast<double>(i), -0.99);
  EXPECT_NEAR(counts[0], kDraws / zeta, kDraws / zeta * 0.05);
  EXPECT_NEAR(counts[1], kDraws / zeta / std::pow(2, 0.99), kDraws / zeta * 0.05);
  EXPECT_GT(counts[0], 50 * counts[500]);
}

TEST(Workload, MixesReadsAndWritesAsNamed) {
  const std::map<std::string, double> shares = {{"put", 0},       {"get", 1},    {"ycsb-a", 0.5},
                                                {"ycsb-b", 0.95}, {"ycsb-c", 1}, {"incr", 0},
                                                {"append", 0},    {"txn", 0}};
  for (const auto& [name, share] : shares) {
    const Workload workload({.name = name, .keys = 100, .value_bytes = 10});
    Random random(1);
    int reads = 0;
    for (int i = 0; i < 20'000; ++i) {
      const auto operation = workload.Next(random);
      ASSERT_LT(operation.key, 100u);
      if (operation.read()) ++reads;
    }
    EXPECT_NEAR(reads / 20'000.0, share, 0.02) << name;
    EXPECT_EQ(workload.Value(random).size(), 10u);
  }
  EXPECT_EQ(KeyName(42).view(), "user000000000042");
}

}  // namespace
}  // namespace quorate::tools
