#include "jepsen/workload/workload.h"

#include <algorithm>
#include <array>

namespace quorate::workload {
namespace {

constexpr std::array kKinds = {
    Kind{"register", "register", "writes, deletes and reads of single keys", MakeRegister},
    Kind{"cas", "register", "compare-and-set by value and by revision, and reads", MakeCas},
    Kind{"append", "append", "appends that return what was there before, and reads", MakeAppend},
    Kind{"counter", "counter", "increments and reads", MakeCounter},
    Kind{"set", "set", "keys that are added, and scans", MakeSet},
    Kind{"bank", "bank", "transfers by transaction, and reads of all accounts", MakeBank},
    Kind{"lock", "lock", "a lock that goes with its session; what it protects checks its token",
         MakeLock},
    Kind{"lock-unfenced", "lock",
         "the control: the same lock, and nothing checks its token (must be found invalid)",
         MakeUnfencedLock},
    Kind{"mixed", "register", "all of register and cas on the same few keys", MakeMixed},
};

}  // namespace

std::span<const Kind> Kinds() {
  return kKinds;
}

const Kind* KindNamed(std::string_view name) {
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const Kind& kind) { return kind.name == name; });
  return found == kKinds.end() ? nullptr : &*found;
}

awaitable<void> ReadAll(Worker& worker, std::vector<std::string> keys, Form form) {
  for (const std::string& key : keys) co_await worker.Read(key, form, true);
}

}  // namespace quorate::workload
