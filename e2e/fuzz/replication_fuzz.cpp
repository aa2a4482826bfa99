// libFuzzer target for what a replica reads from its peer and from its own disk: the first byte picks the reader. Checksums are
// made right first, or nothing would get past them. Not built by default; with Clang, which cannot use the other compiler's header:
//   cp build/release/CMakeFiles/sk_pch.dir/cmake_pch.hxx /tmp/all.h
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -DFMT_HEADER_ONLY -include /tmp/all.h -I. \
//     e2e/fuzz/replication_fuzz.cpp datapath/journal/{activity_log,group_set,zone_map,record,journal,files,data_generations}.cpp \
//     datapath/wire/{frame,message,message_active,message_listing,message_verify,packing}.cpp $(ls schema/base/*.cpp | grep -v _test) -lxxhash -lzstd -o /tmp/replication_fuzz
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "datapath/journal/activity_log.h"
#include "datapath/journal/journal.h"
#include "datapath/journal/record.h"
#include "datapath/wire/message.h"
#include "datapath/wire/packing.h"
#include "schema/base/digest.h"

namespace {

using namespace safekit;

void put_checksum(Bytes& bytes, std::size_t at, BytesView of) {
  const std::uint32_t sum = checksum32(of);
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::uint8_t>(sum >> (8 * i));
}

void read_log(BytesView input) {
  Bytes file{input.begin(), input.end()};
  file.resize(std::min<std::size_t>((file.size() + journal::kChunkBytes) / journal::kChunkBytes, 2) * journal::kChunkBytes);
  for (std::size_t at = 0; at < file.size(); at += journal::kBlockBytes) {
    const BytesView block = BytesView{file}.subspan(at, journal::kBlockBytes);
    if (std::ranges::any_of(block, [](std::uint8_t byte) { return byte != 0; })) put_checksum(file, at, block.subspan(4));
  }
  auto segment = journal::decode_segment(file);
  if (!segment) return;
  // What was read can be written, and is the same again.
  Bytes again = journal::encode_blocks(segment->head, 0, segment->activity.list());
  again.resize((again.size() + journal::kChunkBytes - 1) / journal::kChunkBytes * journal::kChunkBytes);
  auto back = journal::decode_segment(again);
  SK_ASSERT(back && back->activity.everything == segment->activity.everything);
  // Neither says what the other does not say.
  const auto entries = back->activity.list();
  for (const auto& entry : segment->activity.list()) SK_ASSERT(!back->activity.add(entry));
  for (const auto& entry : entries) SK_ASSERT(!segment->activity.add(entry));
}

void read_frame(BytesView input) {
  if (input.empty() || !wire::is_known(input[0])) return;
  BytesView data;
  (void)wire::decode({static_cast<wire::FrameType>(input[0]), input.subspan(1)}, data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const BytesView rest{data + 1, size - 1};
  switch (data[0] % 5) {
    case 0: read_log(rest); break;
    case 1: read_frame(rest); break;
    case 2: (void)journal::decode_state(journal::seal_record(0x4a4b5253, 2, rest)); break;
    case 3: (void)journal::ZoneMap::decode(journal::seal_record(0x4d5a4b53, 2, rest), DataGeneration{}); break;
    case 4: {
      Bytes unpacked;
      (void)wire::unpack(rest, unpacked);
      break;
    }
    default: break;
  }
  return 0;
}
