#pragma once

#include "datapath/wire/message.h"
#include "schema/base/bytes.h"

/// Parts of messages as bytes; only for the codec of this room (docs/wire.md).
namespace safekit::wire {

inline void put(ByteWriter& out, const Attributes& value) {
  out.u32(value.mode);
  out.u32(value.uid);
  out.u32(value.gid);
  out.u64(value.device);
  out.u64(value.size);
  out.i64(value.mtime.seconds);
  out.u32(value.mtime.nanoseconds);
}

inline Attributes take_attributes(ByteReader& in) {
  Attributes value;
  value.mode = in.u32();
  value.uid = in.u32();
  value.gid = in.u32();
  value.device = in.u64();
  value.size = in.u64();
  value.mtime.seconds = in.i64();
  value.mtime.nanoseconds = in.u32();
  return value;
}

inline void put(ByteWriter& out, const TimeSpec& value) {
  out.i64(value.seconds);
  out.u32(value.nanoseconds);
}

inline TimeSpec take_time(ByteReader& in) {
  TimeSpec value;
  value.seconds = in.i64();
  value.nanoseconds = in.u32();
  return value;
}

inline InodeId take_id(ByteReader& in) { return InodeId{in.u64()}; }
inline SequenceNumber take_sequence(ByteReader& in) { return SequenceNumber{in.u64()}; }

/// A count of things that take at least `bytes_each`, so that a lie cannot make us reserve memory.
inline std::size_t take_count(ByteReader& in, std::size_t bytes_each) {
  const std::size_t count = in.u32();
  if (count > in.rest().size() / bytes_each) {
    (void)in.raw(SIZE_MAX);  // marks the reader as failed
    return 0;
  }
  return count;
}

inline void put(ByteWriter& out, const TreePath& at) {
  out.u32(at.root);
  out.text(at.path);
}

/// One that leads elsewhere is a broken message: who gets it does not look again.
inline std::string take_name(ByteReader& in) {
  std::string name = in.text(kNameBytesMax);
  if (!is_plain_name(name)) (void)in.raw(SIZE_MAX);  // marks the reader as failed
  return name;
}

inline TreePath take_path(ByteReader& in) {
  TreePath at;
  at.root = in.u32();
  at.path = in.text(kPathBytesMax);
  if (!is_plain_path(at.path)) (void)in.raw(SIZE_MAX);  // as above
  return at;
}

inline void put_xattrs(ByteWriter& out, const std::vector<std::pair<std::string, std::string>>& xattrs) {
  out.u32(static_cast<std::uint32_t>(xattrs.size()));
  for (const auto& [name, content] : xattrs) {
    out.text(name);
    out.text(content);
  }
}

inline std::vector<std::pair<std::string, std::string>> take_xattrs(ByteReader& in) {
  std::vector<std::pair<std::string, std::string>> xattrs(take_count(in, 8));
  for (auto& [name, content] : xattrs) {
    name = in.text(kNameBytesMax);
    content = in.text(kXattrBytesMax);
  }
  return xattrs;
}

inline void put_digests(ByteWriter& out, const std::vector<Digest128>& digests) {
  out.u32(static_cast<std::uint32_t>(digests.size()));
  for (const Digest128& digest : digests) {
    out.u64(digest.high);
    out.u64(digest.low);
  }
}

inline std::vector<Digest128> take_digests(ByteReader& in) {
  std::vector<Digest128> digests(take_count(in, 16));
  for (Digest128& digest : digests) {
    digest.high = in.u64();
    digest.low = in.u64();
  }
  return digests;
}

// message_active.cpp
void put(ByteWriter& out, const Active& value);
Active take_active(ByteReader& in);
// message_listing.cpp
void put(ByteWriter& out, const Listing& value);
Listing take_listing(ByteReader& in);
// message_verify.cpp
void put(ByteWriter& out, const VerifyNames& value);
void put(ByteWriter& out, const VerifyState& value);
void put(ByteWriter& out, const VerifyZones& value);
void put(ByteWriter& out, const VerifyAnswer& value);
VerifyNames take_verify_names(ByteReader& in);
VerifyState take_verify_state(ByteReader& in);
VerifyZones take_verify_zones(ByteReader& in);
VerifyAnswer take_verify_answer(ByteReader& in);

}  // namespace safekit::wire
