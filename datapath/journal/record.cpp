#include "datapath/journal/record.h"

#include "schema/base/digest.h"

namespace safekit::journal {

namespace {
constexpr std::size_t kHeadBytes = 16;
constexpr std::size_t kTailBytes = 4;
}  // namespace

Bytes seal_record(std::uint32_t magic, std::uint32_t version, BytesView body) {
  ByteWriter out;
  out.u32(magic);
  out.u32(version);
  out.u64(body.size());
  out.raw(body);
  out.u32(checksum32(out.bytes()));
  return out.take();
}

Result<BytesView> open_record(std::uint32_t magic, std::uint32_t version, BytesView bytes) {
  if (bytes.size() < kHeadBytes + kTailBytes) return Error{Code::Corrupt, "file is too short"};
  ByteReader in{bytes};
  if (in.u32() != magic) return Error{Code::Corrupt, "file does not begin as it should"};
  const std::uint32_t written = in.u32();
  const std::uint64_t size = in.u64();
  // Before the checksum, so that a newer version may change everything behind the version number.
  if (written > version) {
    return Error{Code::Unsupported, fmt::format("file has format {}, this program knows up to {}", written, version)};
  }
  if (size != bytes.size() - kHeadBytes - kTailBytes) return Error{Code::Corrupt, "file has a wrong length"};
  const BytesView body = in.raw(size);
  if (checksum32(bytes.first(kHeadBytes + size)) != in.u32()) return Error{Code::Corrupt, "file has a wrong checksum"};
  return body;
}

}  // namespace safekit::journal
