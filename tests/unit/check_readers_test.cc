// The readers: every format, and every way in which a file can be wrong.
#include <gtest/gtest.h>

#include <random>

#include "jepsen/check/check.h"
#include "jepsen/check/edn.h"
#include "jepsen/check/json_scanner.h"
#include "tests/unit/check_world.h"

namespace quorate::check {
namespace {

ReadResult Read(std::string_view text, const ReadOptions& options = {}) {
  ByteStream stream(text);
  return ReadStream(stream, "file", options);
}

// The error's text; empty if it could be read.
std::string ErrorOf(std::string_view text, const ReadOptions& options = {}) {
  const ReadResult result = Read(text, options);
  const auto* error = std::get_if<ReadError>(&result);
  return error != nullptr ? error->Show() : std::string();
}

const std::string kHeader = R"({"format":"quorate-history-1","workload":"register","nodes":3})"
                            "\n";

std::string WithOperation(const std::string& line) {
  return kHeader + line + '\n';
}

TEST(Edn, ReadsEachKindOfDatum) {
  const std::string text =
      "nil 17 -3 +4 12N 1.5 :key sym \"a\\n\\\"b\\u00e9\" \\x \\newline [1 [2]] (1 2) #{1} "
      "{:a 1, :b [2 3]} #inst \"2020\" #_ {:gone 1} ; comment\n #jepsen.independent/tuple [1 2] "
      "true";
  ByteStream stream(text);
  EdnReader reader(stream);
  std::vector<Edn> data;
  for (Edn datum; reader.Next(datum);) data.push_back(datum);
  ASSERT_EQ(reader.error(), "");
  ASSERT_EQ(data.size(), 18U);
  EXPECT_EQ(data[0].kind, Edn::Kind::kNothing);
  EXPECT_EQ(data[1].integer, 17);
  EXPECT_EQ(data[2].integer, -3);
  EXPECT_EQ(data[3].integer, 4);
  EXPECT_EQ(data[4].integer, 12);
  EXPECT_EQ(data[5].kind, Edn::Kind::kSymbol);
  EXPECT_TRUE(data[6].Is("key"));
  EXPECT_EQ(data[8].text, "a\n\"b\xc3\xa9");
  EXPECT_EQ(data[9].text, "x");
  EXPECT_EQ(data[10].text, "\n");
  EXPECT_EQ(data[11].items[1].items[0].integer, 2);
  ASSERT_NE(data[14].Find("b"), nullptr);
  EXPECT_EQ(data[14].Find("b")->items.size(), 2U);
  EXPECT_EQ(data[14].Find("c"), nullptr);
  EXPECT_EQ(data[15].text, "2020");
  EXPECT_TRUE(data[16].is_tuple);
}

TEST(Edn, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[1 2", "cut off: the bracket [ of line 1"},
      {"\"abc", "string of line 1 is not closed"},
      {"{:a}", "a key without a value"},
      {"#", "without a tag"},
      {"\"\\q\"", "unknown escape"},
      {"\"\\u12\"", "four hexadecimal digits"},
      {":", "without a name"},
  };
  for (const auto& [text, message] : wrong) {
    ByteStream stream{std::string_view(text)};
    EdnReader reader(stream);
    Edn datum;
    EXPECT_FALSE(reader.Next(datum)) << text;
    EXPECT_NE(reader.error().find(message), std::string::npos) << text << ": " << reader.error();
  }
  const std::string deep(1000, '[');
  ByteStream stream(deep);
  EdnReader reader(stream);
  Edn datum;
  EXPECT_FALSE(reader.Next(datum));
  EXPECT_NE(reader.error().find("64 deep"), std::string::npos);
}

TEST(ReadEdn, TakesVectorsListsAndBareSequences) {
  const std::string events =
      "{:process 0, :type :invoke, :f :write, :value 3 :time 7}\n ; a comment\n"
      "{:process :nemesis, :type :info, :f :kill, :value nil}\n"
      "{:process 0, :type :ok, :f :write, :value 3}\n"
      "{:process 1, :type :invoke, :f :cas, :value [3 4]}";
  for (const std::string& text : {events, '[' + events + ']', '(' + events + ")\n\n"}) {
    const ReadResult result = Read(text);
    ASSERT_TRUE(std::holds_alternative<History>(result)) << std::get<ReadError>(result).Show();
    const History& history = std::get<History>(result);
    ASSERT_EQ(history.operations.size(), 2U);
    EXPECT_EQ(history.model, Model::kRegister);
    EXPECT_TRUE(history.operations[0].ok());
    EXPECT_EQ(history.operations[1].outcome, Outcome::kInfo);
    EXPECT_EQ(history.operations[1].returned, kNever);
  }
}

TEST(ReadEdn, SaysWhatIsWrong) {
  const std::string invoke = "{:process 0, :type :invoke, :f :read, :value nil}\n";
  EXPECT_NE(ErrorOf('[' + invoke).find("is not closed"), std::string::npos);
  EXPECT_NE(ErrorOf(invoke + invoke).find("file:2: process 0 invokes while its read of line 1"),
            std::string::npos);
  EXPECT_NE(ErrorOf("{:process 0, :type :ok, :f :read, :value 1}").find("did not invoke"),
            std::string::npos);
  EXPECT_NE(ErrorOf("{:process 0, :type :odd, :f :read}").find(":odd"), std::string::npos);
  EXPECT_NE(ErrorOf("{:process 0, :type :invoke, :f :dance}").find(":dance"), std::string::npos);
  EXPECT_NE(ErrorOf("{:type :invoke, :f :read}").find("no :process"), std::string::npos);
  EXPECT_NE(ErrorOf("[1 2]").find("expected an operation"), std::string::npos);
  EXPECT_NE(ErrorOf('[' + invoke + "] 7").find("more follows"), std::string::npos);
  EXPECT_NE(ErrorOf("{:process 0, :type :invoke, :f :cas, :value 1}").find("[old new]"),
            std::string::npos);
}

TEST(ReadEtcdLog, TakesTabsAndSpaces) {
  const ReadResult result = Read(
      "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"
      "INFO  jepsen.util - 1   :invoke :cas    [1 2]\n"
      "INFO  jepsen.util - 0\t:fail\t:read\t:timed-out\n"
      "INFO  jepsen.util - 1   :fail   :cas    [1 2]\n"
      "INFO  jepsen.util - 2 :invoke :write 4\n"
      "INFO  jepsen.util - 2 :info :write :timed-out\n");
  ASSERT_TRUE(std::holds_alternative<History>(result)) << std::get<ReadError>(result).Show();
  const History& history = std::get<History>(result);
  ASSERT_EQ(history.operations.size(), 3U);
  EXPECT_FALSE(history.operations[0].compared_unequal);
  EXPECT_TRUE(history.operations[1].compared_unequal);
  EXPECT_EQ(history.operations[2].returned, kNever);
}

TEST(ReadEtcdLog, SaysWhatIsWrong) {
  EXPECT_NE(ErrorOf("INFO  jepsen.util - 0\t:invoke\t:read").find("file:1: expected <process>"),
            std::string::npos);
  EXPECT_NE(ErrorOf("INFO  jepsen.util - 0 :invoke :read nil\nINFO  jep").find("file:2"),
            std::string::npos);
  EXPECT_NE(ErrorOf("INFO  jepsen.util - 0 :invoke :write x").find("expected a number"),
            std::string::npos);
  EXPECT_NE(ErrorOf("INFO  jepsen.util - 0 :ok :write 1").find("did not invoke"),
            std::string::npos);
}

TEST(ReadQuorate, ReadsAllFields) {
  const ReadResult result = Read(WithOperation(
      R"({"op":812,"client":3,"f":"read","key":"k\u00e9","invoked":1200345,"returned":1201000,)"
      R"("type":"ok","result":"v7","revision":790,"level":"bounded","max_age_us":200000,"max_lag":2,)"
      R"("min_index":5,"on_unmet":"refuse","node":3,"odd":{"a":[1,{"b":null}]},"session":null,)"
      R"("certificate":{"node":3,"term":7,"index":1093,"entry_term":6,"incarnation":"9f",)"
      R"("age_us":118000,"lag":1,"basis":"anchor","fresh_index":1090,"via_leader":false}})"
      "\n"
      R"({"fault":"isolate","id":4,"at":5,"until":9,"nodes":[2],"detail":"d"})"
      "\n"
      R"({"links":[[1,2,"cut"]],"at":5})"
      "\n"
      R"({"sample":1,"at":5,"role":"down"})"
      "\n"
      R"({"end":60})"));
  ASSERT_TRUE(std::holds_alternative<History>(result)) << std::get<ReadError>(result).Show();
  const History& history = std::get<History>(result);
  ASSERT_EQ(history.operations.size(), 1U);
  const Operation& op = history.operations[0];
  EXPECT_EQ(op.number, 812U);
  EXPECT_EQ(history.values.text(op.key), "k\xc3\xa9");
  EXPECT_EQ(op.level, Level::kBounded);
  EXPECT_EQ(op.on_unmet, OnUnmet::kRefuse);
  EXPECT_EQ(op.max_lag, 2U);
  EXPECT_EQ(op.certificate.index, 1093U);
  EXPECT_EQ(op.certificate.entry_term, 6U);
  EXPECT_EQ(op.certificate.age_us, 118'000U);
  EXPECT_EQ(op.certificate.basis, Basis::kAnchor);
  ASSERT_EQ(history.faults.size(), 1U);
  EXPECT_EQ(history.faults[0].nodes, std::vector<std::uint32_t>{2});
  EXPECT_EQ(history.end, 60);
  EXPECT_EQ(history.nodes, 3U);
}

TEST(ReadQuorate, SaysWhatIsWrongAndWhere) {
  const std::string good = R"({"op":1,"client":0,"f":"read","invoked":5,"returned":6,"type":"ok"})";
  const std::pair<std::string, const char*> wrong[] = {
      {"{\"op\":1}\n", "file:1: expected the header"},
      {"{\"format\":\"other\"}\n", "quorate-history-1"},
      {WithOperation("{\"op\":1,"), "file:2: expected"},
      {kHeader + good.substr(0, 40), "cut off"},
      {WithOperation(good + '\n' + good), "two operations have the number 1"},
      {WithOperation(R"({"op":1,"client":0,"f":"walk","invoked":5,"type":"ok"})"), "one of read"},
      {WithOperation(R"({"op":1,"client":0,"f":"read","invoked":5,"type":"odd"})"),
       "ok, fail or info"},
      {WithOperation(R"({"op":1,"client":0,"f":"read","invoked":5,"type":"ok"})"),
       "no \"returned\""},
      {WithOperation(R"({"op":1,"client":0,"f":"read","invoked":5,"returned":4,"type":"ok"})"),
       "returned before it was invoked"},
      {WithOperation(R"({"op":1,"f":"read","invoked":5,"type":"info"})"), "no \"client\""},
      {WithOperation(R"({"op":-1,"client":0})"), "a number from 0 on"},
      {WithOperation(R"({"op":99999999999999999999,"client":0})"), "below 2^64"},
      {WithOperation(R"({"op":1.5,"client":0})"), "a whole number"},
      {WithOperation(R"({"op":1,"client":0,"f":"cas","value":7,"invoked":5,"type":"info"})"),
       "[old, new]"},
      {WithOperation(R"({"op":1,"x":)" + std::string(100, '[')), "less nesting"},
      {WithOperation(R"({"op":1,"key":"\q"})"), "valid escapes"},
      {WithOperation(good + " x"), "the end of the line"},
      {kHeader + kHeader, "a second header"},
      {"", "empty"},
      {" \n\n", "empty"},
      {"hello", "neither"},
      {R"({"format":"quorate-history-1","workload":"chess"})", "known model"},
  };
  for (const auto& [text, message] : wrong) {
    EXPECT_NE(ErrorOf(text).find(message), std::string::npos) << text << ": " << ErrorOf(text);
  }
  ReadOptions few;
  few.max_operations = 0;
  EXPECT_NE(ErrorOf(WithOperation(good), few).find("--max-operations"), std::string::npos);
}

TEST(ReadQuorate, ReadsBackWhatWasWritten) {
  std::mt19937_64 random(5);
  WorldOptions options;
  options.operations = 200;
  const History history = SimulatedHistory(options, random);
  const std::string text = ToJsonLines(history);
  const ReadResult result = Read(text);
  ASSERT_TRUE(std::holds_alternative<History>(result)) << std::get<ReadError>(result).Show();
  EXPECT_EQ(ToJsonLines(std::get<History>(result)), text);
}

// ---- Whatever the bytes are, there is an error or a report; under sanitizers this says more ----

// A few bytes changed, removed, repeated or cut off.
std::string Spoilt(std::string text, std::mt19937_64& random) {
  static constexpr std::string_view kBytes = "{}[]()\"\\:,;# \n\t0129-eN\xff\x80";
  const auto any = [&](std::size_t limit) {
    return static_cast<std::size_t>(random() % (limit + 1));
  };
  for (std::size_t changes = 1 + any(4); changes > 0 && !text.empty(); --changes) {
    const std::size_t at = any(text.size() - 1);
    switch (random() % 6) {
      case 0:
        text[at] = kBytes[any(kBytes.size() - 1)];
        break;
      case 1:
        text[at] = static_cast<char>(random());
        break;
      case 2:
        text.erase(at, any(20));
        break;
      case 3:
        text.insert(at, text.substr(any(text.size() - 1), any(60)));
        break;
      case 4:
        text.insert(at, random() % 2 == 0 ? "18446744073709551615" : "-9223372036854775808");
        break;
      default:
        if (random() % 4 == 0) text.resize(at);
    }
  }
  return text;
}

// Whether it was a history.
bool ReadAndCheck(const std::string& text, const ReadOptions& options) {
  ReadResult result = Read(text, options);
  if (auto* error = std::get_if<ReadError>(&result)) {
    EXPECT_FALSE(error->message.empty());
    return false;
  }
  CheckOptions check;
  check.always_black_box = true;
  check.time_limit = std::chrono::milliseconds(2);
  const Report report = Check(std::get<History>(result), check);
  EXPECT_FALSE(ToJson(report).empty());
  EXPECT_FALSE(Summary(report).empty());
  return true;
}

std::vector<std::string> Seeds() {
  std::mt19937_64 random(11);
  WorldOptions options;
  options.operations = 12;
  std::vector<std::string> seeds;
  for (const Model model : {Model::kRegister, Model::kAppend, Model::kCounter}) {
    options.model = model;
    seeds.push_back(ToJsonLines(SimulatedHistory(options, random)));
  }
  const std::string more =
      R"({"op":1,"client":0,"f":"transfer","value":["a","b",2],"invoked":1,"returned":2,"type":"ok","revision":1})"
      "\n"
      R"({"op":2,"client":0,"f":"read","result":{"a":3,"b":7},"invoked":3,"returned":4,"type":"ok","certificate":{"index":1}})"
      "\n"
      R"({"op":3,"client":0,"f":"cas","value":[1,2],"invoked":5,"returned":6,"type":"fail","error":{"code":"COMPARE_FAILED","have":1}})"
      "\n"
      R"({"op":4,"client":0,"f":"acquire","result":7,"invoked":7,"returned":8,"type":"ok","revision":7})"
      "\n"
      R"({"op":5,"client":0,"f":"release","invoked":9,"returned":10,"type":"ok","revision":8})"
      "\n"
      R"({"op":6,"client":0,"f":"use","value":7,"invoked":11,"returned":12,"type":"ok"})"
      "\n"
      R"({"op":7,"client":0,"f":"add","value":7,"invoked":13,"returned":14,"type":"ok","revision":9})"
      "\n"
      R"({"op":8,"client":0,"f":"read","level":"bounded","max_age_us":5,"node":2,"invoked":15,"returned":16,"type":"fail",)"
      R"("error":{"code":"STALE","class":"not_executed","have":1,"want":2,"age_us":3}})"
      "\n"
      R"({"fault":"isolate","id":4,"at":5,"until":9,"nodes":[2]})"
      "\n"
      R"({"end":60})"
      "\n";
  seeds.push_back(kHeader + more);
  seeds.push_back(
      "[{:process 0, :type :invoke, :f :write, :value 3 :time 7}\n"
      "{:process 0, :type :ok, :f :write, :value #jepsen.independent/tuple [1 [2 \"a\\u00e9\"]]}\n"
      "{:process 1, :type :invoke, :f :txn, :value [[:read :x nil] [:write :y 1]]}\n"
      "{:process 1, :type :ok, :f :txn, :value [[:read :x 1] [:write :y 1]]} #_ {:a #{1 2}} ; "
      "end\n]");
  seeds.push_back(
      "INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 1   :invoke :cas    [1 2]\n"
      "INFO  jepsen.util - 0\t:ok\t:read\t1\nINFO  jepsen.util - 1   :fail   :cas    [1 2]\n");
  return seeds;
}

TEST(AnyBytes, AreRefusedOrChecked) {
  std::mt19937_64 random(13);
  const std::vector<std::string> seeds = Seeds();
  const Model models[] = {Model::kUnknown, Model::kRegister, Model::kAppend,
                          Model::kCounter, Model::kSet,      Model::kBank,
                          Model::kLock,    Model::kKv,       Model::kMultiRegister};
  int read = 0;
  int refused = 0;
  for (int i = 0; i < 6000; ++i) {
    ReadOptions options;
    options.model = models[random() % std::size(models)];
    ++(ReadAndCheck(Spoilt(seeds[random() % seeds.size()], random), options) ? read : refused);
  }
  // Else it would only ever test the first error, or none.
  EXPECT_GT(read, 300);
  EXPECT_GT(refused, 300);
}

TEST(AnyBytes, NoiseIsNoHistory) {
  std::mt19937_64 random(17);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 200, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    if (random() % 2 == 0) text.insert(0, i % 3 == 0 ? "{" : i % 3 == 1 ? "[" : "INFO ");
    ReadResult result = Read(text);
    // A log may consist of foreign lines alone.
    if (auto* history = std::get_if<History>(&result)) {
      EXPECT_TRUE(history->operations.empty()) << i;
      EXPECT_TRUE(text.starts_with("INFO")) << i;
    }
  }
}

TEST(AnyBytes, EveryTruncationIsRefusedOrShorter) {
  for (const std::string& seed : Seeds()) {
    for (std::size_t length = 0; length < seed.size(); ++length)
      ReadAndCheck(seed.substr(0, length), {});
  }
}

TEST(Files, ThatCannotBeOpenedAreNamed) {
  for (const char* path : {"/nonexistent/history", "/"}) {
    const ReadResult result = ReadFile(path, {});
    ASSERT_TRUE(std::holds_alternative<ReadError>(result));
    EXPECT_EQ(std::get<ReadError>(result).kind, ReadError::Kind::kCannotOpen);
    EXPECT_TRUE(std::get<ReadError>(result).Show().starts_with(path));
  }
}

TEST(ByteStream, GivesLinesOfAnyLength) {
  const std::string text = std::string(3'000'000, 'a') + "\n\nb";
  ByteStream stream(text);
  std::string_view line;
  ASSERT_TRUE(stream.Line(line));
  EXPECT_EQ(line.size(), 3'000'000U);
  ASSERT_TRUE(stream.Line(line));
  EXPECT_EQ(line, "");
  ASSERT_TRUE(stream.Line(line));
  EXPECT_EQ(line, "b");
  EXPECT_FALSE(stream.line_was_ended());
  EXPECT_FALSE(stream.Line(line));
  EXPECT_EQ(stream.error(), "");
}

}  // namespace
}  // namespace quorate::check
