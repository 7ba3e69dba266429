// A command that this process runs, and does not outlive.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace quorate::tools {

class Child {
 public:
  // Runs `command` with `variable` = `value` added to the environment. It is killed when this
  // process dies, however that happens (Linux ties this to the thread that calls: call from the
  // main one). A command that cannot be run ends with status 127, as in a shell.
  Child(const std::vector<std::string>& command, const std::string& variable,
        const std::string& value);
  // Kills it if it still runs, and waits for its end.
  ~Child();
  Child(Child&&) = delete;

  bool started() const { return pid_ > 0; }
  void Signal(int number) const;
  // Its exit status once it has ended, 128 + the signal's number if one killed it.
  std::optional<int> Ended();

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

}  // namespace quorate::tools
