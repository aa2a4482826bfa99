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
  static wire::Message question(std::uint64_t about) { return wire::VerifyState{.at = {0, name(about)}, .attributes = {}}; }
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

TEST_F(SecondaryReceiptTest, WhatWasConfirmedIsAppliedWhateverBecomesOfTheConnection) {
  ends_->holds = true;
  // The answer to the question between finds that the connection has ended.
  send({root(), make(2), question(2), make(3), question(3), make(4), wire::Confirm{}, make(5)});
  EXPECT_EQ(next(), wire::Message{wire::Received{{6}}});
  secondary_->stop();
  EXPECT_TRUE(is_there(2) && is_there(3) && is_there(4));
}

TEST_F(SecondaryReceiptTest, WhatWasNotConfirmedIsLeftWhenTheConnectionHasEnded) {
  ends_->holds = true;
  send({root(), make(2), wire::Confirm{}, question(2), make(3)});
  EXPECT_EQ(next(), wire::Message{wire::Received{{2}}});
  secondary_->stop();
  EXPECT_TRUE(is_there(2));
  EXPECT_FALSE(is_there(3));
}

TEST_F(SecondaryReceiptTest, ACopyInWhichWhatWasConfirmedCannotBeDoneIsMarkedAlsoAtATakeover) {
  ends_->holds = true;
  ASSERT_TRUE(journal_->update([](journal::State& state) { state.up_to_date = true; }));
  send({root(), make(2), make(2), wire::Confirm{}});
  EXPECT_EQ(next(), wire::Message{wire::Received{{3}}});
  secondary_->stop();
  EXPECT_FALSE(journal_->state().up_to_date);
}

TEST_F(SecondaryReceiptTest, WhatNobodyReliesOnKeepsNoCopyFromATakeover) {
  ends_->holds = true;
  ASSERT_TRUE(journal_->update([](journal::State& state) { state.up_to_date = true; }));
  send({root(), make(2), wire::Confirm{}, make(2)});
  EXPECT_EQ(next(), wire::Message{wire::Received{{2}}});
  secondary_->stop();
  EXPECT_TRUE(journal_->state().up_to_date);
}

}  // namespace
}  // namespace safekit::replica
