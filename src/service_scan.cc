// Scans: pages of one state, held still by a cursor between them.
#include <utility>

#include "src/clock.h"
#include "src/service.h"

namespace quorate::server {
namespace {

constexpr std::size_t kDefaultPageItems = 256;
constexpr std::size_t kMaxPageItems = 10'000;
constexpr std::size_t kMaxCountedPerPage = 100'000;
// A page may go over this by one record, and must still fit into a frame: a client breaks the
// connection over one that does not, and its scan could never get past that point.
constexpr std::size_t kMaxPageBytes = 512 << 10;
constexpr std::size_t kItemOverhead = 32;  // tags, lengths and the index of one item, encoded
static_assert(kMaxPageBytes + wire::kMaxKeyBytes + wire::kMaxValueBytes +
                  kMaxPageItems * kItemOverhead + wire::kMaxHeaderBytes <=
              wire::kMaxClientFrameBytes);
constexpr std::size_t kMaxCountedBytes = 1 << 20;  // nothing of these is sent
constexpr std::size_t kMaxRunning = 8;             // of one connection

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
  if (scan.cursor() != 0 && !session.cursors.contains(scan.cursor())) {
    return Refuse(request, wire::CURSOR_EXPIRED,
                  "the cursor is unknown on this connection: it was not used for 30 s, or is in "
                  "use; start the scan again");
  }
  // A later page is the state of its cursor, whatever has been committed since.
  Read read;
  request.level = Level::kEventual;
  if (scan.cursor() == 0 && !Need(request, scan.freshness(), read.need)) return;
  if (!TakeUp(session, scan.header(), request) || TooManyScans(session, request, scan)) return;
  bool decided = true;
  if (scan.cursor() == 0) decided = in_.replica.DecideRead(read, request.received);
  if (decided && read.refused()) return RefuseRead(request, read);

  ScanWork work = scan.cursor() != 0 ? TakeCursor(session, scan.cursor(), read) : FirstPage(scan);
  Ticket ticket = 0;
  ++session.scans_running;
  Pending& pending = WaitRead(session, std::move(request), read, ticket);
  pending.scan = std::make_unique<ScanWork>(std::move(work));
  if (decided) return RunScan(ticket);
  Ask(pending);
}

bool Service::TooManyScans(const ClientSession& session, const Request& request,
                           const wire::ScanRequest& scan) {
  const std::size_t open = session.cursors.size() + session.scans_running;
  const bool new_one = scan.cursor() == 0 && open >= limits_.max_cursors;
  if (!new_one && session.scans_running < kMaxRunning) return false;
  Refuse(request, wire::TOO_MANY,
         fmt::format("{} scans are open on this connection; the limits are {} cursors and {} pages "
                     "at once; finish some",
                     open, limits_.max_cursors, kMaxRunning),
         open, limits_.max_cursors);
  return true;
}

Service::ScanWork Service::TakeCursor(ClientSession& session, std::uint64_t number, Read& read) {
  const auto found = session.cursors.find(number);
  ClientSession::Cursor cursor = std::move(found->second);
  session.cursors.erase(found);
  read = cursor.read;
  return {std::move(cursor.view), std::move(cursor.next), std::move(cursor.last),
          cursor.max_items,       cursor.count_only,      number};
}

// The state stays, and what proves its age grows old with it. A confirmation is an anchor too:
// everything committed before the request arrived is <= its index.
Read Service::ForLaterPages(const Pending& pending) {
  Read read;
  read.need.max_lag = pending.read.need.max_lag;
  read.anchor = pending.read.anchor;
  read.clock = pending.read.clock;
  const Confirmation* confirmed = pending.read.confirmed();
  if (confirmed != nullptr && confirmed->failure == raft::ReadFailure::kNone) {
    read.anchor = raft::Freshness{confirmed->index, pending.request.received};
  }
  return read;
}

Service::ScanWork Service::FirstPage(const wire::ScanRequest& scan) {
  const std::size_t limit = scan.count_only() ? kMaxCountedPerPage : kMaxPageItems;
  const std::size_t usual = scan.count_only() ? kMaxCountedPerPage : kDefaultPageItems;
  return {
      .view = nullptr,
      .first = scan.first(),
      .last = scan.last(),
      .max_items = scan.max_items() == 0 ? usual : std::min<std::size_t>(scan.max_items(), limit),
      .count_only = scan.count_only(),
      .cursor = 0};
}

void Service::RunScan(Ticket ticket) {
  const Pending& pending = *pending_.Find(ticket);
  auto done = std::make_shared<ScanDone>();
  done->view = pending.scan->view;
  RunRead(
      ticket,
      [done, state = in_.replica.shared_state(), first = pending.scan->first,
       last = pending.scan->last, max_items = pending.scan->max_items,
       count_only = pending.scan->count_only] {
        done->read_at = BootTime();
        if (!done->view) {
          // The view keeps its state machine: while that is in use its files stay.
          std::shared_ptr<storage::StateView> view = state->View();
          done->view = {view.get(), [view, state](storage::StateView*) {}};
        }
        const std::size_t max_bytes = count_only ? kMaxCountedBytes : kMaxPageBytes;
        done->page = done->view->Scan(first, last, max_items, max_bytes, count_only);
      },
      [this, done, ticket, session = pending.request.session] {
        if (auto* found = sessions_.Find(session)) --(*found)->scans_running;
        FinishScan(ticket, *done);
      });
}

void Service::FinishScan(Ticket ticket, ScanDone& done) {
  Pending* pending = BackFromDisk(ticket);
  if (pending == nullptr) return;
  const auto* found = sessions_.Find(pending->request.session);
  if (found == nullptr || OutputFull(pending->request)) return Release(ticket);
  ClientSession& session = **found;
  if (!done.page) {
    RefuseUnreadable(pending->request, done.page.error());
    return Release(ticket);
  }
  if (!StillMet(*pending, done.view->at().index, done.read_at)) return;
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
    session.cursors[cursor] = {
        done.view,       std::move(*done.page->next), work.last, work.max_items,
        work.count_only, ForLaterPages(*pending),     BootTime()};
    page.set_cursor(cursor);
  }
  reply_.Clear();
  Certify(pending->request, pending->read, done.read_at, done.view->at());
  reply_.set_found(true);
  AnswerMessage(pending->request, page);
  Release(ticket);
}

}  // namespace quorate::server
