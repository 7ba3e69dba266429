// lock: runs a command while a key is held, and no longer.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/child.h"
#include "tools/command.h"
#include "tools/output.h"

namespace quorate::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How often the child, the session and Ctrl-C are looked at.
constexpr milliseconds kLook{20};
// Between two attempts at a lock that somebody else holds.
constexpr milliseconds kRetry{200};
// From SIGTERM to SIGKILL.
constexpr milliseconds kGrace{1000};

struct LockArguments {
  std::string name;
  std::vector<std::string> command;
  std::string ttl = "10s";
  std::optional<std::string> wait{};  // absent: as long as it takes
};

// Who holds it, for those who look.
std::string Holder() {
  char host[256] = "?";
  ::gethostname(host, sizeof(host) - 1);
  return std::string(host) + " pid " + std::to_string(::getpid());
}

ExitCode Held(const Settings& settings, Client& client, const LockArguments& arguments,
              const Error& error) {
  if (settings.json) {
    Json json;
    AddBytes(json, "lock", arguments.name);
    return Report(settings, std::move(json), error);
  }
  std::string by;
  if (const auto holder = client.Get(arguments.name); holder && holder->found) {
    by = " by " + Escape(holder->value);
  }
  PrintError(Escape(arguments.name) + " is held" + by);
  return kExitCompareFailed;
}

// The index of the write that took it; nothing: `code` says why not.
std::optional<std::uint64_t> Acquire(const Settings& settings, Interrupt& interrupt, Client& client,
                                     const Session& session, const LockArguments& arguments,
                                     ExitCode& code) {
  const WriteOptions options{.session = session, .attach = true, .node = settings.node};
  const auto give_up = Clock::now() + (arguments.wait ? *ParseDuration(*arguments.wait)
                                                      : std::chrono::hours(24 * 365));
  for (;;) {
    const auto taken = client.CompareAndSet(arguments.name, Absent{}, Holder(), options);
    if (taken) return taken->revision;
    const bool held = taken.error().code == ErrorCode::kCompareFailed;
    if (interrupt.raised()) {
      code = kExitInterrupted;
      return std::nullopt;
    }
    if (!held) {
      code = Report(settings, Json(), taken.error());
      return std::nullopt;
    }
    if (Clock::now() >= give_up) {
      code = Held(settings, client, arguments, taken.error());
      return std::nullopt;
    }
    for (const auto next = Clock::now() + kRetry; Clock::now() < next && !interrupt.raised();) {
      std::this_thread::sleep_for(kLook);
    }
  }
}

// Until it has ended: by itself, or because it was told to after Ctrl-C or the loss of the session.
int Watch(Child& child, const Interrupt& interrupt, const Session& session, bool& lost) {
  std::optional<Clock::time_point> terminated;
  for (;;) {
    if (const auto status = child.Ended()) return *status;
    if (!lost && session.lost()) {
      lost = true;
      PrintError("the lock may be somebody else's by now: ending the command");
    }
    if ((lost || interrupt.raised()) && !terminated) {
      child.Signal(SIGTERM);
      terminated = Clock::now();
    }
    if (terminated && Clock::now() - *terminated > kGrace) child.Signal(SIGKILL);
    std::this_thread::sleep_for(kLook);
  }
}

ExitCode Run(const Settings& settings, Interrupt& interrupt, Client& client, const Session& session,
             const LockArguments& arguments, std::uint64_t fencing_token) {
  bool lost = false;
  Child child(arguments.command, "QUORATE_FENCING_TOKEN", std::to_string(fencing_token));
  if (!child.started()) {
    PrintError("cannot start a process");
    return kExitOther;
  }
  if (settings.verbose) {
    PrintError("holding " + Escape(arguments.name) + ", fencing token " +
               std::to_string(fencing_token));
  }
  const int status = Watch(child, interrupt, session, lost);
  if (status == 127) PrintError("cannot run " + arguments.command[0]);
  if (lost) return kExitRefused;
  const auto closed = client.CloseSession(session);
  if (!closed) {
    PrintError("the lock is not released, and ends by itself within " + arguments.ttl + ": " +
               closed.error().detail);
  }
  return interrupt.raised() ? kExitInterrupted : static_cast<ExitCode>(status);
}

ExitCode Lock(const Settings& settings, Interrupt& interrupt, const LockArguments& arguments) {
  interrupt.SetHandler([] {});
  Client client(settings.client_options());
  const auto session =
      client.OpenSession({.ttl = std::chrono::ceil<milliseconds>(*ParseDuration(arguments.ttl))});
  if (!session) return Report(settings, Json(), session.error());
  ExitCode code = kExitOk;
  const auto token = Acquire(settings, interrupt, client, *session, arguments, code);
  if (token) return Run(settings, interrupt, client, *session, arguments, *token);
  // What may have been taken after all goes with the session.
  static_cast<void>(client.CloseSession(*session));
  return code;
}

}  // namespace

Command AddLock(CLI::App& app) {
  auto arguments = std::make_shared<LockArguments>();
  CLI::App* lock = app.add_subcommand("lock", "Run a command while holding a lock");
  lock->add_option("name", arguments->name, "The key that is the lock")
      ->required()
      ->configurable(false);
  lock->add_option("command", arguments->command, "What to run, with its arguments, behind --")
      ->required()
      ->configurable(false);
  CheckDuration(lock->add_option("--ttl", arguments->ttl,
                                 "A holder that is not heard of for so long has lost it")
                    ->capture_default_str(),
                std::chrono::seconds(1));
  CheckDuration(lock->add_option("--wait", arguments->wait,
                                 "Give up on a lock that is held (0s: at once); else: wait")
                    ->configurable(false),
                std::chrono::microseconds(0));
  lock->footer(
      "The command finds QUORATE_FENCING_TOKEN in its environment: a number that rises with each "
      "holder.\nHand it to whatever the lock protects, and have that refuse smaller ones than it "
      "has seen: a holder\nthat was stopped for a while cannot know that it has lost the lock. "
      "Once it is lost, the command gets\nSIGTERM, and SIGKILL a second later; it never outlives "
      "this process.\nExamples:\n  quorate lock nightly -- ./backup.sh\n"
      "  quorate lock nightly --wait 0s -- sh -c 'echo \"token $QUORATE_FENCING_TOKEN\"'\n"
      "Exit: the command's own status (127: it cannot be run), 4 held by another, 5 lost, 130 "
      "interrupted.");
  return {.app = lock, .run = [arguments](const Settings& settings, Interrupt& interrupt) {
            return Lock(settings, interrupt, *arguments);
          }};
}

}  // namespace quorate::tools
