#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "src/command_line.h"
#include "src/server.h"

namespace {

using namespace quorate::server;  // NOLINT(google-build-using-namespace)

// Each connection is a descriptor, and so is each file of the log and the database. Returns how
// many this process may have open.
std::size_t RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  return limit.rlim_cur;
}

// Clients must leave descriptors for files: a node that cannot open its next log file must end.
void LimitConnections(std::size_t files, ServiceLimits& limits, Logger& log) {
  constexpr std::size_t kFilesAndPeers = 1024;
  constexpr std::size_t kFewest = 64;
  const std::size_t room = std::max(files, kFilesAndPeers + kFewest) - kFilesAndPeers;
  if (limits.max_connections <= room) return;
  log.Warn(
      "fewer client connections than --max-connections: raise the limit on open files "
      "(ulimit -Hn, LimitNOFILE=)",
      {{"max_connections", limits.max_connections}, {"taken", room}, {"open_files", files}});
  limits.max_connections = room;
}

// What a supervisor would do, in place: the same program, arguments and process id. As safe as
// kill -9, which is what it is to everybody else.
[[noreturn]] void StartAnew(char** argv, const std::string& why, const Logger& log) {
  log.Error("this node starts itself anew", {{"reason", why}});
  log.Flush();
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);  // else the new program inherits what is blocked
  close_range(STDERR_FILENO + 1, ~0U, 0);        // the lock of the directory, and the ports
  execv("/proc/self/exe", argv);
  std::abort();
}

int Serve(ServerOptions options, char** argv, std::size_t files) {
  Logger log(options.log_format, options.log_level, options.id);
  options.database.hang.react = [&](const std::string& why) { StartAnew(argv, why, log); };
  LimitConnections(files, options.service, log);
  const auto fail = [&](const quorate::storage::Error& error) {
    // One line for whoever typed the command; machines that read JSON get JSON.
    if (options.log_format == LogFormat::kJson) {
      log.Error("cannot start", {{"reason", error.message}});
    } else {
      log.Flush();
      std::fprintf(stderr, "quorated: %s\n", error.message.c_str());
    }
    return EXIT_FAILURE;
  };
  auto server = Server::Open(options, log);
  if (!server) return fail(server.error());
  const auto ended = (*server)->Run();
  return ended ? EXIT_SUCCESS : fail(ended.error());
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  // Or each frame of a stranger with text that is not UTF-8 in it would write a line of its own.
  google::protobuf::SetLogHandler(nullptr);
  const std::size_t files = RaiseFileLimit();
  const CommandLine command_line = ParseCommandLine(argc, argv);
  if (!command_line.options) return command_line.exit_code;
  return Serve(*command_line.options, argv, files);
}
