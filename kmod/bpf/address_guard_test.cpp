/// The verdicts of address_guard.bpf.c about single packets, by the kernel's BPF_PROG_TEST_RUN. What it does
/// to traffic is shown by e2e/cases/address_guard.py.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/pkt_cls.h>

#include <cerrno>
#include <ctime>
#include <memory>
#include <utility>
#include <vector>

#include "kmod/abi/address_guard.h"
#include "kmod/bpf/address_guard_object.h"

namespace safekit::bpf {
namespace {

using Packet = std::vector<std::uint8_t>;

Packet operator+(Packet a, const Packet& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Packet kVip4{192, 0, 2, 7};
const Packet kOther4{192, 0, 2, 8};
const Packet kNobody4{0, 0, 0, 0};
Packet v6(std::uint8_t last) {
  return {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
}
const Packet kVip6 = v6(7);
const Packet kOther6 = v6(8);
const Packet kNobody6 = Packet(16, 0);
const Packet kGroup6{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 7};

Packet frame(const Packet& type, const Packet& body) {
  return Packet{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2} + type + body;
}
Packet ipv4_body(const Packet& from, const Packet& to, std::uint8_t fragment_offset = 0) {
  return Packet{0x45, 0, 0, 28, 0, 0, 0, fragment_offset, 64, 17, 0, 0} + from + to + Packet(8, 0);
}
Packet ipv4(const Packet& from, const Packet& to) {
  return frame({8, 0}, ipv4_body(from, to));
}
Packet ipv6(const Packet& from, const Packet& to, std::uint8_t next = 17,
            const Packet& message = Packet(8, 0)) {
  return frame({0x86, 0xdd}, Packet{0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(message.size()), next, 255} +
                                 from + to + message);
}
Packet neighbour(const Packet& from, const Packet& to, std::uint8_t type, const Packet& target) {
  return ipv6(from, to, 58, Packet{type, 0, 0, 0, 0, 0, 0, 0} + target);
}
Packet arp(std::uint8_t operation, const Packet& sender, const Packet& target) {
  return frame({8, 6},
               Packet{0, 1, 8, 0, 6, 4, 0, operation} + Packet(6, 2) + sender + Packet(6, 0) + target);
}
constexpr std::uint8_t kRequest = 1;
constexpr std::uint8_t kReply = 2;
constexpr std::uint8_t kSolicitation = 135;
constexpr std::uint8_t kAdvertisement = 136;

struct Close {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};

class AddressGuardVerdict : public ::testing::Test {
 protected:
  void SetUp() override {
    libbpf_set_print(nullptr);
    const auto bytes = address_guard_object();
    object.reset(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr));
    ASSERT_NE(object, nullptr);
    ASSERT_EQ(bpf_map__set_max_entries(map("guarded"), 2), 0);
    if (bpf_object__load(object.get()) != 0) {
      ASSERT_TRUE(errno == EPERM || errno == ENOSYS) << errno;
      GTEST_SKIP() << "loads an eBPF program: needs root";
    }
    for (const Packet& key : {Packet(10, 0) + Packet(2, 0xff) + kVip4, kVip6}) {
      const std::uint8_t yes = 1;
      ASSERT_EQ(bpf_map__update_elem(map("guarded"), key.data(), key.size(), &yes, sizeof yes, BPF_ANY), 0);
    }
    allow_until(SK_GUARD_NEVER);
  }
  bpf_map* map(const char* name) { return bpf_object__find_map_by_name(object.get(), name); }
  void allow_until(std::uint64_t moment) {
    const std::uint32_t zero = 0;
    const sk_guard_state state{.until_ns = moment, .dropped = 0};
    ASSERT_EQ(bpf_map__update_elem(map("state"), &zero, sizeof zero, &state, sizeof state, BPF_ANY), 0);
  }
  bool passes(const char* program, const Packet& packet) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = packet.data();
    options.data_size_in = static_cast<std::uint32_t>(packet.size());
    options.repeat = 1;
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(object.get(), program)),
                                     &options),
              0);
    const auto verdict = static_cast<int>(options.retval);
    EXPECT_TRUE(verdict == TC_ACT_UNSPEC || verdict == TC_ACT_SHOT);
    return verdict == TC_ACT_UNSPEC;
  }
  bool comes_in(const Packet& packet) { return passes("guard_ingress", packet); }
  bool goes_out(const Packet& packet) { return passes("guard_egress", packet); }
  std::unique_ptr<bpf_object, Close> object{};
};

TEST_F(AddressGuardVerdict, KeepsBackWhatIsForTheAddressOrFromIt) {
  EXPECT_FALSE(comes_in(ipv4(kOther4, kVip4)));
  EXPECT_TRUE(comes_in(ipv4(kVip4, kOther4))) << "another node has the address now";
  EXPECT_FALSE(goes_out(ipv4(kVip4, kOther4)));
  EXPECT_TRUE(goes_out(ipv4(kOther4, kVip4))) << "the same";
  EXPECT_FALSE(comes_in(frame({8, 0}, ipv4_body(kOther4, kVip4, 9)))) << "a later fragment";
  EXPECT_FALSE(comes_in(ipv6(kOther6, kVip6)));
  EXPECT_TRUE(comes_in(ipv6(kVip6, kOther6)));
  EXPECT_FALSE(goes_out(ipv6(kVip6, kOther6)));
  EXPECT_TRUE(goes_out(ipv6(kOther6, kVip6)));
}

TEST_F(AddressGuardVerdict, AnswersNoQuestionAndSaysNothingOfTheAddress) {
  EXPECT_FALSE(comes_in(arp(kRequest, kOther4, kVip4)));
  EXPECT_FALSE(comes_in(arp(kRequest, kNobody4, kVip4))) << "a probe";
  EXPECT_FALSE(comes_in(arp(kReply, kOther4, kVip4)));
  EXPECT_TRUE(comes_in(arp(kRequest, kVip4, kOther4)));
  EXPECT_FALSE(goes_out(arp(kReply, kVip4, kOther4)));
  EXPECT_FALSE(goes_out(arp(kRequest, kVip4, kVip4))) << "an announcement";
  EXPECT_FALSE(comes_in(neighbour(kOther6, kGroup6, kSolicitation, kVip6)));
  EXPECT_TRUE(comes_in(neighbour(kOther6, kGroup6, kSolicitation, kOther6)));
  EXPECT_FALSE(goes_out(neighbour(kVip6, kGroup6, kAdvertisement, kVip6)));
  EXPECT_FALSE(goes_out(neighbour(kOther6, kGroup6, kAdvertisement, kVip6)));
  EXPECT_TRUE(goes_out(neighbour(kOther6, kGroup6, kAdvertisement, kOther6)));
}

TEST_F(AddressGuardVerdict, LetsTheNodeAskWhoElseHasTheAddress) {
  EXPECT_TRUE(goes_out(arp(kRequest, kNobody4, kVip4)));
  EXPECT_TRUE(comes_in(arp(kReply, kVip4, kNobody4)));
  EXPECT_TRUE(comes_in(arp(kRequest, kVip4, kVip4))) << "another owner announces itself";
  EXPECT_TRUE(goes_out(neighbour(kNobody6, kGroup6, kSolicitation, kVip6)));
  EXPECT_TRUE(comes_in(neighbour(kVip6, kGroup6, kAdvertisement, kVip6)));
  EXPECT_TRUE(goes_out(arp(kRequest, kOther4, kVip4))) << "it may be a client, too";
  EXPECT_TRUE(comes_in(arp(kReply, kVip4, kOther4)));
}

TEST_F(AddressGuardVerdict, HasNoOpinionBeforeItsTime) {
  timespec now{};
  ASSERT_EQ(clock_gettime(CLOCK_BOOTTIME, &now), 0);
  const std::uint64_t ns =
      static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  allow_until(ns + 3'600'000'000'000);
  EXPECT_TRUE(comes_in(ipv4(kOther4, kVip4)));
  EXPECT_TRUE(goes_out(arp(kRequest, kVip4, kVip4)));
  allow_until(SK_GUARD_NO_END);
  EXPECT_TRUE(comes_in(ipv4(kOther4, kVip4)));
  allow_until(ns);
  EXPECT_FALSE(comes_in(ipv4(kOther4, kVip4)));
}

TEST_F(AddressGuardVerdict, SeesThroughTagsOfVirtualNetworks) {
  const Packet body = ipv4_body(kOther4, kVip4);
  const Packet tag{0x81, 0, 0, 10};
  const Packet outer{0x88, 0xa8, 0, 20};
  const Packet type{8, 0};
  EXPECT_FALSE(comes_in(frame(tag + type, body)));
  EXPECT_FALSE(comes_in(frame(outer + tag + type, body)));
  EXPECT_FALSE(goes_out(frame(tag + type, ipv4_body(kVip4, kOther4))));
  EXPECT_TRUE(comes_in(frame(outer + tag + tag + type, body))) << "no interface has addresses that deep";
}

TEST_F(AddressGuardVerdict, PassesWhatIsTooShortToConcernAnybody) {
  for (const auto& [packet, enough] :
       {std::pair{ipv4(kOther4, kVip4), 34U}, std::pair{ipv6(kOther6, kVip6), 54U},
        std::pair{arp(kRequest, kOther4, kVip4), 42U},
        std::pair{neighbour(kOther6, kGroup6, kSolicitation, kVip6), 78U}}) {
    // With a tag: the kernel's test runs take no IP packet without its header.
    Packet tagged = packet;
    tagged.insert(tagged.begin() + 12, {0x81, 0, 0, 10});
    for (std::size_t size = 14; size <= tagged.size(); ++size) {
      const Packet part(tagged.begin(), tagged.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_EQ(comes_in(part), size < enough + 4) << size;
    }
  }
  EXPECT_TRUE(comes_in(frame({8, 6}, Packet{0, 1, 8, 0, 8, 4, 0, 1} + Packet(24, 0))))
      << "ARP, but not of Ethernet";
}

TEST_F(AddressGuardVerdict, CountsWhatItKeepsBack) {
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(comes_in(ipv4(kOther4, kVip4)));
  EXPECT_TRUE(comes_in(ipv4(kOther4, kOther4)));
  const std::uint32_t zero = 0;
  sk_guard_state state{};
  ASSERT_EQ(bpf_map__lookup_elem(map("state"), &zero, sizeof zero, &state, sizeof state, 0), 0);
  EXPECT_EQ(state.dropped, 3u);
}

/// Not a claim: prints what a packet costs, `--gtest_also_run_disabled_tests --gtest_filter=*Costs`.
}  // namespace
}  // namespace safekit::bpf
