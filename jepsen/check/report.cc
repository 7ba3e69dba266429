#include "jepsen/check/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace quorate::check {
namespace {

constexpr std::size_t kShownViolations = 5;

[[gnu::format(printf, 1, 2)]] std::string Printed(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

nlohmann::json ToJson(Verdict verdict) {
  if (verdict == Verdict::kUnknown) return "unknown";
  return verdict == Verdict::kValid;
}

nlohmann::json ToJson(const CheckerResult& checker) {
  return {{"name", checker.name},       {"valid", ToJson(checker.verdict)},
          {"checked", checker.checked}, {"violations", checker.found},
          {"took_ms", checker.took_ms}, {"detail", checker.detail}};
}

nlohmann::json ToJson(const Violation& violation) {
  nlohmann::json json = {{"checker", violation.checker},
                         {"sentence", violation.sentence},
                         {"ops", violation.operations},
                         {"at", violation.at}};
  if (!violation.key.empty()) json["key"] = violation.key;
  return json;
}

nlohmann::json ToJson(const Staleness& staleness) {
  return {{"promised_us", staleness.promised_us},
          {"measured_us", staleness.measured_us},
          {"reads", staleness.reads},
          {"without_bound", staleness.unpromised},
          {"tightness", staleness.tightness},
          {"histogram",
           {{"bounds_us", StalenessBounds()},
            {"promised", staleness.promised},
            {"measured", staleness.measured}}}};
}

nlohmann::json ToJson(const Availability& availability) {
  nlohmann::json json = {{"fault", availability.fault},
                         {"id", availability.id},
                         {"at", availability.at},
                         {"judgement", availability.judgement}};
  json["served_after_us"] = availability.served_after_us < 0
                                ? nlohmann::json()
                                : nlohmann::json(availability.served_after_us);
  return json;
}

std::string StalenessTable(const Report& report) {
  if (report.staleness.empty()) return {};
  std::string text = "  staleness, reads per bucket (promised | measured)\n";
  for (const auto& [level, staleness] : report.staleness) {
    text += Printed("    %-9s", level.c_str());
    const auto& bounds = StalenessBounds();
    for (std::size_t i = 0; i < staleness.measured.size(); ++i) {
      if (staleness.promised[i] == 0 && staleness.measured[i] == 0) continue;
      const std::string bound =
          i < bounds.size() ? Printed("<=%gms", double(bounds[i]) / 1000) : "more";
      text += Printed("  %s %llu|%llu", bound.c_str(),
                      static_cast<unsigned long long>(staleness.promised[i]),
                      static_cast<unsigned long long>(staleness.measured[i]));
    }
    text += '\n';
  }
  return text;
}

}  // namespace

const std::vector<std::uint64_t>& StalenessBounds() {
  static const std::vector<std::uint64_t> bounds = {
      0,       1'000,   2'000,     5'000,     10'000,    20'000,     50'000,    100'000,
      200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000, 60'000'000};
  return bounds;
}

std::string_view Name(Verdict verdict) {
  if (verdict == Verdict::kUnknown) return "unknown";
  return verdict == Verdict::kValid ? "valid" : "INVALID";
}

Verdict Report::verdict() const {
  Verdict verdict = Verdict::kValid;
  for (const CheckerResult& checker : checkers) {
    if (checker.verdict == Verdict::kInvalid) return Verdict::kInvalid;
    if (checker.verdict == Verdict::kUnknown) verdict = Verdict::kUnknown;
  }
  return verdict;
}

std::string ToJson(const Report& report) {
  nlohmann::json json = {{"valid", ToJson(report.verdict())},
                         {"file", report.file},
                         {"model", Name(report.model)},
                         {"operations", report.operations},
                         {"read_ms", report.read_ms},
                         {"check_ms", report.check_ms},
                         {"notes", report.notes},
                         {"checkers", nlohmann::json::array()},
                         {"violations", nlohmann::json::array()},
                         {"staleness", nlohmann::json::object()},
                         {"availability", nlohmann::json::array()}};
  for (const CheckerResult& checker : report.checkers) json["checkers"].push_back(ToJson(checker));
  for (const Violation& violation : report.violations) {
    json["violations"].push_back(ToJson(violation));
  }
  for (const auto& [level, staleness] : report.staleness) {
    json["staleness"][level] = ToJson(staleness);
  }
  for (const Availability& fault : report.availability)
    json["availability"].push_back(ToJson(fault));
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string Summary(const Report& report) {
  std::string text = Printed(
      "%s: %s (%s, %llu operations; read in %.0f ms, checked in %.0f ms)\n", report.file.c_str(),
      std::string(Name(report.verdict())).c_str(), std::string(Name(report.model)).c_str(),
      static_cast<unsigned long long>(report.operations), report.read_ms, report.check_ms);
  text += "  checker          verdict      checked  violations       ms  \n";
  for (const CheckerResult& checker : report.checkers) {
    text += Printed("  %-16s %-8s %11llu %11llu %8.1f  %.200s\n", checker.name.c_str(),
                    std::string(Name(checker.verdict)).c_str(),
                    static_cast<unsigned long long>(checker.checked),
                    static_cast<unsigned long long>(checker.found), checker.took_ms,
                    checker.detail.c_str());
  }
  text += StalenessTable(report);
  for (const Availability& fault : report.availability) {
    text += Printed("  fault %llu %s at %.2f s: ", static_cast<unsigned long long>(fault.id),
                    fault.fault.c_str(), double(fault.at) / 1e6);
    if (fault.served_after_us >= 0) {
      text += Printed("strong reads after %.2f s, ", double(fault.served_after_us) / 1e6);
    }
    text += fault.judgement + '\n';
  }
  for (const std::string& note : report.notes) text += "  note: " + note + '\n';
  for (std::size_t i = 0; i < report.violations.size() && i < kShownViolations; ++i) {
    const Violation& violation = report.violations[i];
    text += "  " + violation.checker + ": " + violation.sentence + "\n    operations";
    for (const std::uint64_t number : violation.operations) text += " #" + std::to_string(number);
    text += '\n';
  }
  if (report.violations.size() > kShownViolations) {
    text +=
        Printed("  and %zu more, in the results\n", report.violations.size() - kShownViolations);
  }
  return text;
}

}  // namespace quorate::check
