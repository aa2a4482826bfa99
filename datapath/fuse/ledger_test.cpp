#include "datapath/fuse/ledger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace safekit::fuse {
namespace {

const std::vector<std::string> kPaths{"/one", "/two"};

LedgerInode inode(std::uint64_t id) {
  return {.id = id,
          .device = 8,
          .number = id + 1,
          .type = S_IFREG,
          .handle = {.root = 1, .type = 2, .bytes = {1, 2, 3, 4, 5, 6, 7, 8}}};
}

std::unique_ptr<Ledger> next_of(const Ledger& ledger) {
  auto next = Ledger::take(Fd{::fcntl(ledger.descriptor(), F_DUPFD_CLOEXEC, 0)}, kPaths);
  EXPECT_TRUE(next) << next.error().what;
  return next ? std::move(*next) : nullptr;
}

TEST(FuseLedger, TheNextProcessFindsWhatTheKernelRefersTo) {
  Ledger ledger{kPaths};
  ASSERT_EQ(ledger.broken(), "");
  const auto one = ledger.add(inode(1000), true);
  const auto two = ledger.add(inode(1001), true);
  const auto three = ledger.add(inode(1002), true);
  const auto four = ledger.add(inode(1003), true);
  ledger.set_lookups(one, 3);
  ledger.set_opens(one, 2, true);
  ledger.set_lookups(two, 1);
  ledger.set_parting(two);
  ledger.set_lookups(three, 1);
  ledger.remove(three);
  (void)four;  // only a resynchronisation held it
  ledger.agree({.resend = true, .write_back = true, .long_setxattr = true});
  ledger.note_next_id(1004);
  ledger.note_alone(true);
  const auto next = next_of(ledger);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->epoch(), 2U);
  EXPECT_EQ(next->agreement(), (Agreement{.resend = true, .write_back = true, .long_setxattr = true}));
  EXPECT_TRUE(next->was_alone());
  EXPECT_EQ(next->next_id(), 1004U);
  LedgerInode first = inode(1000);
  first.lookups = 3;
  first.opens = 2;
  first.writable = true;
  LedgerInode second = inode(1001);
  second.lookups = 1;
  second.parting = true;
  std::vector<LedgerInode> found;
  for (const auto& entry : next->inodes()) found.push_back(entry.second);
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  EXPECT_EQ(found, (std::vector<LedgerInode>{first, second}));
  // Free slots are used before new ones.
  EXPECT_LT(next->add(inode(1005), true), 4096U);
}

TEST(FuseLedger, TakesWhatTheReleaseBeforeLeft) {
  constexpr off_t kVersionAt = 8;
  Ledger ledger{kPaths};
  ledger.agree({.resend = true});
  const auto with_version = [&](std::uint32_t version) {
    EXPECT_EQ(::pwrite(ledger.descriptor(), &version, sizeof version, kVersionAt), static_cast<ssize_t>(sizeof version));
    return Ledger::take(Fd{::fcntl(ledger.descriptor(), F_DUPFD_CLOEXEC, 0)}, kPaths);
  };
  const auto before = with_version(1);
  ASSERT_TRUE(before);
  EXPECT_EQ((*before)->agreement(), Agreement{.resend = true});
  EXPECT_FALSE(with_version(0));
  EXPECT_FALSE(with_version(Ledger::kVersion + 1));
}

TEST(FuseLedger, GrowsWithTheInodes) {
  Ledger ledger{kPaths};
  for (std::uint64_t id = 1000; id < 11000; ++id) ledger.set_lookups(ledger.add(inode(id), true), 1);
  EXPECT_EQ(ledger.broken(), "");
  EXPECT_EQ(next_of(ledger)->inodes().size(), 10000U);
}

TEST(FuseLedger, WhatCannotBeNotedIsToldAndNotTaken) {
  const auto taken = [](const Ledger& ledger, const std::vector<std::string>& paths) {
    return static_cast<bool>(Ledger::take(Fd{::fcntl(ledger.descriptor(), F_DUPFD_CLOEXEC, 0)}, paths));
  };
  Ledger whole{kPaths};
  EXPECT_TRUE(taken(whole, kPaths));
  EXPECT_FALSE(taken(whole, {"/one"}));
  Ledger no_handles{kPaths};
  EXPECT_EQ(no_handles.add(inode(1000), false), Ledger::kNoSlot);
  EXPECT_NE(no_handles.broken(), "");
  EXPECT_FALSE(taken(no_handles, kPaths));
  no_handles.set_lookups(Ledger::kNoSlot, 1);
  no_handles.remove(Ledger::kNoSlot);
  Ledger long_handle{kPaths};
  LedgerInode longer = inode(1000);
  longer.handle.bytes.resize(Ledger::kHandleBytesMax + 1);
  EXPECT_EQ(long_handle.add(longer, true), Ledger::kNoSlot);
  EXPECT_FALSE(taken(long_handle, kPaths));
  Ledger given_up{kPaths};
  given_up.set_kept(false);
  EXPECT_FALSE(taken(given_up, kPaths));
  EXPECT_NE(given_up.add(inode(1000), true), Ledger::kNoSlot);
  given_up.set_kept(true);
  EXPECT_TRUE(taken(given_up, kPaths));
  given_up.set_kept(false);
  EXPECT_EQ(given_up.add(longer, true), Ledger::kNoSlot);
  given_up.set_kept(true);
  EXPECT_FALSE(taken(given_up, kPaths)) << "that is not mended by it";
  EXPECT_FALSE(Ledger::take(Fd{}, kPaths));
  Ledger cut{kPaths};
  ASSERT_EQ(::ftruncate(cut.descriptor(), 100), 0);
  EXPECT_FALSE(taken(cut, kPaths));
}

TEST(FuseLedger, MoreSlotsThanThereCanBeAreDamage) {
  Ledger ledger{kPaths};
  constexpr off_t kSlotCountAt = 48;
  constexpr std::uint32_t kMany = Ledger::kInodesMax + 1;
  ASSERT_EQ(::pwrite(ledger.descriptor(), &kMany, sizeof kMany, kSlotCountAt), static_cast<ssize_t>(sizeof kMany));
  ASSERT_EQ(::ftruncate(ledger.descriptor(), off_t{kMany} * 100), 0);
  EXPECT_FALSE(Ledger::take(Fd{::fcntl(ledger.descriptor(), F_DUPFD_CLOEXEC, 0)}, kPaths));
}

TEST(FuseLedger, ARepeatedRequestKnowsWhatWasBegun) {
  Ledger ledger{kPaths};
  Attempt attempt{ledger.lend()};
  attempt.begin(1, 42, {});
  EXPECT_FALSE(attempt.is_repeated());
  attempt.counted(InodeId{1000});
  attempt.counted(InodeId{1001});
  attempt.uncounted();
  attempt.opened(InodeId{1000});
  attempt.begin_change(7);
  const auto next = next_of(ledger);
  EXPECT_TRUE(next->earlier(0, 42).empty());
  EXPECT_TRUE(next->earlier(1, 43).empty());
  const auto before = next->earlier(1, 42);
  ASSERT_EQ(before.size(), 1U);
  EXPECT_EQ(before[0]->counts, 1U);
  EXPECT_EQ(before[0]->counted[0], 1000U);
  EXPECT_EQ(before[0]->opens, 1);
  // The one after the next as well, though the next ended before it did anything.
  Attempt again{next->lend()};
  again.begin(1, 42, before);
  EXPECT_TRUE(again.is_repeated());
  EXPECT_EQ(again.evidence(), 7U);
  before[0]->counts = 0;
  before[0]->opens = 0;
  const auto last = next_of(*next);
  EXPECT_EQ(last->earlier(1, 42).size(), 2U);
  Attempt once_more{last->lend()};
  once_more.begin(1, 42, last->earlier(1, 42));
  EXPECT_TRUE(once_more.is_repeated());
  EXPECT_EQ(once_more.evidence(), 7U);
}

TEST(FuseLedger, AChangeThatWasRefusedHasNotBegun) {
  Ledger ledger{kPaths};
  Attempt attempt{ledger.lend()};
  attempt.begin(0, 9, {});
  attempt.begin_change();
  attempt.end_change();
  const auto next = next_of(ledger);
  Attempt again{next->lend()};
  again.begin(0, 9, next->earlier(0, 9));
  EXPECT_FALSE(again.is_repeated());
}

TEST(FuseLedger, RecordsAreBoundedAndComeBack) {
  Ledger ledger{kPaths};
  std::vector<Ledger::Record*> lent;
  for (std::uint32_t i = 0; i < Ledger::kRequestsMax; ++i) lent.push_back(ledger.lend());
  EXPECT_EQ(std::set(lent.begin(), lent.end()).size(), Ledger::kRequestsMax);
  EXPECT_EQ(ledger.lend(), nullptr);
  ledger.give_back(lent[5]);
  EXPECT_EQ(ledger.lend(), lent[5]);
  Attempt none;
  none.begin(0, 1, {});
  none.counted(InodeId{1});
  none.opened(InodeId{1});
  none.begin_change();
  EXPECT_TRUE(none.has_room());
}

}  // namespace
}  // namespace safekit::fuse
