#include "jepsen/check/white_box.h"

#include "jepsen/check/findings.h"
#include "jepsen/check/index.h"

namespace quorate::check {

void CheckWhiteBox(const History& history, const CheckOptions& options, Report& report) {
  Findings findings(history, options.max_listed, report);
  for (const char* name : {"strong", "bounded", "session", "eventual"}) findings.Row(name);
  const auto begun = std::chrono::steady_clock::now();
  Index index(history);
  findings.Row("index").took_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  findings.Row("index").checked = index.writes().size();
  findings.Row("index").detail = "writes put in order";
  switch (history.model) {
    case Model::kRegister:
      CheckRegisters(index, findings);
      break;
    case Model::kAppend:
    case Model::kCounter:
      CheckSums(index, findings);
      break;
    case Model::kSet:
      CheckSets(index, findings);
      break;
    case Model::kBank:
      CheckBank(index, findings);
      break;
    case Model::kLock:
      CheckLock(index, findings);
      break;
    default:
      report.notes.emplace_back("no checker by index for what this model's reads return");
  }
  CheckFreshness(index, findings, report);
  CheckExactlyOnce(index, findings);
  CheckCertificates(index, findings);
  CheckRefusals(index, options, findings);
  CheckAvailability(index, options, findings, report);
}

}  // namespace quorate::check
