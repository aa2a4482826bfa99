// What a secondary has touched, behind its Hello.
#include "datapath/wire/fields.h"

namespace safekit::wire {

void put(ByteWriter& out, const Active& value) {
  out.u8(value.last ? 1 : 0);
  out.u32(static_cast<std::uint32_t>(value.entries.size()));
  for (const ActiveEntry& entry : value.entries) {
    put(out, entry.at);
    out.u8(static_cast<std::uint8_t>((entry.attributes ? 1 : 0) | (entry.names ? 2 : 0) | (entry.outside ? 4 : 0)));
    out.u64(entry.groups_from);
    out.u32(static_cast<std::uint32_t>(entry.groups.size()));
    for (const auto& [word, bits] : entry.groups) {
      out.u64(word);
      out.u64(bits);
    }
    out.u32(static_cast<std::uint32_t>(entry.trees.size()));
    for (const std::string& name : entry.trees) out.text(name);
  }
}

Active take_active(ByteReader& in) {
  Active value;
  value.last = in.u8() != 0;
  value.entries.resize(take_count(in, 25));
  for (ActiveEntry& entry : value.entries) {
    entry.at = take_path(in);
    const std::uint8_t flags = in.u8();
    entry.attributes = (flags & 1) != 0;
    entry.names = (flags & 2) != 0;
    entry.outside = (flags & 4) != 0;
    entry.groups_from = in.u64();
    entry.groups.resize(take_count(in, 16));
    for (auto& [word, bits] : entry.groups) {
      word = in.u64();
      bits = in.u64();
    }
    entry.trees.resize(take_count(in, 4));
    for (std::string& name : entry.trees) name = take_name(in);
  }
  return value;
}

}  // namespace safekit::wire
