// The small files of a data directory: IDENTITY, CURRENT, QUARANTINED.
//
// Input: a byte of flags, then IDENTITY and CURRENT, each preceded by its length, u8; what is left
// is QUARANTINED, which is there if it is not empty. Flags: 1, 2: the checksum of IDENTITY, of
// CURRENT is put right.
#include <cstdio>
#include <limits>
#include <utility>

#include "raft/assert.h"
#include "storage/crc32c.h"
#include "storage/data_dir.h"
#include "tests/fuzz/target.h"
#include "tests/unit/memory_file_system.h"

namespace quorate::fuzz {
namespace {

using storage::DataDir;
using storage::ErrorCode;
using storage::MemoryFileSystem;

constexpr char kDirectory[] = "/data";

std::string Checksum(std::string_view text) {
  char line[32];
  std::snprintf(line, sizeof(line), "checksum %08x\n", storage::Crc32c(text));
  return line;
}

void CorrectChecksum(std::string& text) {
  const std::size_t last_line = text.rfind("checksum ");
  if (last_line == std::string::npos) return;
  text.resize(last_line);
  text += Checksum(text);
}

std::string TakeText(std::string_view& input) {
  if (input.empty()) return {};
  const auto length = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  std::string text(input.substr(0, length));
  input.remove_prefix(text.size());
  return text;
}

void Write(MemoryFileSystem& files, const std::string& name, std::string_view text) {
  const auto file = files.Open(kDirectory + std::string("/") + name, storage::OpenMode::kCreate);
  QUORATE_ASSERT(file && (*file)->Write(0, text), "the file system works");
}

// What it says stays what it says, whatever is done with it.
void CheckUse(MemoryFileSystem& files, const DataDir::Expected& expected,
              const storage::Identity& identity, const storage::CurrentDatabase& current) {
  if (current.generation == std::numeric_limits<std::uint32_t>::max()) return;
  const raft::Position installed{77, 5};
  {
    const auto directory = DataDir::Open(files, kDirectory, expected);
    QUORATE_ASSERT(directory && (*directory)->current() == current, "it opens as it reads");
    QUORATE_ASSERT((*directory)->SwitchDatabase(installed), "it can be used");
  }
  {
    const auto directory = DataDir::Open(files, kDirectory, expected);
    QUORATE_ASSERT(directory && (*directory)->identity().uuid == identity.uuid &&
                       (*directory)->identity().origin == identity.origin,
                   "an identity does not change");
    const storage::CurrentDatabase next{current.generation + 1, installed};
    QUORATE_ASSERT((*directory)->current() == next, "what was switched to is current");
    QUORATE_ASSERT((*directory)->Quarantine("a reason"), "it can be marked");
  }
  const auto directory = DataDir::Open(files, kDirectory, expected);
  QUORATE_ASSERT(!directory && directory.error().code == ErrorCode::kCorrupt &&
                     directory.error().message.find("a reason") != std::string::npos,
                 "a node that must not take part does not start");
}

std::string Input(char flags, const std::string& identity, const std::string& current,
                  const std::string& quarantined) {
  const auto with_length = [](const std::string& text) {
    return static_cast<char>(text.size()) + text;
  };
  return flags + with_length(identity) + with_length(current) + quarantined;
}

}  // namespace

void RunOne(std::string_view input) {
  if (input.empty()) return;
  const auto flags = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  std::string identity = TakeText(input);
  std::string current = TakeText(input);
  if ((flags & 1) != 0) CorrectChecksum(identity);
  if ((flags & 2) != 0) CorrectChecksum(current);
  MemoryFileSystem files;
  QUORATE_ASSERT(files.CreateDirectory(kDirectory), "the file system works");
  Write(files, "IDENTITY", identity);
  Write(files, "CURRENT", current);
  if (!input.empty()) Write(files, "QUARANTINED", input);
  const auto read_identity = storage::ReadIdentity(files, kDirectory);
  const auto read_current = storage::ReadCurrent(files, kDirectory);
  DataDir::Expected expected;
  if (read_identity) expected = {read_identity->cluster_id, read_identity->node_id};
  const bool opens = DataDir::Open(files, kDirectory, expected).has_value();
  QUORATE_ASSERT(opens == (read_identity && read_current && input.empty()),
                 "a directory opens if all of it can be read and nothing forbids it");
  if (opens) CheckUse(files, expected, *read_identity, *read_current);
}

std::vector<std::string> Seeds() {
  std::string identity =
      "quorate data directory\nformat " + std::to_string(storage::kFormatVersion) +
      "\ncluster 0000000000000007\nnode 3\nuuid 00112233445566778899aabbccddeeff\n"
      "origin 0000000000000000\n";
  identity += Checksum(identity);
  std::string current = "quorate current database\ngeneration 2\ninstalled 1000 4\n";
  current += Checksum(current);
  std::vector<std::string> seeds;
  for (const char flags : {'\0', '\1', '\2', '\3'}) {
    seeds.push_back(Input(flags, identity, current, ""));
  }
  seeds.push_back(Input('\3', identity, current, "the disk lied"));
  return seeds;
}

}  // namespace quorate::fuzz
