// One node's disk: what was written, and what would survive a power cut.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "tests/sim/random.h"

namespace quorate::sim {

struct DiskPlan {
  std::size_t page_bytes = 4096;  // what tears: 512 or 4096
  SimTime sync_min{100};
  SimTime sync_max{1'000};
  double slow_chance = 0;  // of a sync that takes up to slow_max
  SimTime slow_max{300'000};
  // Pages written and not synced when the process dies stay readable but are skipped by later
  // syncs, unless written again: what a failed write-back leaves behind (D4, "opening trusts
  // nothing in the page cache").
  bool forgets_unsynced = false;
};

// Files and directory entries in two images, written and durable. Reads see the written one. A sync
// takes virtual time and counts only at its end; syncs of one disk end in the order in which they
// began. The file systems that matter journal their metadata in order, so a power cut keeps a
// prefix of the unsynced changes of each directory; pages of unsynced data survive in any
// combination.
//
// Every call belongs to some work: Begin(now), calls, End(). Time passes inside the work, not for
// the rest of the world.
class VirtualDisk : public storage::FileSystem {
 public:
  VirtualDisk(const DiskPlan& plan, Random random) : plan_(plan), random_(random) {}

  void Begin(SimTime now);
  SimTime End();  // when the work is done

  // The process died; the machine goes on, and so do syncs under way. Locks are released by their
  // owners.
  void KillProcess(SimTime now);
  // The machine died: keeps what was synced, and a random part of the rest.
  void CutPower(SimTime now);
  void Wipe();

  // --- What goes wrong.
  // The next write puts a part of its bytes into the page cache and fails (EIO).
  void FailNextWrite() { write_fails_ = true; }
  // The next sync of a file fails. Its pages are clean from then on, and read back fine for as long
  // as the machine runs, yet no later sync writes them: what Linux does (fsyncgate).
  void FailNextSync() { sync_fails_ = true; }
  // How many calls have failed so.
  std::uint64_t failures() const { return failures_; }
  // Room for this much more than there is now, until FreeUp(). Files that grow and new names take
  // room; writing in place does not.
  void FillUp(std::uint64_t room) { capacity_ = UsedBytes() + room; }
  void FreeUp() { capacity_ = UINT64_MAX; }
  // From now on nothing fails or takes long, and there is room.
  void Heal();
  // How many calls have been refused for lack of room.
  std::uint64_t refusals() const { return refusals_; }
  // Flips one bit of a durable byte, of a machine that is off: any file, any byte. Returns where;
  // nothing if there is no byte.
  std::optional<std::string> Rot();

  // Until further notice the first sync of each piece of work takes this much longer.
  void SetExtraDelay(SimTime delay) { extra_delay_ = delay; }
  // When the last sync so far begins, and when it will have taken effect.
  SimTime last_sync_begin() const { return last_sync_begin_; }
  SimTime last_sync_end() const { return last_sync_end_; }
  // Bytes written to a file whose name ends so, and not covered by any sync, finished or under way.
  bool HasUnsyncedWrites(std::string_view name_end) const;
  // Syncs return success and do nothing: a control for the checkers.
  void BreakSyncs() { syncs_broken_ = true; }

  storage::Result<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                       storage::OpenMode mode) override;
  storage::Result<bool> Exists(const std::string& path) override;
  storage::Result<std::vector<std::string>> List(const std::string& directory) override;
  storage::Status CreateDirectory(const std::string& path) override;
  storage::Status Rename(const std::string& from, const std::string& to) override;
  storage::Status Remove(const std::string& path) override;
  storage::Status RemoveDirectory(const std::string& path) override;
  storage::Result<std::uint64_t> FreeBytes(const std::string& path) override;
  storage::Status SyncDirectory(const std::string& path) override;
  storage::Result<std::unique_ptr<storage::FileLock>> Lock(const std::string& path) override;

 private:
  friend class VirtualFile;

  // A page, or the size, as one write left it. Work runs ahead of the world's clock: a crash before
  // `at` undoes it.
  struct Version {
    std::uint64_t sequence = 0;
    SimTime at{0};
    std::string content;     // of a page
    std::uint64_t size = 0;  // of the file
    bool forgotten = false;  // later syncs do not cover it
  };
  using Versions =
      std::vector<Version>;  // oldest first; older than the last durable one are dropped
  struct Inode {
    std::string written;
    std::string durable;
    std::map<std::uint64_t, Versions> pages;
    Versions sizes;
    std::uint64_t last_write = 0;  // sequence
    std::uint64_t last_sync = 0;   // sequence of the last write that some sync covers
  };
  using InodePtr = std::shared_ptr<Inode>;
  // Sets or clears names; a rename does both at once.
  struct NameChange {
    SimTime at{0};
    std::vector<std::pair<std::string, InodePtr>> names;
  };
  struct PendingSync {
    SimTime begin;
    SimTime end;
    InodePtr file;             // null: a directory sync
    std::uint64_t covers = 0;  // writes up to this sequence
    std::string directory;
    std::size_t changes = 0;  // of the directory, oldest first
  };

  void Settle(SimTime now);
  // Undoes what work in progress has done ahead of the clock.
  void UndoAfter(SimTime now);
  void UndoWritesAfter(Inode& file, SimTime now);
  void UndoNamesAfter(SimTime now);
  void FinishFileSync(Inode& file, std::uint64_t covers);
  void PersistNames(const std::string& directory, std::size_t changes);
  static void Apply(const NameChange& change, std::map<std::string, InodePtr>& names);
  storage::Status SyncFile(const InodePtr& file);
  void AdvanceForChange();
  void BeginSync(PendingSync sync);
  void ChangeNames(const std::string& directory,
                   std::vector<std::pair<std::string, InodePtr>> names);
  storage::Status CreateName(const std::string& path, InodePtr inode);
  void TearFile(Inode& file);
  void DropOrphans();
  storage::Status WriteFile(Inode& file, std::uint64_t offset, std::string_view data);
  void PutWrite(Inode& file, std::uint64_t offset, std::string_view data);
  std::uint64_t UsedBytes() const;
  // Of byte number `at` of all durable files; nothing if it is zero and need not be hit.
  std::optional<std::string> FlipBit(std::uint64_t at, bool even_zero);
  // Fails if `bytes` more do not fit.
  storage::Status TakeRoom(std::uint64_t bytes);
  // Later syncs do not cover what is unsynced now and not covered by one under way.
  void ForgetUnsynced(const InodePtr& file);
  std::string PageOf(const std::string& data, std::uint64_t page) const;
  void PutPage(std::string& data, std::uint64_t page, const std::string& content) const;

  DiskPlan plan_;
  Random random_;
  SimTime cursor_{0};  // of the work in progress
  // Of the last change. Work of several lanes runs ahead of the clock by different amounts; changes
  // queue behind each other all the same, so that what came first in the program came first in
  // time.
  SimTime last_change_{0};
  SimTime last_sync_begin_{0};
  SimTime last_sync_end_{0};
  std::uint64_t sequence_ = 0;
  SimTime extra_delay_{0};
  SimTime extra_left_{0};  // of the work in progress
  bool syncs_broken_ = false;
  bool write_fails_ = false;
  bool sync_fails_ = false;
  std::uint64_t failures_ = 0;
  std::uint64_t capacity_ = UINT64_MAX;
  std::uint64_t refusals_ = 0;

  std::map<std::string, InodePtr> written_names_;
  std::map<std::string, InodePtr> durable_names_;
  std::map<std::string, std::deque<NameChange>> unsynced_names_;  // by directory, oldest first
  std::deque<PendingSync> pending_;
  std::shared_ptr<std::set<std::string>> locks_ = std::make_shared<std::set<std::string>>();
};

}  // namespace quorate::sim
