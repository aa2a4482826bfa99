#include "datapath/wire/packing.h"

#include <zstd.h>

#include "schema/base/digest.h"

namespace safekit::wire {

namespace {

constexpr int kLevel = 1;  ///< the quickest of the usual ones

struct ContextDelete {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

bool append_packed(Bytes& out, BytesView frame) {
  SK_ASSERT(frame.size() > kFrameHeadBytes + kFrameTailBytes && frame[5] == 0);
  // Working memory, about a MiB, that would have to be made for each call.
  thread_local const std::unique_ptr<ZSTD_CCtx, ContextDelete> context{ZSTD_createCCtx()};
  const BytesView payload = frame.subspan(kFrameHeadBytes, frame.size() - kFrameHeadBytes - kFrameTailBytes);
  Bytes packed(payload.size() - payload.size() / 16);  // what does not fit in is not packed
  const std::size_t size = ZSTD_compressCCtx(context.get(), packed.data(), packed.size(), payload.data(), payload.size(), kLevel);
  if (ZSTD_isError(size) != 0U) return false;
  packed.resize(size);
  ByteWriter unpacked_size;
  unpacked_size.u32(static_cast<std::uint32_t>(payload.size()));
  append_frame(out, static_cast<FrameType>(frame[4]), unpacked_size.bytes(), packed, Form::Packed);
  return true;
}

Status unpack(BytesView payload, Bytes& into) {
  thread_local const std::unique_ptr<ZSTD_DCtx, ContextDelete> context{ZSTD_createDCtx()};
  ByteReader in{payload};
  const std::size_t size = in.u32();
  if (!in.ok() || size == 0 || size > kFramePayloadBytesMax) return Error{Code::Corrupt, "packed frame with a wrong length"};
  into.resize(size);
  const std::size_t got = ZSTD_decompressDCtx(context.get(), into.data(), into.size(), in.rest().data(), in.rest().size());
  if (ZSTD_isError(got) != 0U || got != size) return Error{Code::Corrupt, "packed frame that cannot be unpacked"};
  return {};
}

}  // namespace safekit::wire
