// snapshot: nodes put their state on their disks now. backup: one node's state, as a file.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/use_future.hpp>
#include <cstdio>
#include <deque>
#include <future>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/backup_file.h"
#include "tools/command.h"
#include "tools/nodes.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace quorate::tools {
namespace {

// A node reads all of its database for a snapshot.
constexpr std::chrono::minutes kSnapshotTimeout{60};
constexpr std::chrono::seconds kPieceTimeout{30};
// Asked for and not here yet: enough to keep the connection busy, and no more.
constexpr std::size_t kPiecesInFlight = 2;

CallOptions OptionsFor(const Settings& settings, std::uint64_t node,
                       std::chrono::milliseconds timeout) {
  return {.timeout = std::max(timeout, settings.deadline()), .node = node};
}

// ---- quorate snapshot ----

Json ToJson(const SnapshotTaken& taken) {
  Json json;
  json["node"] = taken.node;
  json["index"] = taken.index;
  json["term"] = taken.term;
  json["bytes"] = taken.bytes;
  json["files"] = taken.files;
  json["took_ms"] = static_cast<double>(taken.took.count()) / 1000;
  json["log_first_index"] = taken.log_first_index;
  json["error"] = nullptr;
  return json;
}

ExitCode PrintTaken(const Settings& settings, std::uint64_t node,
                    const Result<SnapshotTaken>& taken) {
  if (!taken) {
    Json json;
    json["node"] = node;
    if (!settings.json) PrintError("node " + std::to_string(node) + " took no snapshot:");
    return Report(settings, std::move(json), taken.error());
  }
  if (settings.json) {
    PrintJson(ToJson(*taken));
  } else {
    std::cout << "node " << taken->node << ": index " << taken->index << ", term " << taken->term
              << ", " << Grouped(taken->bytes) << " bytes in " << taken->files << " files, took "
              << taken->took.count() / 1000 << " ms; the log starts at " << taken->log_first_index
              << '\n';
  }
  return kExitOk;
}

ExitCode Snapshot(const Settings& settings) {
  Client client(settings.client_options());
  std::vector<NodeReport> nodes = AskEverybody(client, settings.endpoints);
  if (settings.node != 0) {
    std::erase_if(nodes, [&](const NodeReport& node) { return node.id != settings.node; });
    if (nodes.empty()) {
      PrintError("no node that answers knows of a node " + std::to_string(settings.node));
      return kExitCannotConnect;
    }
  }
  std::vector<std::future<Result<SnapshotTaken>>> replies(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!nodes[i].status) continue;
    replies[i] = client.AsyncSnapshot(OptionsFor(settings, nodes[i].id, kSnapshotTimeout),
                                      boost::asio::use_future);
  }
  ExitCode worst = kExitOk;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const ExitCode code = PrintTaken(
        settings, nodes[i].id,
        nodes[i].status ? replies[i].get()
                        : Result<SnapshotTaken>(tl::make_unexpected(nodes[i].status.error())));
    if (worst == kExitOk) worst = code;
  }
  return worst;
}

// ---- quorate backup ----

struct BackupArguments {
  std::string file;
  bool force = false;
};

// Why there is no backup.
struct Failure {
  ExitCode code = kExitOther;
  std::string text;
  std::optional<Error> refusal;  // set: that is what a node, or the client library, says
};

tl::unexpected<Failure> Refused(const Error& error) {
  return tl::make_unexpected(Failure{ToExitCode(error), error.detail, error});
}

tl::unexpected<Failure> Failed(const storage::Error& error) {
  const bool usage = error.code == storage::ErrorCode::kExists;
  return tl::make_unexpected(Failure{usage ? kExitUsage : kExitOther, error.message, std::nullopt});
}

tl::unexpected<Failure> Nonsense(const std::string& text) {
  return tl::make_unexpected(Failure{kExitOther, text, std::nullopt});
}

// The files of a snapshot in pieces, in the order of a backup.
class Pieces {
 public:
  explicit Pieces(const storage::Manifest& manifest) : manifest_(manifest) {}

  std::optional<SnapshotPiece> Next() {
    while (file_ < manifest_.files.size() && offset_ == manifest_.files[file_].bytes) {
      ++file_;
      offset_ = 0;
    }
    if (file_ == manifest_.files.size()) return std::nullopt;
    const std::uint64_t left = manifest_.files[file_].bytes - offset_;
    const SnapshotPiece piece{
        .snapshot = manifest_.id,
        .file = static_cast<std::uint32_t>(file_),
        .offset = offset_,
        .bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, kMaxSnapshotPieceBytes))};
    offset_ += piece.bytes;
    return piece;
  }

 private:
  const storage::Manifest& manifest_;
  std::size_t file_ = 0;
  std::uint64_t offset_ = 0;
};

class Backup {
 public:
  Backup(const Settings& settings, const BackupArguments& arguments, Interrupt& interrupt)
      : settings_(settings),
        arguments_(arguments),
        interrupt_(interrupt),
        files_(storage::MakePosixFileSystem()),
        client_(settings.client_options()) {
    // What is outstanding then fails, and so does the backup.
    interrupt_.SetHandler([this] { client_.Close(); });
  }
  ~Backup() { interrupt_.SetHandler(nullptr); }

  ExitCode Run() {
    const auto start = std::chrono::steady_clock::now();
    const auto written = Write();
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (written) return PrintDone(*written);
    if (interrupt_.raised()) {
      PrintError("interrupted: no backup was made, and nothing is left of it");
      return kExitInterrupted;
    }
    return PrintFailure(written.error());
  }

 private:
  // The backup's size, once it has its name.
  tl::expected<std::uint64_t, Failure> Write() {
    // Before a node is put to work for it.
    const auto allowed = BackupFile::Check(*files_, arguments_.file, arguments_.force);
    if (!allowed) return Failed(allowed.error());
    const auto node = Choose();
    if (!node) return tl::make_unexpected(node.error());
    auto taken = client_.Snapshot(OptionsFor(settings_, *node, kSnapshotTimeout));
    if (!taken) return Refused(taken.error());
    taken_ = *taken;
    if (const auto fetched = FetchManifest(); !fetched) {
      return tl::make_unexpected(fetched.error());
    }
    auto file = BackupFile::Create(*files_, arguments_.file, arguments_.force, manifest_);
    if (!file) return Failed(file.error());
    if (const auto fetched = FetchFiles(**file); !fetched) {
      return tl::make_unexpected(fetched.error());
    }
    if (const auto finished = (*file)->Finish(); !finished) return Failed(finished.error());
    return (*file)->bytes();
  }

  // The node that has applied most, and of equals rather one that does not lead.
  tl::expected<std::uint64_t, Failure> Choose() {
    if (settings_.node != 0) return settings_.node;
    const NodeReport* best = nullptr;
    const auto rank = [](const NodeReport& report) {
      return std::pair(report.status->applied, report.status->role != "leader");
    };
    const std::vector<NodeReport> nodes = AskEverybody(client_, settings_.endpoints);
    for (const NodeReport& report : nodes) {
      if (!report.status) continue;
      if (best == nullptr || rank(report) > rank(*best)) best = &report;
    }
    if (best != nullptr) return best->id;
    if (nodes.empty()) return Nonsense("no endpoint is given");
    return Refused(nodes.front().status.error());
  }

  tl::expected<void, Failure> FetchManifest() {
    if (taken_.manifest_bytes > storage::kMaxManifestBytes) {
      return Nonsense("the node says that its manifest has " +
                      std::to_string(taken_.manifest_bytes) + " bytes, which cannot be");
    }
    std::string encoded;
    while (encoded.size() < taken_.manifest_bytes) {
      const auto part = client_.ReadSnapshot(
          {.snapshot = taken_.id, .file = std::nullopt, .offset = encoded.size()}, PieceOptions());
      if (!part) return Refused(part.error());
      if (part->empty()) return Nonsense("the node's manifest is shorter than it says");
      encoded += *part;
    }
    auto manifest = storage::Manifest::Decode(encoded);
    if (!manifest) return Failed(manifest.error());
    if (manifest->id != taken_.id || manifest->mark.position.index != taken_.index) {
      return Nonsense("the node sent the manifest of another snapshot");
    }
    manifest_ = std::move(*manifest);
    return {};
  }

  tl::expected<void, Failure> FetchFiles(BackupFile& file) {
    struct Asked {
      std::size_t bytes = 0;
      std::future<Result<std::string>> reply;
    };
    constexpr std::uint64_t kUnit = 1 << 20;
    Progress progress("backing up", manifest_.bytes(), settings_.verbose, " MiB");
    Pieces pieces(manifest_);
    std::deque<Asked> asked;
    std::uint64_t received = 0;
    for (;;) {
      while (asked.size() < kPiecesInFlight) {
        const auto piece = pieces.Next();
        if (!piece) break;
        asked.push_back({piece->bytes, client_.AsyncReadSnapshot(*piece, PieceOptions(),
                                                                 boost::asio::use_future)});
      }
      if (asked.empty()) return {};
      const Result<std::string> part = asked.front().reply.get();
      if (!part) return Refused(part.error());
      if (part->size() != asked.front().bytes) {
        return Nonsense("a file of the snapshot became shorter on the node: its disk is damaged");
      }
      asked.pop_front();
      if (const auto written = file.Append(*part); !written) return Failed(written.error());
      received += part->size();
      progress.Update(received / kUnit, received);
    }
  }

  CallOptions PieceOptions() const { return OptionsFor(settings_, taken_.node, kPieceTimeout); }

  ExitCode PrintDone(std::uint64_t bytes) const {
    const std::uint64_t incarnation = manifest_.mark.configuration.incarnation;
    if (settings_.json) {
      Json json;
      json["file"] = arguments_.file;
      json["node"] = taken_.node;
      json["index"] = taken_.index;
      json["term"] = taken_.term;
      json["bytes"] = bytes;
      json["files"] = manifest_.files.size();
      json["cluster_id"] = manifest_.cluster_id;
      json["incarnation"] = incarnation;
      json["seconds"] = seconds_;
      json["error"] = nullptr;
      PrintJson(json);
      return kExitOk;
    }
    char line[160];
    std::snprintf(line, sizeof(line),
                  "index %lu, term %lu, incarnation %016lx, from node %lu: ", taken_.index,
                  taken_.term, incarnation, taken_.node);
    std::cout << arguments_.file << ": " << line << Grouped(bytes) << " bytes in "
              << static_cast<int>(seconds_ * 10) / 10.0 << " s\n";
    return kExitOk;
  }

  ExitCode PrintFailure(const Failure& failure) const {
    Json json;
    json["file"] = arguments_.file;
    if (failure.refusal) return Report(settings_, std::move(json), *failure.refusal);
    if (settings_.json) {
      json["error"] = {{"code", "BACKUP_FAILED"}, {"message", failure.text}};
      PrintJson(json);
    } else {
      PrintError(failure.text);
    }
    return failure.code;
  }

  const Settings& settings_;
  const BackupArguments& arguments_;
  Interrupt& interrupt_;
  const std::unique_ptr<storage::FileSystem> files_;
  Client client_;
  SnapshotTaken taken_;
  storage::Manifest manifest_;
  double seconds_ = 0;
};

}  // namespace

Command AddSnapshot(CLI::App& app) {
  CLI::App* snapshot =
      app.add_subcommand("snapshot", "Have nodes put a snapshot of their state on their disks now");
  snapshot->footer(
      "A node does so by itself whenever another one needs it: this is for trying it out, and to "
      "have the\nlog shortened before a restart. The snapshot is dropped a minute after the last "
      "use; backup makes a\nfile to keep.\nExamples:\n  quorate snapshot\n  quorate --node 2 "
      "snapshot\nExit: 0 if every node (or the one that is named) took one.");
  return {.app = snapshot,
          .run = [](const Settings& settings, Interrupt&) { return Snapshot(settings); }};
}

Command AddBackup(CLI::App& app) {
  auto arguments = std::make_shared<BackupArguments>();
  CLI::App* backup =
      app.add_subcommand("backup", "Write a node's whole state to a file, while everything runs");
  backup->add_option("file", arguments->file, "Made by this; not an existing one")
      ->required()
      ->configurable(false);
  backup->add_flag("--force", arguments->force, "Replace FILE if it exists")->configurable(false);
  backup->footer(
      "Without --node, the node that has applied most is asked, rather a follower than the "
      "leader. Every\nbyte is checked against its checksum on the way. FILE appears once it is "
      "whole and on the disk; until\nthen it is FILE.tmp, which goes if anything fails.\nA new "
      "cluster begins with it: quorated --bootstrap --restore FILE ..., the same on each of its "
      "nodes.\nExamples:\n  quorate backup monday.backup\n  quorate --node 2 --json backup "
      "monday.backup\n"
      "Exit: 0 written, 1 it could not be, 2 FILE exists, 5 refused, 6 no node answers.");
  return {.app = backup, .run = [arguments](const Settings& settings, Interrupt& interrupt) {
            return Backup(settings, *arguments, interrupt).Run();
          }};
}

}  // namespace quorate::tools
