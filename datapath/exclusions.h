#pragma once

#include "datapath/control/message.h"
#include "datapath/journal/journal.h"
#include "datapath/replica/exclusion.h"

namespace safekit {

/// The rules of all directories; empty where there are none. Errors: Invalid.
Result<replica::Exclusions> exclusions_of(const control::Configure& configure);

/// Before a copy becomes primary. Entries that were not replicated, and now are, were never compared: with other rules than the
/// last time all is. What was on its way in when the primary was lost (kStagedPrefix) is removed. Errors: Io, Unsupported.
Status keep_rules(const replica::Exclusions& exclusions, const control::Configure& configure, journal::Journal& journal);

}  // namespace safekit
