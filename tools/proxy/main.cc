// `quorate-proxy`: the links between the nodes of a test cluster, one process for all of them, so
// that each can be cut, slowed or made lossy by itself. Read in this order: faults.h, control.h,
// link.h, relay.h, pipe.h, frame_cutter.h.
#include <sys/prctl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tools/proxy/control.h"

namespace {

constexpr const char* kHelp = R"(quorate-proxy: directed TCP links with faults, for tests

Takes no flags. Commands come as JSON, one a line, on stdin, each answered by one line on stdout; tools/proxy/control.h
has them all. Ends with its stdin, and with the process that started it.

  (echo '{"do":"open","links":[{"name":"a","listen":"127.0.0.1:8101","target":"127.0.0.1:7101"}]}';
   echo '{"do":"set","links":{"a":{"forward":{"delay_us":100000}}}}'; cat) | quorate-proxy
)";

// Each relayed connection is two descriptors.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    const bool help = std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0;
    std::fputs(help ? kHelp : "quorate-proxy takes no arguments; try --help\n",
               help ? stdout : stderr);
    return help ? EXIT_SUCCESS : 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);  // a Ctrl-C is for the harness, which heals and then ends us
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  RaiseFileLimit();
  boost::asio::io_context io(1);
  quorate::proxy::Control control(io);
  if (const std::string why = control.Start(); !why.empty()) {
    std::fprintf(stderr, "quorate-proxy: %s\n", why.c_str());
    return EXIT_FAILURE;
  }
  io.run();
  std::_Exit(EXIT_SUCCESS);
}
