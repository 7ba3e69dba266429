#include "jepsen/check/readers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace quorate::check {
namespace {

constexpr std::size_t kLookedAt = 4096;

enum class Seen { kNothing, kJson, kEdn, kLog, kOther };

// What the first bytes are: JSON lines begin with {", EDN with a bracket, a comment or a tag, logs
// with their level.
Seen Recognise(std::string_view text) {
  std::size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  at = text.find_first_not_of(" \t\r\n,", at);
  if (at == std::string_view::npos) return Seen::kNothing;
  text.remove_prefix(at);
  if (text.starts_with("INFO") || text.starts_with("WARN") || text.starts_with("DEBUG")) {
    return Seen::kLog;
  }
  if (text.starts_with('{')) {
    const std::size_t inner = text.find_first_not_of(" \t\r\n", 1);
    return inner == std::string_view::npos || text[inner] == '"' ? Seen::kJson : Seen::kEdn;
  }
  return std::string_view("[(;#").find(text.front()) != std::string_view::npos ? Seen::kEdn
                                                                               : Seen::kOther;
}

void SkipMark(ByteStream& stream) {
  if (stream.Ahead(3) != "\xef\xbb\xbf") return;
  for (int i = 0; i < 3; ++i) stream.Get();
}

void ApplyOptions(const ReadOptions& options, History& history) {
  if (options.model != Model::kUnknown) history.model = options.model;
  if (!options.initial) return;
  const std::string& text = *options.initial;
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text == "nil") {
    history.initial = kNil;
  } else if (error == std::errc() && stop == text.data() + text.size()) {
    history.initial = history.values.Number(number);
  } else {
    history.initial = history.values.Text(text);
  }
}

ReadResult ReadRecognised(ByteStream& stream, const ReadOptions& options) {
  switch (Recognise(stream.Ahead(kLookedAt))) {
    case Seen::kNothing:
      if (!stream.error().empty()) return Malformed(0, stream.error());
      return ReadError{
          ReadError::Kind::kEmpty, {}, 0, "the file is empty: there is nothing to check"};
    case Seen::kJson:
      SkipMark(stream);
      return ReadQuorate(stream, options);
    case Seen::kEdn:
      SkipMark(stream);
      return ReadEdn(stream, options);
    case Seen::kLog:
      SkipMark(stream);
      return ReadEtcdLog(stream, options);
    case Seen::kOther:
      break;
  }
  return Malformed(1,
                   "neither a history in JSON lines (jepsen/FORMAT.md), nor EDN, nor a log of "
                   "Jepsen's");
}

}  // namespace

std::string ReadError::Show() const {
  return file + (line > 0 ? ':' + std::to_string(line) : "") + ": " + message;
}

ReadResult ReadStream(ByteStream& stream, const std::string& name, const ReadOptions& options) {
  ReadResult result = ReadRecognised(stream, options);
  if (auto* error = std::get_if<ReadError>(&result)) {
    error->file = name;
    return result;
  }
  History& history = std::get<History>(result);
  history.file = name;
  ApplyOptions(options, history);
  if (history.model == Model::kUnknown) {
    ReadError error = Malformed(
        0, "the history does not name a known model: use --model with one of " + ModelNames());
    error.file = name;
    return error;
  }
  return result;
}

ReadResult ReadFile(const std::string& path, const ReadOptions& options) {
  const auto cannot = [&](const std::string& why) {
    return ReadError{ReadError::Kind::kCannotOpen, path, 0, why};
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return cannot(std::string("cannot open: ") + std::strerror(errno));
  struct stat status = {};
  if (::fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
    ::close(descriptor);
    return cannot("is a directory; expected a history (--corpus takes a directory)");
  }
  ByteStream stream(descriptor);
  ReadResult result = ReadStream(stream, path, options);
  ::close(descriptor);
  return result;
}

}  // namespace quorate::check
