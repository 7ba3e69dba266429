// quorated-controls: `quorated` with one known bug, to see that tests from outside catch it. Never
// installed.
//
//   quorated-controls --list
//   quorated-controls --control NAME [options of quorated]
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "raft/controls.h"
#include "src/command_line.h"
#include "src/server.h"

namespace {

using namespace quorate::server;  // NOLINT(google-build-using-namespace)
using quorate::raft::Control;

struct Named {
  std::string_view name;
  Control control;
  std::string_view text;
};

constexpr std::array kControls = {
    Named{"unconfirmed-read", Control::kUnconfirmedRead,
          "a deposed leader serves stale strong reads: it asks no quorum"},
    Named{"last-contact", Control::kLastContact,
          "the age of a bounded read is the time since the leader was last heard"},
    Named{"ack-before-sync", Control::kAckBeforeSync,
          "writes are acknowledged before the disk has them"},
    Named{"no-dedupe", Control::kNoDedupe, "a retried write of a session is executed again"},
    Named{"wrong-error-class", Control::kWrongErrorClass,
          "NOT_LEADER, certainly not executed, for a write that may still commit"},
};

int Serve(int argc, char** argv, Control control) {
  CommandLine command_line = ParseCommandLine(argc, argv);
  if (!command_line.options) return command_line.exit_code;
  ServerOptions& options = *command_line.options;
  options.replica.raft.control = control;
  options.log.control = control;
  options.database.control = control;
  Logger log(options.log_format, options.log_level, options.id);
  auto server = Server::Open(options, log);
  if (!server) {
    log.Flush();
    std::fprintf(stderr, "quorated-controls: %s\n", server.error().message.c_str());
    return EXIT_FAILURE;
  }
  const auto ended = (*server)->Run();
  if (!ended) std::fprintf(stderr, "quorated-controls: %s\n", ended.error().message.c_str());
  return ended ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  google::protobuf::SetLogHandler(nullptr);
  std::vector<char*> arguments(argv, argv + argc);
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const Named& named : kControls) {
      std::printf("%.*s\t%.*s\n", static_cast<int>(named.name.size()), named.name.data(),
                  static_cast<int>(named.text.size()), named.text.data());
    }
    return EXIT_SUCCESS;
  }
  const auto flag = std::find_if(arguments.begin(), arguments.end(), [](const char* argument) {
    return std::string_view(argument) == "--control";
  });
  const auto* named = kControls.end();
  if (flag != arguments.end() && flag + 1 != arguments.end()) {
    named = std::find_if(kControls.begin(), kControls.end(),
                         [&](const Named& one) { return one.name == *(flag + 1); });
  }
  if (named == kControls.end()) {
    std::fprintf(stderr, "quorated-controls: --control takes one of those that --list prints\n");
    return kExitUsage;
  }
  arguments.erase(flag, flag + 2);
  return Serve(static_cast<int>(arguments.size()), arguments.data(), named->control);
}
