// One process writes, another one reads what was written, from any node, without a strong read: the
// token goes from one to the other, here through a pipe; a URL, a cookie or a queue would do.
//
//   example_sessions_across_processes [HOST:PORT,...]
#include <sys/wait.h>
#include <unistd.h>

#include <iostream>
#include <string>

#include "endpoints.h"
#include "quorate/client.h"

using namespace std::chrono_literals;

namespace {

int Write(const std::vector<std::string>& endpoints, int pipe) {
  quorate::Client client({.endpoints = endpoints});
  const auto put = client.Put("examples/cart", "3 apples");
  if (!put) {
    std::cerr << put.error().detail << '\n';
    return 1;
  }
  const std::string token = ToString(put->token);
  std::cout << "writer: index " << put->revision << ", token " << token << std::endl;
  return ::write(pipe, token.data(), token.size()) == static_cast<ssize_t>(token.size()) ? 0 : 1;
}

int Read(const std::vector<std::string>& endpoints, int pipe) {
  char text[128];
  const ssize_t bytes = ::read(pipe, text, sizeof(text));
  const auto token = quorate::ParseToken({text, static_cast<std::size_t>(bytes > 0 ? bytes : 0)});
  if (!token) {
    std::cerr << token.error().detail << '\n';
    return 1;
  }
  quorate::Client client({.endpoints = endpoints});
  client.Include(*token);  // from now on, all reads of this client see what the writer saw
  const auto got = client.Get("examples/cart", {.level = quorate::kEventual, .timeout = 1s});
  if (!got) {
    std::cerr << ToString(got.error().code) << ": " << got.error().detail << '\n';
    return 1;
  }
  std::cout << "reader: " << got->value << ", from node " << got->certificate.node << " at index "
            << got->certificate.applied_index << '\n';
  return got->certificate.applied_index >= token->index ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> endpoints = examples::Endpoints(argc, argv);
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  const pid_t reader = ::fork();  // before there are threads
  if (reader < 0) return 1;
  ::close(ends[reader == 0 ? 1 : 0]);
  if (reader == 0) return Read(endpoints, ends[0]);
  const int wrote = Write(endpoints, ends[1]);
  ::close(ends[1]);
  int status = 0;
  ::waitpid(reader, &status, 0);
  return wrote != 0 ? wrote : WEXITSTATUS(status);
}
