// Histories with known verdicts: a directory with a verdicts.txt.
#pragma once

#include <string>
#include <vector>

#include "jepsen/check/check.h"

namespace quorate::check {

struct CorpusEntry {
  std::string file;  // below the directory
  enum class Expected { kValid, kInvalid, kSkip, kNotKnown } expected = Expected::kNotKnown;
  std::string model;  // as verdicts.txt words it
};

struct CorpusOutcome {
  CorpusEntry entry;
  Verdict verdict = Verdict::kUnknown;
  bool skipped = false;
  std::string error;  // it could not be read
  double took_ms = 0;

  bool agrees() const;
};

// verdicts.txt: lines of path, ok | not-ok | SKIP.., model, source, with tabs between; '#' begins a
// comment. Without that file, all files below the directory, with no verdict known. Empty, with
// `error` set, if the directory cannot be read or a line is malformed.
std::vector<CorpusEntry> ReadCorpus(const std::string& directory, std::string& error);

CorpusOutcome CheckEntry(const std::string& directory, const CorpusEntry& entry,
                         const CheckOptions& options);

}  // namespace quorate::check
