// The formats that `import` reads.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bulk_writer.h"

namespace quorate::tools {

enum class ImportFormat {
  kDebian,  // stanzas between blank lines; the key is the field Package, the value the whole stanza
  kLines,   // key, tab, value; escapes as in the output of `scan`
  kJsonLines,  // objects with key and value, or key_base64 and value_base64
};

// Reads line by line; holds no more than one record and one line.
class RecordReader {
 public:
  // Does not own `file`.
  RecordReader(std::FILE* file, ImportFormat format) : file_(file), format_(format) {}

  // False at the end. Records that make no sense are skipped and counted.
  bool Next(Record& record);

  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t skipped() const { return skipped_; }
  // Of the first one skipped: "line 12: ..."
  const std::string& first_problem() const { return first_problem_; }

 private:
  static constexpr std::size_t kMaxLineBytes = std::size_t{8} << 20;

  // Without its line end. False at the end of the file.
  bool ReadLine(std::string& line);
  bool NextStanza(Record& record);
  bool ParseLine(std::string_view line, Record& record);
  bool ParseJson(std::string_view line, Record& record);
  bool Skip(std::string_view why);

  std::FILE* file_;
  ImportFormat format_;
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t line_number_ = 0;
  std::uint64_t skipped_ = 0;
  std::string first_problem_;
  std::string line_;
};

}  // namespace quorate::tools
