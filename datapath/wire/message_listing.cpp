#include "datapath/wire/fields.h"

/// The listing of a directory as bytes.
namespace safekit::wire {

void put(ByteWriter& out, const Listing& value) {
  out.u64(value.directory.value);
  out.u8(value.complete ? 1 : 0);
  out.u8(value.last ? 1 : 0);
  out.u32(static_cast<std::uint32_t>(value.entries.size()));
  for (const ListingEntry& entry : value.entries) {
    out.text(entry.name);
    out.u64(entry.id.value);
    out.u64(entry.identity);
    out.u32(entry.mode);
    out.u64(entry.device);
    out.u32(entry.links);
    out.text(entry.link_target);
    out.u64(entry.size);
    put(out, entry.mtime);
  }
}

Listing take_listing(ByteReader& in) {
  Listing value;
  value.directory = take_id(in);
  value.complete = in.u8() != 0;
  value.last = in.u8() != 0;
  value.entries.resize(take_count(in, 56));
  for (ListingEntry& entry : value.entries) {
    entry.name = take_name(in);
    entry.id = take_id(in);
    entry.identity = in.u64();
    entry.mode = in.u32();
    entry.device = in.u64();
    entry.links = in.u32();
    entry.link_target = in.text(kPathBytesMax);
    entry.size = in.u64();
    entry.mtime = take_time(in);
  }
  return value;
}

}  // namespace safekit::wire
