// Each checker by index: a history that it accepts, and one that it rejects for the right reason.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "jepsen/check/check.h"

namespace quorate::check {
namespace {

// A history in our own format, line by line.
class Lines {
 public:
  explicit Lines(const std::string& model, const std::string& more = "") {
    text_ =
        R"({"format":"quorate-history-1","workload":")" + model + R"(","nodes":3)" + more + "}\n";
  }

  // `rest`: further members, from a comma on.
  Lines& Op(const std::string& f, Time invoked, Time returned, const std::string& type,
            const std::string& rest) {
    ++number_;
    text_ += R"({"op":)" + std::to_string(number_) + R"(,"client":)" + std::to_string(number_ % 3) +
             R"(,"f":")" + f + R"(","key":"k","invoked":)" + std::to_string(invoked) +
             R"(,"returned":)" + std::to_string(returned) + R"(,"type":")" + type + '"' + rest +
             "}\n";
    return *this;
  }
  Lines& Write(Time invoked, Time returned, int value, int index, const std::string& more = "") {
    return Op(
        "write", invoked, returned, "ok",
        R"(,"value":)" + std::to_string(value) + R"(,"revision":)" + std::to_string(index) + more);
  }
  // `certificate`: further members of it, from a comma on.
  Lines& Read(const std::string& level, Time invoked, Time returned, const std::string& result,
              int revision, int index, const std::string& more = "",
              const std::string& certificate = "") {
    return Op("read", invoked, returned, "ok",
              R"(,"level":")" + level + R"(","result":)" + result + R"(,"revision":)" +
                  std::to_string(revision) + more + R"(,"certificate":{"index":)" +
                  std::to_string(index) + certificate + "}");
  }
  Lines& Line(const std::string& line) {
    text_ += line + '\n';
    return *this;
  }

  Report Checked() const {
    ByteStream stream(text_);
    ReadResult result = ReadStream(stream, "file", {});
    if (auto* error = std::get_if<ReadError>(&result)) {
      ADD_FAILURE() << error->Show();
      return {};
    }
    return Check(std::get<History>(result), {});
  }

 private:
  std::string text_;
  int number_ = 0;
};

void Accepts(const Lines& lines) {
  const Report report = lines.Checked();
  EXPECT_EQ(report.verdict(), Verdict::kValid)
      << (report.violations.empty() ? "" : report.violations[0].sentence);
}

// The checker of that name finds it, and its sentence has these words.
void Rejects(const Lines& lines, const std::string& checker, const std::string& words) {
  const Report report = lines.Checked();
  EXPECT_EQ(report.verdict(), Verdict::kInvalid) << checker << ": " << words;
  const bool found =
      std::any_of(report.violations.begin(), report.violations.end(), [&](const auto& violation) {
        return violation.checker == checker && violation.sentence.find(words) != std::string::npos;
      });
  EXPECT_TRUE(found) << Summary(report);
}

TEST(Strong, IncludesWhatWasAcknowledged) {
  Accepts(Lines("register").Write(0, 10, 1, 1).Read("strong", 20, 30, "1", 1, 1));
  Accepts(Lines("register").Write(0, 10, 1, 1).Read("strong", 5, 30, "null", 0, 0));
  Rejects(Lines("register").Write(0, 10, 1, 1).Read("strong", 20, 30, "null", 0, 0), "strong",
          "read #2 missed write #1, acknowledged 10 us before it began");
  Rejects(Lines("register")
              .Write(0, 10, 1, 1)
              .Read("eventual", 11, 12, "1", 1, 5)
              .Read("strong", 20, 30, "1", 1, 1),
          "strong", "missed index 5");
  // From the future: the write began after the read had returned.
  Rejects(Lines("register").Read("eventual", 0, 10, "1", 1, 1).Write(20, 30, 1, 1), "strong",
          "got index 1");
  // Indices of writes respect real time.
  Accepts(Lines("register").Write(0, 10, 1, 1).Write(20, 30, 2, 2));
  Rejects(Lines("register").Write(0, 10, 1, 2).Write(20, 30, 2, 1), "strong", "got index 1");
}

TEST(Values, AreTheStateAtTheIndex) {
  Accepts(
      Lines("register").Write(0, 9, 1, 1).Write(10, 19, 2, 2).Read("eventual", 20, 30, "1", 1, 1));
  Rejects(
      Lines("register").Write(0, 9, 1, 1).Write(10, 19, 2, 2).Read("eventual", 20, 30, "1", 1, 2),
      "eventual", "had replaced that, at index 2");
  Rejects(Lines("register").Write(0, 9, 1, 1).Read("eventual", 20, 30, "2", 1, 1), "eventual",
          "returned 2");
  Rejects(Lines("register").Write(0, 9, 1, 1).Read("session", 20, 30, "null", 0, 1), "session",
          "found nothing");
  Rejects(Lines("register").Write(0, 9, 1, 5).Read("eventual", 20, 30, "1", 5, 3), "eventual",
          "beyond its own index");
  Rejects(Lines("register").Read("eventual", 20, 30, "7", 3, 3), "eventual", "nobody had written");
  // Deletes.
  const std::string at2 = R"(,"revision":2)";
  Accepts(Lines("register")
              .Write(0, 9, 1, 1)
              .Op("delete", 10, 12, "ok", at2)
              .Read("strong", 20, 30, "null", 0, 2));
  Rejects(Lines("register")
              .Write(0, 9, 1, 1)
              .Op("delete", 10, 12, "ok", at2)
              .Read("strong", 20, 30, "1", 1, 2),
          "strong", "had replaced that");
  Accepts(Lines("register")
              .Write(0, 9, 1, 1)
              .Op("delete", 10, 12, "info", "")
              .Read("strong", 20, 30, "null", 0, 2));
  Rejects(Lines("register")
              .Write(0, 9, 1, 1)
              .Op("delete", 10, 12, "info", "")
              .Read("strong", 20, 30, "null", 0, 2)
              .Read("strong", 40, 50, "1", 1, 3),
          "eventual", "there again");
}

TEST(Values, UnknownOutcomesMayBeSeenOnce) {
  const auto unknown = [](const std::string& type) {
    return Lines("register").Op("write", 0, 5, type, R"(,"value":7)");
  };
  Accepts(unknown("info").Read("strong", 10, 20, "7", 3, 3).Read("strong", 30, 40, "7", 3, 9));
  Rejects(unknown("info").Read("strong", 10, 20, "7", 3, 3).Read("strong", 30, 40, "7", 5, 9),
          "exactly-once", "twice");
  Rejects(unknown("fail").Read("strong", 10, 20, "7", 3, 3), "exactly-once",
          "had failed as not executed");
  Rejects(Lines("register")
              .Read("strong", 0, 5, "7", 3, 3)
              .Op("write", 10, 15, "info", R"(,"value":7)"),
          "strong", "nobody had written");
  Rejects(Lines("register").Write(0, 5, 7, 3).Read("strong", 10, 20, "7", 4, 4), "exactly-once",
          "took effect twice");
}

TEST(Values, ComparisonsFollowTheState) {
  const auto cas = [](const std::string& type, const std::string& more) {
    return Lines("register").Write(0, 5, 1, 1).Op("cas", 10, 20, type, R"(,"value":[1,2])" + more);
  };
  Accepts(cas("ok", R"(,"revision":2)").Read("strong", 30, 40, "2", 2, 2));
  Rejects(
      Lines("register").Write(0, 5, 3, 1).Op("cas", 10, 20, "ok", R"(,"value":[1,2],"revision":2)"),
      "strong", "the value before was 3");
  const std::string unequal = R"(,"error":{"code":"COMPARE_FAILED","class":"final","have":1})";
  Rejects(cas("fail", unequal), "strong", "it was equal");
  Accepts(
      Lines("register").Write(0, 5, 3, 1).Op("cas", 10, 20, "fail", R"(,"value":[1,2])" + unequal));
}

TEST(Bounded, MissesNothingOlder) {
  const auto read = [](Time at, const std::string& bound) {
    return Lines("register").Write(0, 10, 1, 1).Read("bounded", at, at + 10, "null", 0, 0, bound);
  };
  Accepts(read(1000, R"(,"max_age_us":5000)"));
  Rejects(read(9000, R"(,"max_age_us":5000)"), "bounded", "it was to be at most 5000 us old");
  Accepts(read(9000, R"(,"max_age_us":5000,"max_lag":1)"));
  Accepts(read(9000, R"(,"max_age_us":5000,"on_unmet":"serve")"));
}

TEST(Bounded, StalenessIsMeasured) {
  const Report report =
      Lines("register")
          .Write(0, 10, 1, 1)
          .Read("bounded", 1010, 1020, "null", 0, 0, R"(,"max_age_us":5000)", R"(,"age_us":2000)")
          .Checked();
  const Staleness& staleness = report.staleness.at("bounded");
  EXPECT_EQ(staleness.promised_us, std::vector<std::uint64_t>{2000});
  EXPECT_EQ(staleness.measured_us, std::vector<std::uint64_t>{1000});
  EXPECT_DOUBLE_EQ(staleness.tightness, 0.5);
}

TEST(Session, KeepsWhatTheClientSaw) {
  // Operations 1 and 4 are of one client.
  const auto reads = [](int index, const std::string& more) {
    return Lines("register")
        .Read("session", 0, 5, "null", 0, 5)
        .Read("eventual", 0, 5, "null", 0, 1)
        .Read("eventual", 0, 5, "null", 0, 1)
        .Read("session", 10, 15, "null", 0, index, more);
  };
  Accepts(reads(5, ""));
  Rejects(reads(4, ""), "session", "behind its own client's read #1");
  Rejects(reads(6, R"(,"min_index":7)"), "session", "asked for index 7");
}

TEST(Eventual, ANodeDoesNotGoBack) {
  const auto reads = [](int index, const char* node) {
    return Lines("register")
        .Read("eventual", 0, 5, "null", 0, 5, "", R"(,"node":2)")
        .Read("eventual", 10, 15, "null", 0, index, "", node);
  };
  Accepts(reads(5, R"(,"node":2)"));
  Accepts(reads(4, R"(,"node":3)"));
  Rejects(reads(4, R"(,"node":2)"), "eventual", "it went back");
}

TEST(ExactlyOnce, OneIndexForACommand) {
  const std::string command = R"(,"session":9,"seq":4)";
  Accepts(Lines("register").Write(0, 5, 1, 1, command).Write(0, 5, 1, 1, command));
  Accepts(Lines("register")
              .Op("write", 0, 5, "info", R"(,"value":1)" + command)
              .Read("strong", 10, 20, "1", 1, 1)
              .Write(30, 40, 1, 1,
                     command));  // sent again: answered with the index that it got at first
  Rejects(Lines("register").Write(0, 5, 1, 1, command).Write(0, 5, 1, 2, command), "exactly-once",
          "at two indices");
  Rejects(Lines("register").Write(0, 5, 1, 1).Write(0, 5, 2, 1), "exactly-once",
          "both acknowledged at index 1");
}

TEST(ExactlyOnce, CountersAddUp) {
  const auto add = [](Lines lines, Time at, int sum, int index) {
    return lines.Op("add", at, at + 5, "ok",
                    R"(,"value":1,"result":)" + std::to_string(sum) + R"(,"revision":)" +
                        std::to_string(index));
  };
  Accepts(add(add(Lines("counter"), 0, 1, 1), 10, 2, 2));
  Rejects(add(add(Lines("counter"), 0, 1, 1), 10, 3, 3), "exactly-once", "do not add up");
  Accepts(add(add(Lines("counter"), 0, 1, 1).Op("add", 6, 7, "info", R"(,"value":1)"), 10, 3, 3));
  Rejects(add(add(Lines("counter"), 0, 1, 1).Op("add", 6, 7, "info", R"(,"value":1)"), 10, 3, 2),
          "exactly-once", "do not add up");
  Rejects(add(add(Lines("counter"), 0, 1, 1).Op("add", 6, 7, "fail", R"(,"value":1)"), 10, 3, 3),
          "exactly-once", "do not add up");
  Rejects(add(Lines("counter"), 0, 1, 1)
              .Read("strong", 10, 20, "1", 1, 1)
              .Read("strong", 30, 40, "2", 1, 3),
          "strong", "returned 2");
}

TEST(ExactlyOnce, AppendsAreThereOnce) {
  const auto append = [](Lines lines, Time at, const std::string& piece, const std::string& before,
                         int index) {
    return lines.Op("append", at, at + 5, "ok",
                    R"(,"value":")" + piece + R"(","result":")" + before + R"(","revision":)" +
                        std::to_string(index));
  };
  Accepts(append(append(Lines("append"), 0, "a", "", 1), 10, "b", "a", 2));
  Rejects(append(append(Lines("append"), 0, "a", "", 1), 10, "b", "aa", 3), "exactly-once",
          "twice");
  Rejects(append(append(Lines("append"), 0, "a", "", 1), 10, "b", "", 3), "exactly-once",
          "not there any more");
  Rejects(
      append(append(Lines("append"), 0, "a", "", 1).Op("append", 6, 7, "fail", R"(,"value":"x")"),
             10, "b", "ax", 3),
      "exactly-once", "had failed as not executed");
  Accepts(
      append(append(Lines("append"), 0, "a", "", 1).Op("append", 6, 7, "info", R"(,"value":"x")"),
             10, "b", "ax", 3));
}

TEST(Certificates, AreTrueAndLegal) {
  const auto read = [](const std::string& level, const std::string& certificate,
                       const std::string& more = "") {
    return Lines("register")
        .Write(0, 10, 1, 1)
        .Read(level, 5000, 5010, "null", 0, 0, more, certificate);
  };
  Accepts(read("eventual", R"(,"age_us":5000,"basis":"anchor")"));
  Rejects(read("eventual", R"(,"age_us":4000,"basis":"anchor")"), "certificates",
          "claimed to miss nothing older than 4000 us");
  Accepts(read("eventual", R"(,"age_us":4000,"lag":1,"basis":"anchor")"));
  const auto now = [](const std::string& level, const std::string& certificate,
                      const std::string& more = "") {
    return Lines("register").Read(level, 0, 9, "null", 0, 0, more, certificate);
  };
  Accepts(now("strong", R"(,"basis":"read_index")"));
  Rejects(now("strong", R"(,"basis":"anchor")"), "certificates", "rests on anchor");
  Rejects(now("bounded", R"(,"basis":"none")", R"(,"max_age_us":5)"), "certificates",
          "rests on none");
  Rejects(now("bounded", R"(,"basis":"anchor","age_us":6)", R"(,"max_age_us":5)"), "certificates",
          "claims no more than");
  Rejects(now("eventual", R"(,"basis":"none","age_us":6)"), "certificates", "without any basis");
  Rejects(now("eventual", R"(,"node":2)", R"(,"node":3)"), "certificates", "answered by node 2");
}

TEST(Certificates, TellOneHistory) {
  const auto two = [](const std::string& a, const std::string& b, int index) {
    return Lines("register")
        .Read("eventual", 0, 9, "null", 0, 5, "", a)
        .Read("eventual", 0, 9, "null", 0, index, "", b);
  };
  Accepts(two(R"(,"entry_term":2)", R"(,"entry_term":3)", 6));
  Rejects(two(R"(,"entry_term":2)", R"(,"entry_term":3)", 5), "certificates", "is of term 3");
  Rejects(two(R"(,"entry_term":2)", R"(,"entry_term":1)", 6), "certificates", "is of term 1");
  Rejects(two(R"(,"incarnation":"a")", R"(,"incarnation":"b")", 5), "certificates",
          "another history");
}

TEST(Refusals, AreJustified) {
  const auto refused = [](const std::string& error, const std::string& more = "") {
    return Lines("register")
        .Write(0, 5, 1, 7)
        .Op("read", 10, 20, "fail",
            R"(,"level":"bounded","max_age_us":100,"error":{)" + error + '}' + more);
  };
  Accepts(refused(R"("code":"STALE","age_us":500,"have":3,"want":9)"));
  Rejects(refused(R"("code":"STALE","age_us":50,"have":9,"want":9)"), "refusals",
          "it could prove 50 us");
  Rejects(refused(R"("code":"NOT_CAUGHT_UP","have":9,"want":9)"), "refusals", "had index 9");
  Accepts(refused(R"("code":"NOT_CAUGHT_UP","have":8,"want":9)"));
  Rejects(refused(R"("code":"FUTURE_TOKEN","have":6,"want":9)"), "refusals", "had shown index 7");
  Accepts(refused(R"("code":"FUTURE_TOKEN","have":7,"want":9)"));
}

TEST(Refusals, ANodeDoesNotRefuseEverything) {
  Lines calm("register");
  Lines cut("register");
  cut.Line(R"({"fault":"isolate","id":1,"at":0,"until":100000,"nodes":[2]})");
  calm.Write(0, 5, 1, 1);
  cut.Write(0, 5, 1, 1);
  for (int i = 0; i < 30; ++i) {
    const std::string error = R"(,"level":"eventual","node":2,"error":{"code":"NOT_CAUGHT_UP"})";
    calm.Op("read", 10, 20, "fail", error);
    cut.Op("read", 10, 20, "fail", error);
  }
  Rejects(calm, "refusals", "node 2 refused 30 of 30 reads");
  Accepts(cut);
}

TEST(Availability, StrongReadsComeBack) {
  const auto fault = [](Time served, const std::string& nodes) {
    Lines lines("register");
    lines.Line(R"({"fault":"isolate-leader","id":4,"at":1000000,"until":20000000,"nodes":)" +
               nodes + "}");
    for (Time at = 1'100'000; at < served; at += 500'000) {
      lines.Op("read", at, at + 400'000, "fail",
               R"(,"level":"strong","error":{"code":"NO_LEADER"})");
    }
    return lines.Read("strong", served, served + 1000, "null", 0, 0).Line(R"({"end":30000000})");
  };
  Accepts(fault(3'000'000, "[2]"));
  Rejects(fault(9'000'000, "[2]"), "availability", "after isolate-leader at 1.00 s");
  Accepts(fault(9'000'000, "[1,2]"));  // no majority: judged from the end on
  const Report report = fault(3'000'000, "[2]").Checked();
  ASSERT_EQ(report.availability.size(), 1U);
  EXPECT_EQ(report.availability[0].served_after_us, 2'001'000);
}

TEST(Availability, NothingFailsInCalm) {
  Lines lines("register");
  lines.Write(0, 5, 1, 1);
  for (int i = 0; i < 20; ++i)
    lines.Op("write", 10, 20, "fail", R"(,"value":1,"error":{"code":"NO_LEADER"})");
  Rejects(lines, "availability", "20 of 21 operations failed");
}

TEST(Set, LosesNothingAndInventsNothing) {
  const auto add = [](const std::string& type, const std::string& more) {
    return Lines("set")
        .Op("add", 0, 5, "ok", R"(,"value":1,"revision":1)")
        .Op("add", 6, 7, type, R"(,"value":2)" + more);
  };
  Accepts(add("ok", R"(,"revision":2)").Read("strong", 10, 20, "[2,1]", 2, 2));
  Rejects(add("ok", R"(,"revision":2)").Read("strong", 10, 20, "[1]", 2, 2), "strong", "lacks 2");
  Rejects(add("ok", R"(,"revision":2)").Read("strong", 10, 20, "[1,2,3]", 2, 2), "strong",
          "nobody added");
  Rejects(add("ok", R"(,"revision":2)").Read("eventual", 10, 20, "[1,2]", 1, 1), "eventual",
          "added at index 2");
  Accepts(add("info", "").Read("strong", 10, 20, "[1,2]", 2, 2));
  Accepts(add("info", "").Read("strong", 10, 20, "[1]", 1, 2));
  Rejects(add("fail", "").Read("strong", 10, 20, "[1,2]", 2, 2), "exactly-once", "had failed");
  Rejects(add("info", "").Read("strong", 10, 20, "[1,2]", 2, 2).Read("strong", 30, 40, "[1]", 2, 3),
          "eventual", "not at index 3");
}

TEST(Bank, KeepsItsTotal) {
  const auto transfer = [](const std::string& type, const std::string& more) {
    return Lines("bank", R"(,"total":10)")
        .Read("strong", 0, 5, R"({"a":5,"b":5})", 0, 0)
        .Op("transfer", 6, 7, type, R"(,"value":["a","b",2])" + more);
  };
  Accepts(transfer("ok", R"(,"revision":1)").Read("strong", 10, 20, R"({"a":3,"b":7})", 1, 1));
  Rejects(transfer("ok", R"(,"revision":1)").Read("strong", 10, 20, R"({"a":3,"b":5})", 1, 1),
          "bank", "found 8 in all accounts");
  Rejects(transfer("ok", R"(,"revision":1)").Read("strong", 10, 20, R"({"a":5,"b":5})", 1, 1),
          "bank", "found account a at 5");
  Rejects(transfer("ok", R"(,"revision":1)").Read("strong", 10, 20, R"({"a":-1,"b":11})", 1, 1),
          "bank", "at -1");
  Accepts(transfer("info", "").Read("strong", 10, 20, R"({"a":3,"b":7})", 1, 1));
  Accepts(transfer("info", "").Read("strong", 10, 20, R"({"a":5,"b":5})", 1, 1));
  Rejects(transfer("fail", "").Read("strong", 10, 20, R"({"a":3,"b":7})", 1, 1), "bank",
          "found account a at 3");
}

TEST(Lock, IsHeldByOne) {
  const auto acquire = [](Lines lines, Time at, int token) {
    return lines.Op(
        "acquire", at, at + 5, "ok",
        R"(,"result":)" + std::to_string(token) + R"(,"revision":)" + std::to_string(token));
  };
  const auto use = [](Lines lines, Time at, int token) {
    return lines.Op("use", at, at + 5, "ok", R"(,"value":)" + std::to_string(token));
  };
  // Clients are numbered 1, 2, 0, 1, ...
  Accepts(acquire(acquire(Lines("lock"), 0, 1), 100, 2));
  Rejects(acquire(acquire(Lines("lock"), 0, 2), 100, 1), "lock", "had token 1");
  Rejects(acquire(acquire(Lines("lock"), 0, 2), 0, 2), "lock", "the same token");
  Accepts(use(use(acquire(Lines("lock"), 0, 1), 10, 1), 20, 2));
  Rejects(use(use(acquire(Lines("lock"), 0, 1), 10, 2), 20, 1), "lock", "had 2 before");
  // Tokens are indices: the first release lies before or behind the second acquire.
  const auto both = [&](Time release) {
    return acquire(acquire(Lines("lock"), 0, 1), 100, 5)
        .Op("use", 0, 1, "fail", "")
        .Op("release", release, release + 5, "ok",
            release < 100 ? R"(,"revision":2)" : R"(,"revision":8)")
        .Op("release", 250, 255, "ok", R"(,"revision":9)");
  };
  Accepts(both(50));
  Rejects(both(200), "lock", "while client 1 held it");
}

// What no index vouches for is searched, or not known; it is not passed over.
TEST(WithoutIndices, NothingIsTakenForGranted) {
  const auto read = [](const char* level, const char* result) {
    return Lines("register")
        .Write(0, 10, 1, 1)
        .Op("read", 20, 30, "ok", std::string(R"(,"level":")") + level + R"(","result":)" + result);
  };
  Accepts(read("strong", "1"));
  Rejects(read("strong", "2"), "linearizable", "returned 2");
  EXPECT_EQ(Lines("register").Checked().verdict(), Verdict::kUnknown);
  EXPECT_EQ(read("eventual", "1").Checked().verdict(), Verdict::kUnknown);
  EXPECT_EQ(read("bounded", "1").Checked().verdict(), Verdict::kUnknown);
  Rejects(Lines("register")
              .Op("write", 0, 10, "ok", R"(,"value":1)")
              .Read("strong", 20, 30, "null", 0, 0),
          "linearizable", "returned nothing");
}

TEST(Report, IsJsonAndTable) {
  const Report report =
      Lines("register").Write(0, 10, 1, 1).Read("strong", 20, 30, "null", 0, 0).Checked();
  const std::string json = ToJson(report);
  EXPECT_NE(json.find(R"("valid":false)"), std::string::npos);
  EXPECT_NE(json.find(R"("ops":[2,1])"), std::string::npos);
  EXPECT_NE(json.find(R"("key":"k")"), std::string::npos);
  EXPECT_NE(Summary(report).find("INVALID"), std::string::npos);
}

// Indices far apart are ranked instead of counted: a table of 2^60 entries would be absurd.
TEST(Index, MayBeHuge) {
  const auto history = [](const char* read) {
    return Lines("register")
        .Op("write", 0, 10, "ok", R"(,"value":1,"revision":1152921504606846976)")
        .Line(
            std::string(
                R"({"op":9,"client":1,"f":"read","key":"k","invoked":20,"returned":30,"type":"ok","level":"strong",)") +
            read);
  };
  Accepts(history(
      R"("result":1,"revision":1152921504606846976,"certificate":{"index":1152921504606846976}})"));
  Rejects(history(R"("result":null,"revision":0,"certificate":{"index":7}})"), "strong",
          "missed write #1");
}

}  // namespace
}  // namespace quorate::check
