// Scans: pages of one state, held still by a cursor between them.
#include <utility>

#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

constexpr std::size_t kDefaultPageItems = 256;
constexpr std::size_t kMaxPageItems = 10'000;
constexpr std::size_t kMaxCountedPerPage = 100'000;
constexpr std::size_t kMaxPageBytes = 1 << 20;
constexpr std::size_t kMaxRunning = 8;  // of one connection

}  // namespace

// What the reading thread brings back.
struct Service::ScanDone {
  std::shared_ptr<storage::StateView> view;
  raft::Time read_at{0};
  storage::Result<storage::StateView::Page> page;
};

void Service::Scan(ClientSession& session, const wire::Frame& frame, Request request) {
  wire::ScanRequest scan;
  if (!scan.ParseFromArray(frame.header.data(), static_cast<int>(frame.header.size()))) {
    return BadFrame(session, wire::FrameStatus::kMalformed, 0);
  }
  if (scan.first().size() > wire::kMaxKeyBytes || scan.last().size() > wire::kMaxKeyBytes) {
    return Refuse(request, wire::TOO_LARGE,
                  fmt::format("the ends of a range may have {} bytes", wire::kMaxKeyBytes),
                  std::max(scan.first().size(), scan.last().size()), wire::kMaxKeyBytes);
  }
  auto work = std::make_unique<ScanWork>();
  FreshnessNeed need;
  const auto cursor = session.cursors.find(scan.cursor());
  if (scan.cursor() != 0) {
    if (cursor == session.cursors.end()) {
      return Refuse(request, wire::CURSOR_EXPIRED,
                    "the cursor is unknown on this connection: it was not used for 30 s, or is in "
                    "use; start the scan again");
    }
  } else {
    const auto asked = Need(request, scan.freshness());
    if (!asked) return;
    need = *asked;
  }
  request.level = need.level;
  if (!TakeUp(session, scan.header(), request)) return;
  if (session.scans_running >= kMaxRunning ||
      (scan.cursor() == 0 &&
       session.cursors.size() + session.scans_running >= limits_.max_cursors)) {
    return Refuse(request, wire::TOO_MANY,
                  fmt::format("{} scans are open on this connection; the limits are {} cursors and "
                              "{} pages at once; finish some",
                              session.cursors.size() + session.scans_running, limits_.max_cursors,
                              kMaxRunning),
                  session.cursors.size() + session.scans_running, limits_.max_cursors);
  }
  if (scan.cursor() != 0) {
    ClientSession::Cursor& at = cursor->second;
    *work = {std::move(at.view), std::move(at.next), std::move(at.last),
             at.max_items,       at.count_only,      scan.cursor()};
    session.cursors.erase(cursor);
  } else {
    if (need.level != Level::kStrong && !ServableNow(request, need)) return;
    const std::size_t limit = scan.count_only() ? kMaxCountedPerPage : kMaxPageItems;
    const std::size_t usual = scan.count_only() ? kMaxCountedPerPage : kDefaultPageItems;
    work->first = scan.first();
    work->last = scan.last();
    work->max_items =
        scan.max_items() == 0 ? usual : std::min<std::size_t>(scan.max_items(), limit);
    work->count_only = scan.count_only();
  }
  Ticket ticket = 0;
  ++session.scans_running;
  Pending& pending = Wait(session, std::move(request), ticket);
  pending.min_index = need.min_index;
  pending.scan = std::move(work);
  if (need.level == Level::kStrong) return in_.replica.StrongRead(ticket);
  RunScan(ticket);
}

void Service::RunScan(Ticket ticket) {
  const Pending& pending = *pending_.Find(ticket);
  auto done = std::make_shared<ScanDone>();
  done->view = pending.scan->view;
  in_.loop.RunOn(
      Lane::kRead,
      [done, &state = in_.replica.state(), first = pending.scan->first, last = pending.scan->last,
       max_items = pending.scan->max_items, count_only = pending.scan->count_only] {
        done->read_at = BootTime();
        if (!done->view) done->view = state.View();
        done->page = done->view->Scan(first, last, max_items, kMaxPageBytes, count_only);
      },
      [this, done, ticket] { FinishScan(ticket, *done); });
}

void Service::FinishScan(Ticket ticket, ScanDone& done) {
  Pending* pending = pending_.Find(ticket);
  if (pending == nullptr) return;  // its deadline has passed
  const auto* found = sessions_.Find(pending->request.session);
  if (found == nullptr || OutputFull(pending->request)) return Release(ticket);
  ClientSession& session = **found;
  if (!done.page) {
    Refuse(pending->request, wire::INTERNAL,
           "the state machine could not be read: " + done.page.error().message);
    return Release(ticket);
  }
  wire::ScanPage page;
  page.set_count(done.page->count);
  for (storage::StateView::Item& item : done.page->items) {
    auto* out = page.add_items();
    out->set_key(std::move(item.key));
    out->set_mod_index(item.record.mod_index);
    out->set_value(std::move(item.record.value));
  }
  if (done.page->next) {
    const ScanWork& work = *pending->scan;
    const std::uint64_t cursor = work.cursor != 0 ? work.cursor : next_cursor_++;
    session.cursors[cursor] = {done.view,       std::move(*done.page->next),
                               work.last,       work.max_items,
                               work.count_only, BootTime()};
    page.set_cursor(cursor);
  }
  reply_.Clear();
  Certify(pending->request, pending->grant, done.read_at, done.view->at());
  reply_.set_found(true);
  AnswerMessage(pending->request, page);
  Release(ticket);
}

}  // namespace quorate::server
