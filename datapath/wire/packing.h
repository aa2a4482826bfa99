#pragma once

#include "datapath/wire/frame.h"

namespace safekit::wire {

/// Of frames whose payload is packed (zstd): docs/wire.md, "Packed frames".
inline constexpr std::size_t kUnpackedSizeBytes = 4;  ///< before what is packed
/// Less is not worth it.
inline constexpr std::size_t kPackBytesMin = 1024;

/// Appends the whole frame, as append_frame made it, with its payload packed. False: that would not save a sixteenth; nothing is
/// appended. Thread: any; each keeps some memory for it.
bool append_packed(Bytes& out, BytesView frame);

/// What the payload of a packed frame was. `into` is used again and again; no more than kFramePayloadBytesMax is reserved.
/// Errors: Corrupt.
Status unpack(BytesView payload, Bytes& into);

}  // namespace safekit::wire
