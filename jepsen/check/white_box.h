// The checkers that take the applied index in each answer for the order of things: linear in the
// number of operations, or n log n. For histories in our own format.
//
// All of them look through one Index over the history. Each adds its result to the report.
#pragma once

#include "jepsen/check/check.h"

namespace quorate::check {

class Index;
class Findings;

// Runs all that apply.
void CheckWhiteBox(const History& history, const CheckOptions& options, Report& report);

// freshness.cc: strong, bounded, session and eventual, as far as indices tell; and staleness.
void CheckFreshness(const Index& index, Findings& findings, Report& report);
// values_*.cc: each answer is the state at its index; what happened twice, or should not have.
// Also places writes in the index that only reads prove.
void CheckRegisters(Index& index, Findings& findings);
void CheckSums(Index& index, Findings& findings);  // append, counter; places writes too
void CheckSets(const Index& index, Findings& findings);
void CheckBank(const Index& index, Findings& findings);
void CheckLock(const Index& index, Findings& findings);
// exactly_once.cc
void CheckExactlyOnce(const Index& index, Findings& findings);
// certificates.cc
void CheckCertificates(const Index& index, Findings& findings);
// refusals.cc
void CheckRefusals(const Index& index, const CheckOptions& options, Findings& findings);
// availability.cc
void CheckAvailability(const Index& index, const CheckOptions& options, Findings& findings,
                       Report& report);

}  // namespace quorate::check
