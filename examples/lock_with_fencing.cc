// A lock that its holder cannot keep by accident, and a resource that refuses holders of the past.
//
//   example_lock_with_fencing [HOST:PORT,...]
#include <iostream>
#include <string>
#include <thread>

#include "endpoints.h"
#include "quorate/client.h"

using namespace std::chrono_literals;

namespace {

constexpr const char* kLock = "examples/lock";
constexpr const char* kLog = "examples/protected";

// The key goes with the session: if this process dies, or is cut off, the lock is free again.
// The index of the write that took it rises with each holder: the fencing token.
quorate::Result<std::uint64_t> Acquire(quorate::Client& client, const quorate::Session& session) {
  for (;;) {
    const auto taken = client.CompareAndSet(kLock, quorate::Absent{}, "me",
                                            {.timeout = 5s, .session = session, .attach = true});
    if (taken) return taken->revision;
    if (taken.error().code != quorate::ErrorCode::kCompareFailed) {
      return tl::make_unexpected(taken.error());
    }
    std::this_thread::sleep_for(50ms);
  }
}

// A holder that was stopped for a while does not know that it lost the lock. So what the lock
// protects must look: here, the write happens only while the lock is the one that was taken.
quorate::Result<quorate::TransactionReply> Write(quorate::Client& client, std::uint64_t fence,
                                                 std::string line) {
  quorate::Transaction guarded;
  guarded.When(quorate::Compare::Revision(kLock, quorate::Relation::kEqual, fence))
      .Then(quorate::Change::Append(kLog, std::move(line)));
  return client.Execute(guarded);
}

}  // namespace

int main(int argc, char** argv) {
  quorate::Client client({.endpoints = examples::Endpoints(argc, argv)});
  const auto session = client.OpenSession(
      {.ttl = 5s, .on_lost = [] { std::cerr << "the lock may be somebody else's by now\n"; }});
  if (!session) {
    std::cerr << session.error().detail << '\n';
    return 1;
  }
  const auto fence = Acquire(client, *session);
  if (!fence) {
    std::cerr << fence.error().detail << '\n';
    return 1;
  }
  std::cout << "holding the lock, fencing token " << *fence << '\n';
  const auto held = Write(client, *fence, "while held\n");
  std::cout << "write while held: " << (held && held->succeeded ? "done" : "refused") << '\n';
  const auto closed = client.CloseSession(*session);
  std::cout << "released: " << (closed ? "yes" : closed.error().detail) << '\n';
  const auto late = Write(client, *fence, "too late\n");
  std::cout << "write after release: " << (late && late->succeeded ? "done" : "refused") << '\n';
  return held && held->succeeded && late && !late->succeeded ? 0 : 1;
}
