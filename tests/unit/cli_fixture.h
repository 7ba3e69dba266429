// The built `quorate` as a process, for tests of what it prints and how it ends.
#pragma once

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "tests/unit/fake_node.h"

namespace quorate::testing {

struct Output {
  int code = -1;
  std::string out;
  std::string err;
};

class Cli : public ::testing::Test {
 protected:
  Cli()
      : directory_(std::filesystem::temp_directory_path() /
                   ("quorate-cli-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~Cli() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }

  std::string Slurp(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream(Path(name), std::ios::binary).rdbuf();
    return text.str();
  }

  // Through the shell: `arguments` may quote and redirect.
  Output Run(const std::string& endpoints, const std::string& arguments,
             const std::string& before = "") {
    const std::string command = before + " timeout 20 " QUORATE_BINARY " --endpoints " + endpoints +
                                " " + arguments + " >" + Path("out") + " 2>" + Path("err");
    const int status = std::system(command.c_str());  // NOLINT(concurrency-mt-unsafe)
    return {.code = WEXITSTATUS(status), .out = Slurp("out"), .err = Slurp("err")};
  }

  // SIGINT as soon as `started` says that it is at work, up to `times` times.
  Output Interrupt(const std::string& endpoints, const std::string& arguments,
                   std::future<void> started, int times,
                   std::chrono::milliseconds apart = std::chrono::milliseconds(0)) {
    const std::string command = "exec " QUORATE_BINARY " --endpoints " + endpoints + " " +
                                arguments + " >" + Path("out") + " 2>" + Path("err");
    const char* const argv[] = {"sh", "-c", command.c_str(), nullptr};
    pid_t pid = -1;
    if (::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, const_cast<char* const*>(argv), environ) !=
        0) {
      return {};
    }
    const bool working = started.wait_for(kPatience) == std::future_status::ready;
    EXPECT_TRUE(working) << "no request came";
    int status = 0;
    bool ended = false;
    for (int i = 0; i < times && !ended; ++i) {
      ::kill(pid, working ? SIGINT : SIGKILL);
      std::this_thread::sleep_for(apart);
      ended = ::waitpid(pid, &status, WNOHANG) == pid;
    }
    if (!ended) ::waitpid(pid, &status, 0);
    return {.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            .out = Slurp("out"),
            .err = Slurp("err")};
  }

  static constexpr std::chrono::seconds kPatience{20};
  std::filesystem::path directory_;
};

// `script`, and a promise kept when the first request has come.
inline Script Announcing(std::promise<void>& first, Script script) {
  auto announced = std::make_shared<bool>(false);
  return [&first, announced, script = std::move(script)](FakeSession& session,
                                                         const FakeRequest& request) {
    if (!std::exchange(*announced, true)) first.set_value();
    script(session, request);
  };
}

inline Script Refusing(wire::Code code) {
  return
      [code](FakeSession& session, const FakeRequest& request) { session.Refuse(request, code); };
}

}  // namespace quorate::testing
