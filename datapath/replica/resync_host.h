#pragma once

#include <vector>

#include "datapath/replica/handle.h"
#include "datapath/replica/syncs_first.h"
#include "datapath/wire/message.h"

namespace safekit::replica {

/// What a resynchronisation needs of the primary's stream. Errors everywhere: Unavailable when the connection is gone.
class ResyncHost {
 public:
  virtual ~ResyncHost() = default;
  /// Puts a message into the stream, in order with live operations; the caller holds the TreeOrder lock that orders it.
  /// The number is that of the frame on this connection: answers name it.
  virtual Result<SequenceNumber> put(const wire::Message& message, BytesView data = {}) = 0;
  /// The peer learns the id by its path. Caller holds names. Errors: NotFound for an inode without a name.
  virtual Status make_known(InodeId id) = 0;
  /// A listing has told the peer of the id.
  virtual void note_known(InodeId id, const HandleKey& key) = 0;
  /// Of an id that was forgotten while this synchronisation ran. Errors: NotFound for any other; Exhausted when there were
  /// too many to say.
  virtual Result<HandleKey> key_of_forgotten(InodeId id) = 0;
  /// Waits, with no lock held, until little of the bulk is unacknowledged, so that the application's own operations find a
  /// short queue.
  virtual Status wait_for_room() = 0;
  virtual SyncsFirst& syncs_first() = 0;
};

}  // namespace safekit::replica
