// Multi-gets: several keys at one index.
#include <utility>

#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

// So many are looked up on the loop, if they are in memory.
constexpr int kMaxKeysOnLoop = 32;

std::size_t KeyBytes(const wire::MultiGetRequest& request) {
  std::size_t bytes = 0;
  for (const std::string& key : request.keys()) bytes += key.size();
  return bytes;
}

void AddItem(wire::ScanPage& page, const std::string& key, storage::Record& record) {
  wire::ScanPage::Item& item = *page.add_items();
  item.set_key(key);
  item.set_mod_index(record.mod_index);
  item.set_value(std::move(record.value));
  page.set_count(page.count() + 1);
}

}  // namespace

// What the reading thread brings back.
struct Service::MultiGetDone {
  raft::Time read_at{0};
  raft::Position at;
  wire::ScanPage page;
  std::size_t bytes = 0;
  storage::Status status;
};

bool Service::ValidKeys(const Request& request, const wire::MultiGetRequest& asked) {
  const auto count = static_cast<std::size_t>(asked.keys_size());
  if (count == 0) {
    Refuse(request, wire::INVALID, "a multi-get names at least one key");
    return false;
  }
  if (count > wire::kMaxMultiGetKeys) {
    Refuse(request, wire::TOO_LARGE,
           fmt::format("{} keys; a multi-get takes up to {}", count, wire::kMaxMultiGetKeys), count,
           wire::kMaxMultiGetKeys);
    return false;
  }
  for (const std::string& key : asked.keys()) {
    if (!ValidKey(request, key)) return false;
  }
  const std::size_t bytes = KeyBytes(asked);
  return bytes <= wire::kMaxMultiGetBytes || RefuseTooMuch(request, bytes);
}

bool Service::RefuseTooMuch(const Request& request, std::size_t bytes) {
  Refuse(request, wire::TOO_LARGE,
         fmt::format("keys and values come to {} bytes or more; the limit of one multi-get is {}: "
                     "ask for fewer keys at once",
                     bytes, wire::kMaxMultiGetBytes),
         bytes, wire::kMaxMultiGetBytes);
  return false;
}

void Service::MultiGet(ClientSession& session, const wire::Frame& frame, Request request) {
  auto asked = std::make_shared<wire::MultiGetRequest>();
  if (!asked->ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  Read read;
  if (!ValidKeys(request, *asked) || !Need(request, asked->freshness(), read.need) ||
      !TakeUp(session, asked->header(), request)) {
    return;
  }
  const bool decided = in_.replica.DecideRead(read, request.received);
  if (decided && read.refused()) return RefuseRead(request, read);
  if (decided && MultiGetFromMemory(request, *asked, read)) return;
  Ticket ticket = 0;
  Pending& pending = WaitRead(session, std::move(request), read, ticket);
  pending.keys = std::move(asked);
  if (decided) return ReadKeysFromDisk(ticket);
  Ask(pending);
}

void Service::RunMultiGet(Ticket ticket) {
  const Pending& pending = *pending_.Find(ticket);
  if (!MultiGetFromMemory(pending.request, *pending.keys, pending.read)) {
    return ReadKeysFromDisk(ticket);
  }
  Release(ticket);
}

// Each key on its own, which is the state of one index if nothing was applied in between. False: it
// was, or a key needs the disk.
bool Service::MultiGetFromMemory(const Request& request, const wire::MultiGetRequest& asked,
                                 const Read& read) {
  if (asked.keys_size() > kMaxKeysOnLoop) return false;
  MultiGetDone done;
  done.read_at = read.judged;
  for (const std::string& key : asked.keys()) {
    auto outcome = in_.replica.state().Get(key, storage::StateMachine::Cost::kMemoryOnly);
    if (!outcome) {
      RefuseUnreadable(request, outcome.error());
      return true;
    }
    if (!*outcome) return false;
    storage::ReadOutcome& found = **outcome;
    if (&key != &asked.keys(0) && found.at != done.at) return false;
    done.at = found.at;
    done.bytes += key.size();
    if (!found.record) continue;
    done.bytes += found.record->value.size();
    AddItem(done.page, key, *found.record);
  }
  if (!OutputFull(request)) AnswerKeys(request, read, done);
  return true;
}

void Service::ReadKeysFromDisk(Ticket ticket) {
  auto done = std::make_shared<MultiGetDone>();
  RunRead(
      ticket,
      [done, keys = pending_.Find(ticket)->keys, state = in_.replica.shared_state()] {
        done->read_at = BootTime();
        const std::unique_ptr<storage::StateView> view = state->View();
        done->at = view->at();
        for (const std::string& key : keys->keys()) {
          if (done->bytes > wire::kMaxMultiGetBytes) return;
          // Up to the first key behind it: itself, if it is there.
          auto page = view->Scan(key, key + '\0', 1, wire::kMaxValueBytes, /*count_only=*/false);
          if (!page) {
            done->status = tl::make_unexpected(page.error());
            return;
          }
          done->bytes += key.size();
          if (page->items.empty()) continue;
          done->bytes += page->items.front().record.value.size();
          AddItem(done->page, key, page->items.front().record);
        }
      },
      [this, done, ticket] {
        Pending* pending = BackFromDisk(ticket);
        if (pending == nullptr) return;
        if (!done->status) {
          RefuseUnreadable(pending->request, done->status.error());
        } else if (!OutputFull(pending->request)) {
          if (!StillMet(*pending, done->at.index, done->read_at)) return;
          AnswerKeys(pending->request, pending->read, *done);
        }
        Release(ticket);
      });
}

void Service::AnswerKeys(const Request& request, const Read& read, const MultiGetDone& done) {
  if (done.bytes > wire::kMaxMultiGetBytes) {
    RefuseTooMuch(request, done.bytes);
    return;
  }
  reply_.Clear();
  Certify(request, read, done.read_at, done.at);
  reply_.set_found(done.page.items_size() > 0);
  AnswerMessage(request, done.page);
}

}  // namespace quorate::server
