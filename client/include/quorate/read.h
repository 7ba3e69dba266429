// What reads take and what they answer (D6).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quorate/certificate.h"
#include "quorate/explanation.h"
#include "quorate/level.h"
#include "quorate/options.h"
#include "quorate/token.h"

namespace quorate {

struct ReadOptions {
  Level level = kStrong;
  Sla sla{};                             // not empty: instead of `level`
  std::chrono::milliseconds timeout{0};  // as in CallOptions, like the three below
  std::uint64_t node = 0;
  std::string request_id{};
  Cancellation cancellation{};
  // Whether the read includes what this client has seen; absent: Options::session_guarantees.
  std::optional<bool> session_guarantees{};
  bool explain = false;  // the reply or the error has an Explanation
};

// Why a rung of an SLA was passed over.
struct Miss {
  std::size_t rung = 0;  // counted from 0
  Error error;
};

// What every read's reply says about itself.
struct ReadReply {
  Certificate certificate{};
  Token token{};  // what this client has seen now
  // At most so old when the call was made, on this client's own clock alone, whatever the nodes'
  // clocks did: known where the client has itself seen, so long ago, that the state's index was the
  // newest (client-anchored bound, D6.5).
  std::optional<std::chrono::microseconds> client_age{};
  std::size_t rung = 0;        // with an SLA: the one that was met
  std::vector<Miss> misses{};  // and why those before it were not
  std::shared_ptr<const Explanation> explanation{};
};

struct GetReply : ReadReply {
  bool found = false;
  std::string value{};         // empty if not found
  std::uint64_t revision = 0;  // index of the write that made the value; 0 if not found
};

struct Item {
  std::string key{};
  std::string value{};
  std::uint64_t revision = 0;
};

// All keys at one index.
struct MultiGetReply : ReadReply {
  std::vector<Item> items{};  // of the keys that exist, in the order asked
};

// ---- Scans ----

struct Range {
  std::string first{};  // inclusive
  std::string last{};   // exclusive; empty: to the end

  static Range All() { return {}; }
  static Range Prefix(std::string_view prefix);
};

struct ScanOptions {
  Level level = kStrong;                 // of the first page: the others are at its index
  std::uint32_t page_items = 0;          // 0: the node's choice; the node may return fewer
  bool count_only = false;               // pages carry counts, no items
  std::chrono::milliseconds timeout{0};  // per page
  std::uint64_t node = 0;
  std::string request_id{};
  Cancellation cancellation{};
  std::optional<bool> session_guarantees{};
};

// Where a scan goes on. It lives on one connection of one Client and dies with it, or after 30 s
// without use.
struct Cursor {
  std::uint64_t id = 0;
  std::uint64_t connection = 0;

  explicit operator bool() const { return id != 0; }
};

// All pages of one scan are the state at one index.
struct ScanPage : ReadReply {
  std::vector<Item> items{};
  std::uint64_t count = 0;  // keys in this page, also with count_only
  Cursor next{};            // false: this was the last page
};

}  // namespace quorate
