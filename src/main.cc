#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "src/command_line.h"
#include "src/server.h"

namespace {

using namespace quorate::server;  // NOLINT(google-build-using-namespace)

// Each connection is a descriptor, and so is each file of the database.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Serve(const ServerOptions& options) {
  Logger log(options.log_format, options.log_level, options.id);
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
  RaiseFileLimit();
  const CommandLine command_line = ParseCommandLine(argc, argv);
  if (!command_line.options) return command_line.exit_code;
  return Serve(*command_line.options);
}
