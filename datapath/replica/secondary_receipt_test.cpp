// What a secondary confirms before it has applied it.
#include <sys/stat.h>

#include "datapath/replica/secondary_fixture.h"

namespace safekit::replica {
namespace {

class SecondaryReceiptTest : public SecondaryFixture {
 protected:
  static wire::Message root() { return wire::Operation{wire::Bind{.id = {1}, .at = {}, .identity = 1}}; }
  static wire::Message make(std::uint64_t id) {
    return wire::Operation{wire::Create{.parent = {1},
                                        .name = name(id),
                                        .id = {id},
                                        .attributes = {.mode = S_IFREG | 0600, .uid = ::getuid(), .gid = ::getgid()},
                                        .identity = id}};
  }
  static std::string name(std::uint64_t id) { return "file" + std::to_string(id); }
  [[nodiscard]] bool is_there(std::uint64_t id) const { return std::filesystem::exists(directory_ + "/data/" + name(id)); }
};

TEST_F(SecondaryReceiptTest, WhatIsBeforeAConfirmIsConfirmedBeforeItIsApplied) {
  send({root(), make(2), make(3), wire::Confirm{}, make(4)});
  EXPECT_EQ(next(), wire::Message{wire::Received{{3}}});
  EXPECT_EQ(next(), wire::Message{wire::Acknowledge{{4}}});
  EXPECT_TRUE(is_there(2) && is_there(3) && is_there(4));
}

TEST_F(SecondaryReceiptTest, WhatIsAppliedAlreadyIsOnlyAcknowledged) {
  send({root(), make(2)});
  EXPECT_EQ(next(), wire::Message{wire::Acknowledge{{2}}});
  send({wire::Confirm{}, make(3)});
  EXPECT_EQ(next(), wire::Message{wire::Acknowledge{{3}}});
}

TEST_F(SecondaryReceiptTest, WhatIsHereIsAppliedWhateverBecomesOfTheConnection) {
  constexpr std::uint64_t kFiles = 5;
  {
    const std::lock_guard lock{ends_->mutex};
    wire::append_message(ends_->down, root());
    for (std::uint64_t id = 2; id < 2 + kFiles; ++id) {
      wire::append_message(ends_->down, make(id));
      // Answered at once: here the connection is found to be lost.
      wire::append_message(ends_->down, wire::VerifyState{.at = {0, name(id)}, .attributes = {}});
    }
    ends_->deaf = true;
    ends_->wake.notify_all();
  }
  await_read();
  secondary_->stop();
  for (std::uint64_t id = 2; id < 2 + kFiles; ++id) EXPECT_TRUE(is_there(id)) << id;
}

}  // namespace
}  // namespace safekit::replica
