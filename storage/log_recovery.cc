#include "storage/log_recovery.h"

#include <algorithm>
#include <utility>

#include "storage/log_scan.h"

namespace quorate::storage {
namespace {

constexpr std::uint64_t kRewriteChunkBytes = 1 << 20;

class Recovery {
 public:
  Recovery(FileSystem& files, const std::string& directory, raft::Control control)
      : files_(files),
        directory_(directory),
        control_(control),
        scan_(files, directory, OpenMode::kReadWrite) {}

  Result<RecoveredLog> Run() {
    QUORATE_RETURN_IF_ERROR(scan_.Run());
    if (scan_.damage()) return tl::make_unexpected(scan_.DamageError());
    QUORATE_RETURN_IF_ERROR(RemovePrepared(files_, directory_));
    QUORATE_RETURN_IF_ERROR(FinishTail());
    QUORATE_RETURN_IF_ERROR(RemoveDead());
    Report();
    return std::move(out_);
  }

 private:
  // Makes the last segment on the disk what was read from it: records up to `end`, then zeros as
  // far as an interrupted write may have reached.
  Status FinishTail() {
    const FoundSegment& last = scan_.segments().back();
    File& file = *last.segment.file;
    const Place durable = scan_.replay()->synced_to();
    const std::uint64_t begin = durable.segment == scan_.end().segment ? durable.offset : 0;
    const std::uint64_t end = scan_.end().offset;
    const std::uint64_t zeros_end = std::max(end, std::min(end + kMaxUnsyncedBytes, last.size));
    out_.recovery.rewritten_bytes = end - begin;
    QUORATE_RETURN_IF_ERROR(WriteZeros(file, end, zeros_end));
    if (raft::Broken(control_, raft::Control::kTrustPageCache)) return {};
    QUORATE_RETURN_IF_ERROR(Rewrite(file, begin, end));
    QUORATE_RETURN_IF_ERROR(file.Sync());
    return files_.SyncDirectory(directory_);
  }

  // A crash cut their removal short.
  Status RemoveDead() {
    if (scan_.first() == 0) return {};
    for (std::size_t i = 0; i < scan_.first(); ++i) {
      const std::uint32_t sequence = scan_.segments()[i].segment.sequence;
      QUORATE_RETURN_IF_ERROR(RemoveSegment(files_, directory_, sequence));
      QUORATE_RETURN_IF_ERROR(files_.SyncDirectory(directory_));
    }
    return {};
  }

  void Report() {
    const Replay& replay = *scan_.replay();
    LogRecovery& recovery = out_.recovery;
    recovery.hard_state = replay.hard_state();
    recovery.contents = replay.contents();
    recovery.base_configuration = replay.configurations().base();
    recovery.configurations = replay.configurations().changes();
    recovery.cut_bytes = scan_.cut_bytes();
    recovery.cut_records = scan_.cut_records();
    recovery.clean_shutdown = replay.clean() && scan_.cut_records() == 0;
    out_.index = replay.index();
    out_.configurations = replay.configurations();
    out_.begun = scan_.segments().back().header->start;
    out_.end = scan_.end();
    for (std::size_t i = scan_.first(); i < scan_.segments().size(); ++i) {
      if (i > scan_.first()) {
        out_.segments.back().end = scan_.segments()[i].previous_end.offset;
      }
      out_.segments.push_back(std::move(scan_.segments()[i].segment));
    }
    out_.segments.back().end = out_.end.offset;
  }

  static Status Rewrite(File& file, std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t at = begin; at < end; at += kRewriteChunkBytes) {
      const Result<std::string> bytes = file.Read(at, std::min(kRewriteChunkBytes, end - at));
      if (!bytes) return Forward(bytes);
      QUORATE_RETURN_IF_ERROR(file.Write(at, *bytes));
    }
    return {};
  }

  FileSystem& files_;
  const std::string& directory_;
  const raft::Control control_;
  LogScan scan_;
  RecoveredLog out_;
};

}  // namespace

Result<RecoveredLog> RecoverLog(FileSystem& files, const std::string& directory,
                                raft::Control control) {
  return Recovery(files, directory, control).Run();
}

}  // namespace quorate::storage
