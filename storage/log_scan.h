// Reading a log's files without changing anything: what recovery begins with, and all that may be
// done to a log that is damaged or in use.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "storage/file_system.h"
#include "storage/record.h"
#include "storage/replay.h"
#include "storage/result.h"
#include "storage/segment.h"

namespace quorate::storage {

// Why a log cannot be used.
struct LogDamage {
  ErrorCode code = ErrorCode::kCorrupt;  // kMismatch: written by a newer version
  Place place;
  std::string what;
};

// A segment file, as found.
struct FoundSegment {
  Segment segment;                      // without a file if that cannot be opened
  std::optional<SegmentHeader> header;  // nothing: it is damaged
  Place previous_end;                   // where the segment before it ends, as the header says
  std::uint64_t size = 0;               // of the file
};

class LogScan {
 public:
  // Sees every record that is read, in order. Its payload is valid during the call only.
  using OnRecord = std::function<void(Place, const LogRecord&)>;

  // `mode` is that of the segments' files: recovery goes on to write to them.
  LogScan(FileSystem& files, std::string directory, OpenMode mode, OnRecord on_record = nullptr);

  // Reads all there is, up to the first damage. An error only if files cannot be read at all;
  // kNotFound: there is no segment.
  Status Run();

  const std::optional<LogDamage>& damage() const { return damage_; }
  // The damage, as an operator should hear of it.
  Error DamageError() const;

  // All that have a name, ascending; also those behind the damage, and in front those that no
  // longer count: a crash cut their removal short.
  std::vector<FoundSegment>& segments() { return segments_; }
  // Number in segments() of the first that counts: the log begins there, or was cut there. A cut
  // that a crash interrupted may have left others, at whose beginning the log cannot start.
  std::size_t first() const { return first_; }
  // What was read adds up to this. Nothing if not even the first segment's header is valid.
  const std::optional<Replay>& replay() const { return replay_; }
  Place end() const { return end_; }  // of what was read
  // Behind a torn tail: valid records that do not count, and the bytes from its first bad one to
  // the end of the last of those.
  std::uint64_t cut_records() const { return cut_records_; }
  std::uint64_t cut_bytes() const { return cut_bytes_; }

 private:
  Status FindSegments();
  Result<FoundSegment> Find(std::uint32_t sequence);
  std::size_t FindFirst() const;
  void CheckHeaders();
  std::optional<LogDamage> CheckHeader(std::size_t number) const;
  Status ReadSegments();
  Status ReadRecords(RecordReader& reader, std::size_t number);
  Status ReadWhole(std::size_t number, std::uint64_t end);
  Status ReadLast(std::size_t number);
  void SetDamage(Place place, std::string what, ErrorCode code = ErrorCode::kCorrupt);

  FileSystem& files_;
  const std::string directory_;
  const OpenMode mode_;
  const OnRecord on_record_;
  std::vector<FoundSegment> segments_;
  std::size_t first_ = 0;
  std::size_t usable_end_ = 0;  // the first behind first_ whose header is damaged, or the end
  std::optional<Replay> replay_;
  std::optional<LogDamage> damage_;
  Place end_;
  std::uint64_t cut_records_ = 0;
  std::uint64_t cut_bytes_ = 0;
};

}  // namespace quorate::storage
