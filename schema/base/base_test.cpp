#include <gtest/gtest.h>

#include "schema/base/bytes.h"
#include "schema/base/digest.h"
#include "schema/base/time.h"

namespace safekit {

TEST(Duration, PrintsTheLargestUnitThatLosesNothing) {
  EXPECT_EQ(to_string(Duration{seconds{0}}), "0s");
  EXPECT_EQ(to_string(Duration{milliseconds{1500}}), "1500ms");
  EXPECT_EQ(to_string(Duration{hours{24}}), "24h");
  EXPECT_EQ(to_string(Duration{seconds{90}}), "90s");
}

TEST(Duration, ReadsWhatItPrints) {
  for (const char* text : {"0s", "1500ms", "24h", "30s", "7d", "50us", "5m"}) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(to_string(*parsed), text);
  }
}

TEST(Duration, RefusesSignsFractionsSpacesAndCompoundForms) {
  for (const char* text : {"", "10", "10 s", "1.5s", "1h30m", "-1s", "10S", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(WallTime, RoundTrips) {
  const WallTime time{1'795'464'011'123'456'000};
  EXPECT_EQ(to_string(time), "2026-11-23T20:00:11.123456Z");
  EXPECT_EQ(parse_wall_time(to_string(time)).value(), time);
  EXPECT_FALSE(parse_wall_time("yesterday").has_value());
}

TEST(ByteReader, StopsAtTheFirstShortRead) {
  ByteWriter writer;
  writer.u32(7);
  writer.text("hello");
  writer.u64(42);
  for (std::size_t length = 0; length < writer.size(); ++length) {
    ByteReader reader{BytesView{writer.bytes()}.first(length)};
    (void)reader.u32();   // only the final verdict matters here
    (void)reader.text();  // same
    (void)reader.u64();   // same
    EXPECT_FALSE(reader.ok()) << length;
  }
  ByteReader reader{writer.bytes()};
  EXPECT_EQ(reader.u32(), 7U);
  EXPECT_EQ(reader.text(), "hello");
  EXPECT_EQ(reader.u64(), 42U);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

TEST(Digest, DiffersForDifferentContent) {
  EXPECT_NE(digest128(as_bytes("a")), digest128(as_bytes("b")));
  EXPECT_EQ(to_string(digest128(as_bytes(""))).size(), 32U);
}

}  // namespace safekit
