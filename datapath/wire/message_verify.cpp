// Messages of a verification.
#include "datapath/wire/fields.h"

namespace safekit::wire {

void put(ByteWriter& out, const VerifyNames& value) {
  put(out, value.at);
  out.u8(value.last ? 1 : 0);
  out.u32(static_cast<std::uint32_t>(value.entries.size()));
  for (const auto& [name, type] : value.entries) {
    out.text(name);
    out.u32(type);
  }
}

VerifyNames take_verify_names(ByteReader& in) {
  VerifyNames value;
  value.at = take_path(in);
  value.last = in.u8() != 0;
  value.entries.resize(take_count(in, 8));
  for (auto& [name, type] : value.entries) {
    name = take_name(in);
    type = in.u32();
  }
  return value;
}

void put(ByteWriter& out, const VerifyState& value) {
  put(out, value.at);
  out.u8(value.with_mtime ? 1 : 0);
  put(out, value.attributes);
  out.text(value.link_target);
  put_xattrs(out, value.xattrs);
}

VerifyState take_verify_state(ByteReader& in) {
  VerifyState value;
  value.at = take_path(in);
  value.with_mtime = in.u8() != 0;
  value.attributes = take_attributes(in);
  value.link_target = in.text(kPathBytesMax);
  value.xattrs = take_xattrs(in);
  return value;
}

void put(ByteWriter& out, const VerifyZones& value) {
  put(out, value.at);
  out.u8(value.exact ? 1 : 0);
  out.u64(value.first);
  put_digests(out, value.digests);
}

VerifyZones take_verify_zones(ByteReader& in) {
  VerifyZones value;
  value.at = take_path(in);
  value.exact = in.u8() != 0;
  value.first = in.u64();
  value.digests = take_digests(in);
  return value;
}

void put(ByteWriter& out, const VerifyAnswer& value) {
  out.u64(value.sequence.value);
  out.u16(value.differs);
  out.u32(static_cast<std::uint32_t>(value.zones.size()));
  for (const std::uint32_t position : value.zones) out.u32(position);
  out.u32(static_cast<std::uint32_t>(value.names.size()));
  for (const auto& [name, differs] : value.names) {
    out.text(name);
    out.u16(differs);
  }
  out.u8(value.more_names ? 1 : 0);
}

VerifyAnswer take_verify_answer(ByteReader& in) {
  VerifyAnswer value;
  value.sequence = take_sequence(in);
  value.differs = in.u16();
  value.zones.resize(take_count(in, 4));
  for (std::uint32_t& position : value.zones) position = in.u32();
  value.names.resize(take_count(in, 6));
  for (auto& [name, differs] : value.names) {
    name = take_name(in);
    differs = in.u16();
  }
  value.more_names = in.u8() != 0;
  return value;
}

}  // namespace safekit::wire
