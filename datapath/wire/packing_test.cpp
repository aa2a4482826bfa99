#include "datapath/wire/packing.h"

#include <gtest/gtest.h>

#include <random>

#include "datapath/wire/message.h"

namespace safekit::wire {
namespace {

void feed(FrameReader& reader, BytesView bytes) {
  const auto space = reader.space(bytes.size());
  std::copy(bytes.begin(), bytes.end(), space.begin());
  reader.commit(bytes.size());
}

Bytes frame_of(std::string_view content) {
  Bytes out;
  append_message(out, Operation{Write{.id = {1}, .offset = 2, .size = static_cast<std::uint32_t>(content.size())}}, as_bytes(content));
  return out;
}

std::string noise(std::size_t size) {
  std::mt19937 random{1};
  std::string text(size, 0);
  for (char& each : text) each = static_cast<char>(random());
  return text;
}

TEST(Packing, PackedFramesAreReadAsThePlainOnesAmongWhichTheyAre) {
  const std::string content(300'000, 'x');
  const Bytes plain = frame_of(content);
  Bytes out = plain;
  ASSERT_TRUE(append_packed(out, plain));
  ASSERT_TRUE(append_packed(out, plain));
  EXPECT_LT(out.size(), plain.size() + 2000);
  out.insert(out.end(), plain.begin(), plain.end());
  FrameReader reader;
  feed(reader, out);
  for (int i = 0; i < 4; ++i) {
    const auto frame = reader.next();
    ASSERT_TRUE(frame && *frame);
    BytesView data;
    const auto message = decode(**frame, data);
    ASSERT_TRUE(message) << message.error().what;
    EXPECT_EQ(as_text(data), content);
  }
  EXPECT_FALSE(reader.next()->has_value());
}

TEST(Packing, WhatSavesNothingStaysAsItIs) {
  Bytes out{1};
  EXPECT_FALSE(append_packed(out, frame_of(noise(100'000))));
  EXPECT_EQ(out.size(), 1u);
}

TEST(Packing, SaysCorruptOfWhateverCannotBe) {
  Bytes packed;
  ASSERT_TRUE(append_packed(packed, frame_of(std::string(5000, 'x') + noise(100))));
  const Bytes payload{packed.begin() + kFrameHeadBytes, packed.end() - kFrameTailBytes};
  Bytes into;
  ASSERT_TRUE(unpack(payload, into));
  const std::size_t size = into.size();
  EXPECT_FALSE(unpack({}, into));
  EXPECT_FALSE(unpack(BytesView{payload}.first(4), into));
  for (const std::uint32_t claimed : {0U, 1U, static_cast<std::uint32_t>(size) - 1, static_cast<std::uint32_t>(size) + 1,
                                      static_cast<std::uint32_t>(kFramePayloadBytesMax) + 1, UINT32_MAX}) {
    Bytes lie = payload;
    for (std::size_t i = 0; i < 4; ++i) lie[i] = static_cast<std::uint8_t>(claimed >> (8 * i));
    EXPECT_EQ(unpack(lie, into).error().code, Code::Corrupt) << claimed;
    EXPECT_LE(into.size(), kFramePayloadBytesMax);
  }
  std::mt19937 random{2};
  for (int round = 0; round < 20'000; ++round) {
    Bytes broken = payload;
    for (int change = 0; change < 3; ++change) broken[4 + random() % (broken.size() - 4)] = static_cast<std::uint8_t>(random());
    if (round % 3 == 0) broken.resize(4 + random() % (broken.size() - 4));
    if (unpack(broken, into)) {
      EXPECT_EQ(into.size(), size);
    }
  }
}

}  // namespace
}  // namespace safekit::wire
