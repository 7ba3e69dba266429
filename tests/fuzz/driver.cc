// Runs a target without libFuzzer: its seeds, then a fixed number of mutations of them. What it
// runs follows from --seed and --rounds alone, so that a failure is found again.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

// Longer than any input takes on any machine: what is still running then hangs.
constexpr unsigned kHangSeconds = 60;

const std::string* running = nullptr;
std::string reproducer;  // a path
std::string advice;

void Say(const std::string& text) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

// The process is done for: whatever is safe in a signal handler must do.
void OnSignal(int signal) {
  const int file = ::open(reproducer.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (running != nullptr && file >= 0 &&
      ::write(file, running->data(), running->size()) == static_cast<ssize_t>(running->size())) {
    Say(advice);
  }
  Say(signal == SIGALRM ? "the input hangs\n" : "the input crashes\n");
  ::_exit(1);
}

void WatchFor(const std::string& program) {
  reproducer = program.substr(program.rfind('/') + 1) + ".reproducer";
  advice = "found a failure; to see it again: " + program + " " + reproducer + "\n";
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM}) {
    std::signal(signal, OnSignal);
  }
}

void Run(const std::string& input) {
  running = &input;
  ::alarm(kHangSeconds);
  RunOne(input);
  ::alarm(0);
  running = nullptr;
}

int Replay(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", path.c_str());
      return 2;
    }
    const std::string input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    RunOne(input);
    std::printf("%s: fine\n", path.c_str());
  }
  return 0;
}

int Explore(const std::string& program, std::uint64_t rounds, std::uint64_t seed) {
  WatchFor(program);
  const std::vector<std::string> seeds = Seeds();
  for (const std::string& input : seeds) Run(input);
  Run(std::string());
  Mutator mutator(seeds, seed);
  for (std::uint64_t round = 0; round < rounds; ++round) Run(mutator.Next());
  std::printf("%zu seeds and %llu mutations of them: fine\n", seeds.size(),
              static_cast<unsigned long long>(rounds));
  return 0;
}

int Usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s [--rounds N] [--seed N]   seeds and N mutations of them\n"
               "       %s FILE...                   these inputs only\n",
               program, program);
  return 2;
}

int Main(int argc, char** argv) {
  std::uint64_t rounds = 10'000;
  std::uint64_t seed = 1;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--rounds" && i + 1 < argc) {
      rounds = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument.starts_with("-")) {
      return Usage(argv[0]);
    } else {
      paths.push_back(argument);
    }
  }
  return paths.empty() ? Explore(argv[0], rounds, seed) : Replay(paths);
}

}  // namespace
}  // namespace quorate::fuzz

int main(int argc, char** argv) {
  return quorate::fuzz::Main(argc, argv);
}
