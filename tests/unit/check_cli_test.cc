// The built `quorate-check` as a process: exit codes, what it prints and writes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace quorate::check {
namespace {

const std::string kHeader = R"({"format":"quorate-history-1","workload":"register","nodes":3})"
                            "\n";
const std::string kWrite =
    R"({"op":1,"client":0,"f":"write","key":"k","value":1,"invoked":0,"returned":9,"type":"ok","revision":1})"
    "\n";
const std::string kEnd = R"({"end":60})"
                         "\n";

std::string Read(const std::string& result, int revision, const std::string& certificate) {
  return R"({"op":2,"client":1,"f":"read","key":"k","level":"bounded","max_age_us":1,"invoked":20,"returned":30,)"
         R"("type":"ok","result":)" +
         result + R"(,"revision":)" + std::to_string(revision) + certificate + "}\n";
}

class CheckCli : public testing::Test {
 protected:
  CheckCli()
      : directory_(std::filesystem::temp_directory_path() /
                   ("quorate-check-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~CheckCli() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
    return Path(name);
  }
  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  std::string Slurp(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name)).rdbuf();
    return text.str();
  }

  // Its exit code; what it printed is in the files "out" and "err".
  int Run(const std::string& arguments) const {
    const std::string command =
        "timeout 20 " QUORATE_CHECK " " + arguments + " >" + Path("out") + " 2>" + Path("err");
    return WEXITSTATUS(std::system(command.c_str()));  // NOLINT(concurrency-mt-unsafe)
  }

  const std::string valid_ =
      kHeader + kWrite + Read("1", 1, R"(,"certificate":{"index":1})") + kEnd;
  const std::string invalid_ =
      kHeader + kWrite + Read("null", 0, R"(,"certificate":{"index":0})") + kEnd;
  const std::string unknown_ = kHeader + kWrite + Read("1", 1, "") + kEnd;

 private:
  std::filesystem::path directory_;
};

TEST_F(CheckCli, ExitCodesTellTheVerdict) {
  const std::string valid = Write("valid", valid_);
  const std::string invalid = Write("invalid", invalid_);
  const std::string unknown = Write("unknown", unknown_);
  EXPECT_EQ(Run(valid), 0) << Slurp("out") << Slurp("err");
  EXPECT_EQ(Run(invalid), 1);
  EXPECT_NE(Slurp("out").find("read #2 missed write #1"), std::string::npos) << Slurp("out");
  EXPECT_EQ(Run(unknown), 2);
  EXPECT_NE(Slurp("out").find("not checked"), std::string::npos) << Slurp("out");
  // Of several, the worst.
  EXPECT_EQ(Run(valid + ' ' + unknown), 2);
  EXPECT_EQ(Run(unknown + ' ' + invalid + ' ' + valid), 1);
}

TEST_F(CheckCli, ExitCodesTellWhatCouldNotBeDone) {
  const std::string valid = Write("valid", valid_);
  EXPECT_EQ(Run(""), 64);
  EXPECT_EQ(Run("--odd"), 64);
  EXPECT_EQ(Run("--model chess " + valid), 64);
  EXPECT_NE(Slurp("err").find("unknown model chess: use one of register"), std::string::npos);
  EXPECT_EQ(Run(valid + " --corpus /tmp"), 64);
  EXPECT_EQ(Run(Write("cut", valid_.substr(0, valid_.size() / 2))), 65);
  EXPECT_NE(Slurp("err").find("cut off"), std::string::npos) << Slurp("err");
  EXPECT_EQ(Run(Write("empty", "")), 65);
  EXPECT_EQ(Run(Path("missing")), 66);
  EXPECT_NE(Slurp("err").find("cannot open"), std::string::npos) << Slurp("err");
  EXPECT_EQ(Run("--corpus " + Path("missing")), 66);
  EXPECT_EQ(Run(valid + ' ' + Path("missing")), 66);
  EXPECT_EQ(Run("--results " + Path("no/such/directory") + ' ' + valid), 73);
  EXPECT_EQ(Run("--help"), 0);
}

TEST_F(CheckCli, ResultsAreAsInTheFormat) {
  const std::string invalid = Write("invalid", invalid_);
  ASSERT_EQ(Run("--json --results " + Path("results.json") + ' ' + invalid), 1);
  EXPECT_EQ(Slurp("out"), Slurp("results.json"));
  const auto results = nlohmann::json::parse(Slurp("results.json"));
  EXPECT_EQ(results["valid"], false);
  ASSERT_FALSE(results["checkers"].empty());
  for (const auto& checker : results["checkers"]) {
    for (const char* name : {"name", "valid", "checked", "took_ms", "detail"}) {
      EXPECT_TRUE(checker.contains(name)) << checker;
    }
  }
  ASSERT_EQ(results["violations"].size(), 1U) << results;
  const auto& violation = results["violations"][0];
  EXPECT_EQ(violation["checker"], "bounded");
  EXPECT_EQ(violation["ops"], (nlohmann::json{2, 1}));
  EXPECT_EQ(violation["at"], 20);
  EXPECT_EQ(violation["key"], "k");
  EXPECT_EQ(results["staleness"]["bounded"]["promised_us"].size(), 1U);
  EXPECT_EQ(results["staleness"]["bounded"]["measured_us"].size(), 1U);
  EXPECT_TRUE(results["availability"].is_array());
}

TEST_F(CheckCli, CorpusComparesVerdicts) {
  const std::string good = Write("good", valid_);
  Write("bad", invalid_);
  Write("verdicts.txt", "# comment\ngood\tok\tregister\nbad\tnot-ok\tregister\n");
  const std::string directory = std::filesystem::path(good).parent_path();
  EXPECT_EQ(Run("--corpus " + directory), 0) << Slurp("out");
  Write("verdicts.txt", "good\tok\tregister\nbad\tok\tregister\n");
  EXPECT_EQ(Run("--corpus " + directory), 1);
  EXPECT_NE(Slurp("out").find("WRONG"), std::string::npos);
  Write("verdicts.txt", "good\tperhaps\tregister\n");
  EXPECT_EQ(Run("--corpus " + directory), 66);
  EXPECT_NE(Slurp("err").find("verdicts.txt:1"), std::string::npos) << Slurp("err");
}

}  // namespace
}  // namespace quorate::check
