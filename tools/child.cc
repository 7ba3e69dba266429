#include "tools/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

namespace quorate::tools {

Child::Child(const std::vector<std::string>& command, const std::string& variable,
             const std::string& value) {
  // Everything that allocates comes before fork(): another thread may hold the allocator's lock.
  const std::string setting = variable + "=" + value;
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment{const_cast<char*>(setting.c_str())};
  for (char** one = environ; *one != nullptr; ++one) {
    if (std::strncmp(*one, setting.c_str(), variable.size() + 1) != 0) environment.push_back(*one);
  }
  environment.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::execvpe(arguments[0], arguments.data(), environment.data());
  ::_exit(127);
}

Child::~Child() {
  if (!started() || Ended()) return;
  Signal(SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Child::Signal(int number) const {
  if (started() && !status_) ::kill(pid_, number);
}

std::optional<int> Child::Ended() {
  int status = 0;
  if (status_ || !started()) return status_;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

}  // namespace quorate::tools
