// Transactions as text:
//
//   # at most 10 in stock are sold
//   if
//     value owner = alice
//     index stock = 1093
//     exists stock
//     missing sold/17
//   then
//     incr stock -1
//     put sold/17 "to alice"
//   else
//     get stock
//
// One comparison or operation a line; words are separated by blanks, "..." holds blanks in, and
// \t \n \r \" \\ \xNN stand for bytes. Comparisons: = != < >. Operations: put KEY VALUE, del KEY,
// incr KEY [BY], append KEY VALUE, get KEY. All sections may be left out.
#pragma once

#include <string>
#include <string_view>

#include "quorate/client.h"

namespace quorate::tools {

// kInvalid: the detail names the line and what would be right.
Result<Transaction> ParseTransaction(std::string_view text);

}  // namespace quorate::tools
