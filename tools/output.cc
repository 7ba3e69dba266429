#include "tools/output.h"

#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace quorate::tools {
namespace {

using std::chrono::microseconds;

double Milliseconds(microseconds time) {
  return static_cast<double>(time.count()) / 1000;
}

// The length of the well-formed UTF-8 sequence at the front (RFC 3629: no overlong forms, no
// surrogates); 0: there is none.
std::size_t Utf8Bytes(std::string_view in) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(in[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2   ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length == 0 || in.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

bool IsUtf8(std::string_view in) {
  while (!in.empty()) {
    const std::size_t bytes = Utf8Bytes(in);
    if (bytes == 0) return false;
    in.remove_prefix(bytes);
  }
  return true;
}

std::string Base64(std::string_view in) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < in.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t bytes = std::min<std::size_t>(3, in.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < bytes ? static_cast<unsigned char>(in[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(j <= bytes ? kDigits[group >> (18 - 6 * j) & 63] : '=');
    }
  }
  return out;
}

std::string Age(const Certificate& certificate) {
  if (!certificate.age) return "of unknown age";
  if (certificate.age->count() == 0) return "current when asked";
  const double ms = Milliseconds(*certificate.age);
  char text[64];
  // Ages round up: a bound must not shrink on its way to the reader.
  std::snprintf(text, sizeof(text), ms < 10 ? "at most %.1f ms old" : "at most %.0f ms old",
                ms < 10 ? std::ceil(ms * 10) / 10 : std::ceil(ms));
  return text;
}

std::string_view Reason(const Certificate& certificate) {
  switch (certificate.basis) {
    case Basis::kReadIndex:
      return "confirmed by a quorum";
    case Basis::kLease:
      return "leader's lease";
    case Basis::kAnchor:
      return "anchor";
    case Basis::kCommit:
      return "committed";
    case Basis::kNone:
      return "no bound known";
  }
  return "no bound known";
}

}  // namespace

std::string Describe(const Certificate& certificate) {
  std::string text = "index " + std::to_string(certificate.applied_index) + ", term " +
                     std::to_string(certificate.term) + ", node " +
                     std::to_string(certificate.node);
  if (certificate.basis == Basis::kCommit) return text + ", committed";
  if (certificate.basis == Basis::kNone && !certificate.age) return text + ", of unknown age";
  text += ", " + Age(certificate);
  if (certificate.age && certificate.lag > 0) {
    text += " but for the last " + std::to_string(certificate.lag) +
            (certificate.lag == 1 ? " entry" : " entries");
  }
  text += " (" + std::string(Reason(certificate));
  if (certificate.via_leader) text += ", via the leader";
  return text + ")";
}

std::string Describe(const ReadReply& reply, const Sla& sla) {
  std::string text = Describe(reply.certificate);
  if (reply.rung >= sla.size()) return text;
  text += "; rung " + std::to_string(reply.rung + 1) + " of " + std::to_string(sla.size()) + ", " +
          ToString(sla[reply.rung].level);
  for (const Miss& miss : reply.misses) {
    if (miss.rung >= sla.size()) continue;
    text +=
        "; not " + ToString(sla[miss.rung].level) + ": " + std::string(ToString(miss.error.code));
  }
  return text;
}

void AddBytes(Json& json, const std::string& name, std::string_view bytes) {
  if (IsUtf8(bytes)) {
    json[name] = bytes;
  } else {
    json[name + "_base64"] = Base64(bytes);
  }
}

void AddCertificate(Json& json, const Certificate& certificate) {
  json["term"] = certificate.term;
  json["node"] = certificate.node;
  json["applied_index"] = certificate.applied_index;
  json["age_ms"] = certificate.age ? Json(Milliseconds(*certificate.age)) : Json();
  if (certificate.lag > 0) json["lag"] = certificate.lag;
  json["basis"] = ToString(certificate.basis);
  json["waited_ms"] = Milliseconds(certificate.waited);
}

namespace {

void AddToken(Json& json, const Token& token) {
  json["token"] = token ? Json(ToString(token)) : Json();
}

}  // namespace

void AddReadReply(Json& json, const ReadReply& reply, const Sla& sla) {
  AddCertificate(json, reply.certificate);
  if (reply.client_age) json["client_age_ms"] = Milliseconds(*reply.client_age);
  if (reply.rung < sla.size()) {
    json["rung"] = ToString(sla[reply.rung].level);
    json["misses"] = Json::array();
    for (const Miss& miss : reply.misses) {
      if (miss.rung >= sla.size()) continue;
      Json one;
      one["rung"] = ToString(sla[miss.rung].level);
      one["error"] = ToJson(miss.error);
      json["misses"].push_back(std::move(one));
    }
  }
  AddToken(json, reply.token);
  json["error"] = nullptr;
}

void AddWriteReply(Json& json, const WriteReply& reply) {
  json["index"] = reply.revision;
  AddCertificate(json, reply.certificate);
  if (reply.repeated) json["repeated"] = true;
  AddToken(json, reply.token);
  json["error"] = nullptr;
}

Json ToJson(const Error& error) {
  Json json;
  json["code"] = ToString(error.code);
  json["class"] = ToString(error.error_class);
  json["message"] = error.detail;
  json["maybe_applied"] = error.maybe_applied();
  json["attempts"] = error.attempts;
  if (error.leader.node != 0) json["leader"] = error.leader.node;
  if (error.have != 0 || error.want != 0) {
    json["have"] = error.have;
    json["want"] = error.want;
  }
  if (error.age) json["age_ms"] = Milliseconds(*error.age);
  if (error.best_age) json["best_age_ms"] = Milliseconds(*error.best_age);
  if (error.because) json["because"] = ToString(*error.because);
  return json;
}

void PrintJson(const Json& json) {
  std::cout << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

std::string Escape(std::string_view in) {
  std::string out;
  while (!in.empty()) {
    const std::size_t bytes = Utf8Bytes(in);
    const auto byte = static_cast<unsigned char>(in[0]);
    if (byte == '\\') {
      out += "\\\\";
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte == '\r') {
      out += "\\r";
    } else if (bytes == 0 || byte < 0x20 || byte == 0x7f) {
      char hex[5];
      std::snprintf(hex, sizeof(hex), "\\x%02x", byte);
      out += hex;
    } else {
      out.append(in.data(), bytes);
    }
    in.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return out;
}

std::string Unescape(std::string_view in) {
  std::string out;
  while (!in.empty()) {
    if (in[0] != '\\' || in.size() < 2) {
      out.push_back(in[0]);
      in.remove_prefix(1);
      continue;
    }
    unsigned byte = 0;
    const bool hex = in[1] == 'x' && in.size() >= 4 &&
                     std::from_chars(in.data() + 2, in.data() + 4, byte, 16).ptr == in.data() + 4;
    std::size_t taken = hex ? 4 : 2;
    switch (in[1]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case '\\':
        out.push_back('\\');
        break;
      default:
        out.push_back(hex ? static_cast<char>(byte) : '\\');
        if (!hex) taken = 1;
    }
    in.remove_prefix(taken);
  }
  return out;
}

bool IsTerminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

std::string Colour(int descriptor, std::string_view colour) {
  const char* no_colour = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  const bool off = no_colour != nullptr && *no_colour != '\0';
  return off || !IsTerminal(descriptor) ? std::string() : "\x1b[" + std::string(colour) + "m";
}

std::string NoColour(int descriptor) {
  return Colour(descriptor, "0");
}

std::string Grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out;
}

std::string Bytes(std::uint64_t bytes) {
  constexpr std::string_view kUnits = " KMGTPE";
  if (bytes < 1024) return std::to_string(bytes);
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1000; value /= 1024) ++unit;  // not 1024: "1000K" would be a digit too many
  char text[16];
  std::snprintf(text, sizeof(text), value < 9.95 ? "%.1f%c" : "%.0f%c", value, kUnits[unit]);
  return text;
}

std::string Describe(const SnapshotFetch& fetch) {
  const std::string from = " a snapshot at index " + std::to_string(fetch.index) + " from node " +
                           std::to_string(fetch.from);
  if (fetch.verifying) return "checking" + from + " (" + Bytes(fetch.total_bytes) + ")";
  std::string text = "fetching" + from;
  if (fetch.total_bytes == 0) return text;
  const double part =
      static_cast<double>(fetch.received_bytes) / static_cast<double>(fetch.total_bytes);
  text += ": " + std::to_string(static_cast<int>(part * 100)) + "% of " + Bytes(fetch.total_bytes) +
          ", " + Bytes(fetch.bytes_per_second) + "/s";
  if (fetch.left) text += ", " + std::to_string(fetch.left->count()) + " s left";
  return text;
}

ExitCode Report(const Settings& settings, Json json, const Error& error) {
  if (settings.json) {
    json["error"] = ToJson(error);
    PrintJson(json);
  } else {
    std::string message = std::string(ToString(error.code)) + ": " + error.detail;
    if (error.maybe_applied()) message += " (outcome unknown)";
    PrintError(message);
  }
  return ToExitCode(error);
}

void PrintError(std::string_view message) {
  std::cerr << Colour(STDERR_FILENO, "31") << "quorate: " << NoColour(STDERR_FILENO) << message
            << '\n';
}

namespace {

void PrintProof(const Settings& settings, const std::string& line, const Token& token) {
  if (settings.json || (!settings.verbose && !IsTerminal(STDERR_FILENO))) return;
  std::cout.flush();
  std::cerr << Colour(STDERR_FILENO, "2") << line << NoColour(STDERR_FILENO) << '\n';
  if (settings.verbose && token) {
    std::cerr << Colour(STDERR_FILENO, "2") << "token " << ToString(token)
              << NoColour(STDERR_FILENO) << '\n';
  }
}

}  // namespace

void PrintReadReply(const Settings& settings, const ReadReply& reply, const Sla& sla) {
  PrintProof(settings, Describe(reply, sla), reply.token);
}

void PrintWriteReply(const Settings& settings, const WriteReply& reply) {
  std::string line = Describe(reply.certificate);
  if (reply.repeated) line += ", by an earlier attempt";
  PrintProof(settings, line, reply.token);
}

}  // namespace quorate::tools
