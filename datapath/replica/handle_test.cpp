#include "datapath/replica/handle.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

TEST(Handle, WithoutBytesItOpensNothing) {
  const Fd root{::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  ASSERT_TRUE(root);
  EXPECT_FALSE(open_key(root.get(), to_key({}), O_PATH));
  EXPECT_FALSE(open_key(root.get(), HandleKey{}, O_PATH));
}

}  // namespace
}  // namespace safekit::replica
