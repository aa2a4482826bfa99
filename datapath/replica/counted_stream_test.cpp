#include "datapath/replica/counted_stream.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

/// Takes all, gives five bytes, and knows its line.
class Spoken final : public Stream {
 public:
  Status write(BytesView, Duration) override { return {}; }
  Result<std::size_t> read(std::span<std::uint8_t>, Duration) override { return 5; }
  [[nodiscard]] Line line() const override { return {.unconfirmed = 7, .held_back = seconds{1}, .connections = 3}; }
  void shut() override {}
};

class SpokenSource final : public StreamSource {
 public:
  Result<std::unique_ptr<Stream>> next(Duration) override { return std::unique_ptr<Stream>{std::make_unique<Spoken>()}; }
  void shut() override {}
};

TEST(CountedStream, CountsAndIsTheSameOtherwise) {
  StreamCount count;
  const auto source = counted(std::make_unique<SpokenSource>(), count);
  for (int i = 0; i < 2; ++i) {
    const auto stream = source->next(seconds{1});
    ASSERT_TRUE(stream);
    const Bytes sent(10);
    EXPECT_TRUE((*stream)->write(sent, seconds{1}));
    Bytes got(8);
    EXPECT_EQ((*stream)->read(got, seconds{1}).value_or(0), 5U);
    EXPECT_EQ((*stream)->line().unconfirmed, 7U);
    EXPECT_EQ((*stream)->line().held_back, Duration{seconds{1}});
    EXPECT_EQ((*stream)->line().connections, 3U);
  }
  EXPECT_EQ(count.sent, 20U);
  EXPECT_EQ(count.received, 10U);
}

}  // namespace
}  // namespace safekit::replica
