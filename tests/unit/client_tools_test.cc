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
#include "tools/histogram.h"
#include "tools/output.h"
#include "tools/record_reader.h"
#include "tools/settings.h"
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
  EXPECT_EQ(Describe({.node = 1, .applied_index = 2}), "index 2, term 0, node 1, of unknown age");
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
  const std::map<std::string, double> shares = {
      {"put", 0},  {"get", 1},    {"ycsb-a", 0.5}, {"ycsb-b", 0.95}, {"ycsb-c", 1},
      {"incr", 0}, {"append", 0}, {"txn", 0}};
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
