// What commands print: values, certificates, errors, JSON objects.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "quorate/client.h"
#include "tools/exit_code.h"
#include "tools/settings.h"

namespace quorate::tools {

using Json = nlohmann::ordered_json;  // keys in the order they were added

// "index 1093, term 7, node 3, at most 118 ms old (anchor)"
std::string Describe(const Certificate& certificate);
// The same, and with an SLA which rung was met, and why those before it were not.
std::string Describe(const ReadReply& reply, const Sla& sla);

// ---- JSON ----

// Under `name` if the bytes are UTF-8, else in base64 under `name`_base64.
void AddBytes(Json& json, const std::string& name, std::string_view bytes);
// node, term, applied_index, age_ms, lag, basis, waited_ms; null where nothing is known.
void AddCertificate(Json& json, const Certificate& certificate);
// These, client_age_ms, rung and misses (with an SLA), token, and a null error.
void AddReadReply(Json& json, const ReadReply& reply, const Sla& sla = {});
// index, these of the certificate, repeated, token, and a null error.
void AddWriteReply(Json& json, const WriteReply& reply);
Json ToJson(const Error& error);
void PrintJson(const Json& json);

// ---- Text ----

// Printable ASCII and UTF-8 as they are; \t \n \r \\ and \xNN for the rest. The lines format of
// `import` reads it back.
std::string Escape(std::string_view bytes);
// Undoes Escape. A backslash before anything else stands for itself.
std::string Unescape(std::string_view text);

bool IsTerminal(int descriptor);
// The code of `colour` (such as "31") if the stream is a terminal and NO_COLOR is unset, else
// nothing.
std::string Colour(int descriptor, std::string_view colour);
std::string NoColour(int descriptor);

// "12,345"
std::string Grouped(std::uint64_t number);
// "987", "1.5K", "64M", "2.0G": at most five characters, in powers of 1024.
std::string Bytes(std::uint64_t bytes);
// "fetching a snapshot at index 7 from node 2: 45% of 1.2G, 64M/s, 12 s left"
std::string Describe(const SnapshotFetch& fetch);

// Reports a failed request in the form asked for; returns its exit code. `json` has what is to be
// said besides the error.
ExitCode Report(const Settings& settings, Json json, const Error& error);
void PrintError(std::string_view message);
// The certificate's line on stderr (on a terminal, or with -v), and with -v the token.
void PrintReadReply(const Settings& settings, const ReadReply& reply, const Sla& sla = {});
void PrintWriteReply(const Settings& settings, const WriteReply& reply);

}  // namespace quorate::tools
