#include "datapath/linux/announcement.h"

#include <gtest/gtest.h>

namespace safekit::linux_os {
namespace {

const MacAddress kOurs{2, 0, 0, 0, 0, 1};
const MacAddress kOther{2, 0, 0, 0, 0, 2};
const IpAddress kV4 = *parse_ip("192.0.2.7");
const IpAddress kV6 = *parse_ip("2001:db8::1:2");

TEST(Announcement, ArpNamesTheAddressAsSenderAndTarget) {
  const Frame frame = announcement_of(kV4, kOurs);
  EXPECT_EQ(frame.protocol, 0x0806);
  EXPECT_EQ(frame.payload,
            (Bytes{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7}));
}

TEST(Announcement, NeighbourChecksumHolds) {
  for (const Frame& frame : {announcement_of(kV6, kOurs), question_about(kV6, kOurs)}) {
    std::uint32_t sum = static_cast<std::uint32_t>(frame.payload.size() - 40) + 58;
    for (std::size_t i = 8; i < frame.payload.size(); i += 2) {
      sum += static_cast<std::uint32_t>(frame.payload[i] << 8 | frame.payload[i + 1]);
    }
    EXPECT_EQ((sum & 0xffff) + (sum >> 16), 0xffffU);
  }
  EXPECT_EQ(announcement_of(kV6, kOurs).destination, (MacAddress{0x33, 0x33, 0, 0, 0, 1}));
  EXPECT_EQ(question_about(kV6, kOurs).destination, (MacAddress{0x33, 0x33, 0xff, 0x01, 0, 0x02}));
}

TEST(Announcement, AnotherOwnerIsSeenByItsAnnouncementAndOneWhoAsksIsNone) {
  for (const IpAddress& address : {kV4, kV6}) {
    const IpAddress another = *parse_ip(address.v6 ? "2001:db8::1:3" : "192.0.2.8");
    const Frame frame = announcement_of(address, kOther);
    EXPECT_TRUE(shows_other_owner(address, kOurs, kOther, frame.payload));
    EXPECT_FALSE(shows_other_owner(address, kOther, kOther, frame.payload)) << "our own frame";
    EXPECT_FALSE(shows_other_owner(another, kOurs, kOther, frame.payload));
    EXPECT_FALSE(shows_other_owner(address, kOurs, kOther, question_about(address, kOther).payload));
    for (std::size_t size = 0; size < (address.v6 ? 64U : 28U); ++size) {
      EXPECT_FALSE(shows_other_owner(address, kOurs, kOther, BytesView{frame.payload}.first(size)));
    }
  }
}

TEST(Announcement, ANeighbourPacketThatCameThroughARouterIsNotBelieved) {
  Frame frame = announcement_of(kV6, kOther);
  frame.payload[7] = 254;
  EXPECT_FALSE(shows_other_owner(kV6, kOurs, kOther, frame.payload));
}

}  // namespace
}  // namespace safekit::linux_os
