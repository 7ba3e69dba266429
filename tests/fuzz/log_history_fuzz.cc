// Logs as a writer leaves them: the input is a list of steps, each a byte and its arguments. So
// most inputs are logs that must open, and the others are damaged in one place or hold one odd
// record.
#include <algorithm>
#include <utility>

#include "raft/assert.h"
#include "storage/configuration_history.h"
#include "storage/little_endian.h"
#include "tests/fuzz/log_check.h"
#include "tests/fuzz/segment_builder.h"
#include "tests/fuzz/target.h"

namespace quorate::fuzz {
namespace {

using storage::RecordType;
using storage::SegmentHeader;

constexpr std::size_t kMaxSegments = 6;
constexpr std::size_t kMaxSegmentBytes = 16 << 10;

// What a step is, by its byte modulo kSteps.
enum Step : std::uint8_t {
  kEntry,        // bytes u8
  kReplacement,  // how many entries it replaces u8 | bytes u8
  kConfiguration,
  kHardState,  // terms u8 | vote u8
  kSync,
  kNextSegment,
  kReset,  // entries skipped u8
  kClean,
  kOdd,     // a record of any type and content: type u8 | bytes u8 | payload
  kDamage,  // of the segment so far: offset u16 | xor u8
  kSteps
};

class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  std::uint8_t Byte() { return TakeInt<std::uint8_t>(); }
  std::uint16_t Short() { return TakeInt<std::uint16_t>(); }
  std::string_view Take(std::size_t size) {
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(taken.size());
    return taken;
  }

 private:
  template <typename T>
  T TakeInt() {
    if (bytes_.size() < sizeof(T)) {
      bytes_ = {};
      return 0;
    }
    return storage::LoadInt<T>(Take(sizeof(T)));
  }

  std::string_view bytes_;
};

class Writer {
 public:
  Writer() : builder_(1, Header(), {}) {}

  void Run(Input& input) {
    while (!input.empty() && !over_ && builder_.bytes().size() < kMaxSegmentBytes) Do(input);
    Finish();
  }

  const Segments& segments() const { return segments_; }
  // Nothing was damaged or odd: the log must open.
  bool sound() const { return sound_; }

 private:
  void Do(Input& input) {
    switch (input.Byte() % kSteps) {
      case kEntry:
        return AddEntry(raft::EntryKind::kCommand, std::string(input.Byte(), 'e'));
      case kReplacement:
        return Replace(input.Byte(), input.Byte());
      case kConfiguration:
        return AddConfiguration();
      case kHardState:
        hard_state_.term += input.Byte();
        hard_state_.vote = input.Byte();
        return builder_.Add(hard_state_);
      case kSync:
        return builder_.Sync();
      case kNextSegment:
        return StartSegment();
      case kReset:
        return Reset(input.Byte());
      case kClean:
        builder_.AddClean();
        over_ = true;
        return;
      case kOdd:
        return AddOdd(input);
      default:
        return Damage(input.Short(), input.Byte());
    }
  }

  SegmentHeader Header() const {
    SegmentHeader header;
    header.hard_state = hard_state_;
    header.last = last_;
    header.start = start_;
    header.configuration = configurations_.InForce();
    return header;
  }

  void AddEntry(raft::EntryKind kind, const std::string& data) {
    last_ = {last_.index + 1, std::max(last_.term, hard_state_.term)};
    terms_.push_back(last_.term);
    builder_.Add(raft::Entry{last_.term, last_.index, kind, Bytes::Copy(data)});
  }

  void AddConfiguration() {
    raft::Configuration configuration = configurations_.InForce();
    configuration.incarnation = last_.index;
    AddEntry(raft::EntryKind::kConfiguration, configuration.Encode());
    configurations_.Add(last_.index, std::move(configuration));
  }

  void Replace(std::size_t count, std::size_t bytes) {
    count = std::min(count, terms_.size());
    terms_.resize(terms_.size() - count);
    last_ = {last_.index - count, terms_.empty() ? start_.term : terms_.back()};
    configurations_.Truncate(last_.index + 1);
    AddEntry(raft::EntryKind::kCommand, std::string(bytes, 'r'));
  }

  void StartSegment() {
    if (segments_.size() + 1 == kMaxSegments) return;
    Finish();
    builder_ =
        SegmentBuilder(static_cast<std::uint32_t>(segments_.size()) + 1, Header(), builder_.end());
  }

  void Reset(std::size_t skipped) {
    if (segments_.size() + 1 == kMaxSegments) return;
    start_ = last_ = {last_.index + skipped, std::max(last_.term, hard_state_.term)};
    hard_state_.term = last_.term;
    terms_.clear();
    configurations_ = storage::ConfigurationHistory(configurations_.InForce());
    StartSegment();
  }

  void AddOdd(Input& input) {
    const auto type = static_cast<RecordType>(input.Byte());
    builder_.Add(type, builder_.end(), input.Take(input.Byte()));
    sound_ = false;
  }

  void Damage(std::size_t offset, std::uint8_t change) {
    builder_.Damage(offset, change);
    sound_ = false;
  }

  void Finish() {
    builder_.Sync();
    segments_[static_cast<std::uint32_t>(segments_.size()) + 1] = builder_.bytes();
  }

  storage::ConfigurationHistory configurations_{raft::Configuration::Bootstrap({{1, {}, "a:1"}})};
  raft::HardState hard_state_;
  raft::Position start_;
  raft::Position last_;
  std::vector<raft::Term> terms_;  // of the entries from start_ on
  SegmentBuilder builder_;
  Segments segments_;
  bool sound_ = true;
  bool over_ = false;
};

std::string Steps(std::initializer_list<int> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

void RunOne(std::string_view bytes) {
  Input input(bytes);
  Writer writer;
  writer.Run(input);
  const bool opens = CheckLog(writer.segments());
  QUORATE_ASSERT(opens || !writer.sound(), "a log that was only written opens");
}

std::vector<std::string> Seeds() {
  return {
      Steps({kHardState, 1, 1, kSync, kEntry, 0, kEntry, 50, kSync, kConfiguration, kClean}),
      Steps({kHardState, 1, 1,     kEntry, 9,  kEntry, 9,  kSync,   kHardState, 2, 0, kReplacement,
             1,          9, kSync, kEntry, 30, kEntry, 30, kDamage, 40,         1, 1}),
      Steps({kHardState,
             3,
             2,
             kEntry,
             1,
             kSync,
             kNextSegment,
             kEntry,
             1,
             kReplacement,
             2,
             8,
             kSync,
             kNextSegment,
             kEntry,
             200,
             kConfiguration,
             kSync,
             kEntry,
             200}),
      Steps({kEntry, 1, kSync, kReset, 20, kEntry, 4, kEntry, 4, kSync, kNextSegment, kReset, 0,
             kHardState, 1, 1, kEntry, 1, kClean}),
      Steps({kEntry, 1, kSync, kOdd, 2, 4, 'o', 'd', 'd', '!', kEntry, 7, kSync, kEntry, 8}),
  };
}

}  // namespace quorate::fuzz
