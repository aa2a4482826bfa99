#pragma once

#include "datapath/journal/journal.h"
#include "datapath/replica/settings.h"
#include "datapath/wire/frame.h"
#include "datapath/wire/message.h"
#include "schema/port/stream.h"

namespace safekit::replica {

/// What this side says of itself.
[[nodiscard]] wire::Hello make_hello(const Settings& settings, const journal::State& state, bool primary);
/// May we talk to this peer? Pure. Errors: Unsupported (protocol), Denied (another cluster, module or node), Conflict (both
/// are primary, or neither; different settings).
Status check_hello(const Settings& settings, const wire::Hello& peer, bool primary);

/// The copy is exact, taking into account whether the page cache that holds it has survived.
[[nodiscard]] bool is_exact(const journal::State& state, const std::string& boot_id);

/// Behind a secondary's Hello that names its own log.
Status send_activity(Stream& stream, std::vector<wire::ActiveEntry> entries, Duration timeout);

/// Reads one whole message at the start of a connection. Errors: Timeout, Unavailable, Corrupt.
Result<wire::Message> read_message(Stream& stream, wire::FrameReader& frames, Duration timeout);
Status send_message(Stream& stream, const wire::Message& message, Duration timeout);

}  // namespace safekit::replica
