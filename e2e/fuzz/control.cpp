// What safekitd and a replica read from each other.
#include "datapath/control/codec.h"
#include "datapath/control/one_of_each.h"
#include "e2e/fuzz/fuzz.h"

namespace safekit::fuzz {
namespace {

/// The first byte: whether the rest is the stream, or one message without its length.
void read_message(BytesView input) {
  if (input.empty()) return;
  ByteWriter stream;
  if (input[0] % 2 == 0) {
    stream.blob(input.subspan(1));
  } else {
    stream.raw(input.subspan(1));
  }
  Bytes buffer = stream.take();
  for (;;) {
    const std::size_t before = buffer.size();
    const auto message = control::take_message(buffer);
    if (!message || !*message) return;
    SK_ASSERT(buffer.size() < before);
    Bytes again = control::encode(**message);
    const auto back = control::take_message(again);
    SK_ASSERT(back && *back && **back == **message && again.empty());
  }
}

std::vector<Bytes> messages() {
  std::vector<Bytes> seeds;
  Bytes all;
  for (const control::Message& message : control::one_of_each()) {
    const Bytes bytes = control::encode(message);
    seeds.push_back(seed(0, BytesView{bytes}.subspan(4)));
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  seeds.push_back(seed(1, all));
  return seeds;
}

constexpr std::array kParsers{Parser{.name = "message", .bytes_max = 4096, .read = read_message, .seeds = messages}};

}  // namespace

std::span<const Parser> parsers() { return kParsers; }

}  // namespace safekit::fuzz
