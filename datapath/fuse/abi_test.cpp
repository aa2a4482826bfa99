#include "datapath/fuse/abi.h"

#include <gtest/gtest.h>

namespace safekit::fuse {
namespace {

constexpr std::uint64_t kNeeded = FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT;

fuse_init_in greeting(std::uint32_t minor, std::uint64_t features) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = minor;
  in.flags = static_cast<std::uint32_t>(features);
  in.flags2 = static_cast<std::uint32_t>(features >> 32);
  return in;
}

Bytes request_bytes(std::string_view body) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = FUSE_LOOKUP;
  Bytes bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

TEST(FuseAbi, TakesOnlyOfferedFeatures) {
  const auto out = negotiate(greeting(33, kNeeded | FUSE_BIG_WRITES));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->flags, static_cast<std::uint32_t>(kNeeded | FUSE_BIG_WRITES));
  EXPECT_EQ(out->minor, 33U);
  EXPECT_EQ(out->max_write, 1U << 20);
}

TEST(FuseAbi, LeavesLocksToTheKernelAndSeesEveryWrite) {
  const auto out = negotiate(greeting(45, ~std::uint64_t{0}));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_WRITEBACK_CACHE | FUSE_NO_OPEN_SUPPORT),
            0U);
  EXPECT_EQ(out->minor, static_cast<std::uint32_t>(FUSE_KERNEL_MINOR_VERSION));
  EXPECT_EQ(out->flags2, static_cast<std::uint32_t>(kInitHasResend >> 32));
}

TEST(FuseAbi, RefusesAKernelWithoutKillpriv) {
  EXPECT_FALSE(negotiate(greeting(32, kNeeded)));
  EXPECT_FALSE(negotiate(greeting(45, FUSE_INIT_EXT)));
}

TEST(FuseAbi, IgnoresHighFeaturesOfAShortGreeting) {
  const auto out = negotiate(greeting(36, FUSE_HANDLE_KILLPRIV_V2 | kInitHasResend));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->flags2, 0U);
}

TEST(FuseAbi, ReadsNamesOneBehindTheOther) {
  const Bytes bytes = request_bytes(std::string_view{"one\0two\0", 8});
  const auto request = Request::parse(bytes);
  ASSERT_TRUE(request);
  EXPECT_EQ(*request->name_at(0), "one");
  EXPECT_EQ(*request->name_at(4), "two");
  EXPECT_FALSE(request->name_at(8));
}

TEST(FuseAbi, RefusesWhatIsCutShort) {
  const Bytes bytes = request_bytes("no end");
  const auto request = Request::parse(bytes);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->name_at(0));
  EXPECT_FALSE(request->arguments<fuse_write_in>());
  EXPECT_FALSE(request->bytes_at(2, 5));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(Request::parse(BytesView{bytes}.first(size)));
}

}  // namespace
}  // namespace safekit::fuse
