#include "datapath/resync/outside.h"

#include <gtest/gtest.h>

namespace safekit::resync {
namespace {

using linux_os::FileMoment;
using Look = Scope::Look;
constexpr std::int64_t kSecond = 1'000'000'000;

journal::State left_state() {
  return {.ever_synchronised = true,
          .exact = true,
          .watched = {.until = 1000 * kSecond, .setting = 500 * kSecond, .boot = "one", .left = true}};
}

TEST(Outside, WhereToLookAtAStart) {
  struct Case {
    const char* label;
    FileMoment now;
    const char* boot;
    Look look;
  };
  for (const Case& c : {
           Case{"later", {2000 * kSecond, 500 * kSecond}, "one", Look::Changed},
           Case{"at once", {1000 * kSecond, 500 * kSecond}, "one", Look::Changed},
           Case{"the clock is behind", {999 * kSecond, 500 * kSecond}, "one", Look::Everywhere},
           Case{"behind, after a boot", {999 * kSecond, 700 * kSecond}, "two", Look::Everywhere},
           Case{"it was set back and time has passed", {2000 * kSecond, 499 * kSecond}, "one", Look::Everywhere},
           Case{"it was set forward", {9000 * kSecond, 7500 * kSecond}, "one", Look::Changed},
           Case{"after a boot", {2000 * kSecond, 400 * kSecond}, "two", Look::Changed},
           Case{"read a little later", {2000 * kSecond, 500 * kSecond - 1000}, "one", Look::Changed},
       }) {
    const Scope scope = scope_of(left_state(), true, c.now, c.boot);
    EXPECT_EQ(scope.look, c.look) << c.label;
    EXPECT_EQ(scope.why.empty(), c.look != Look::Everywhere) << c.label;
    if (c.look == Look::Changed) {
      EXPECT_EQ(scope.since, 1000 * kSecond) << c.label;
    }
  }
}

TEST(Outside, WhatIsKnownOfTheCopyDecidesToo) {
  const FileMoment now{2000 * kSecond, 500 * kSecond};
  journal::State state = left_state();
  EXPECT_EQ(scope_of(state, false, now, "one").look, Look::Everywhere);
  state.base_log = {1, 2};
  EXPECT_EQ(scope_of(state, false, now, "one").look, Look::Changed);
  state.base_log = {};
  state.own_log = {1, 2};
  EXPECT_EQ(scope_of(state, false, now, "one").look, Look::Changed);
  state.watched = {.left = true};
  EXPECT_EQ(scope_of(state, true, now, "one").look, Look::Everywhere);
  state.watched = {.unsettled = true};
  EXPECT_EQ(scope_of(state, true, now, "one").look, Look::Everywhere);
  state.watched = {.until = 1000 * kSecond, .setting = 500 * kSecond, .boot = "one", .unsettled = true};
  EXPECT_EQ(scope_of(state, true, now, "one").look, Look::Changed);
  EXPECT_FALSE(scope_of(state, true, now, "one").by_others);
  state.ever_synchronised = false;
  EXPECT_EQ(scope_of(state, true, now, "one").look, Look::Nowhere);
}

TEST(Outside, OfACopyThatWasLostWhileItServedNoMoreIsFoundThanCanBeTold) {
  journal::State state = left_state();
  state.watched.left = false;
  // Of a process that ended alone: what it did itself since the last checkpoint as well.
  EXPECT_EQ(scope_of(state, true, {2000 * kSecond, 500 * kSecond}, "one"), (Scope{.look = Look::Changed, .since = 1000 * kSecond}));
  // With the machine: what was done since it came up again.
  const Scope booted{.look = Look::Changed, .since = 1800 * kSecond, .by_others = true};
  EXPECT_EQ(scope_of(state, true, {2000 * kSecond, 1800 * kSecond}, "two"), booted);
  state.watched.unsettled = true;
  EXPECT_EQ(scope_of(state, true, {2000 * kSecond, 1800 * kSecond}, "two").since, 1000 * kSecond);
  state.watched.unsettled = false;
  EXPECT_EQ(scope_of(state, true, {999 * kSecond, 900 * kSecond}, "two").look, Look::Everywhere) << "the clock is behind";
}

TEST(Outside, AnInodeIsChangedFromThatMomentOn) {
  constexpr std::int64_t kSince = 1000 * kSecond + 500;
  EXPECT_FALSE(is_since({999, 999'999'999}, kSince));
  EXPECT_FALSE(is_since({1000, 499}, kSince));
  EXPECT_TRUE(is_since({1000, 500}, kSince));
  EXPECT_TRUE(is_since({1001, 0}, kSince));
  EXPECT_TRUE(is_since({1000, 0}, kSince));  // a file system of whole seconds
  EXPECT_FALSE(is_since({999, 0}, kSince));
  EXPECT_FALSE(is_since({-1, 0}, kSince));
}

TEST(Outside, WhatIsUnsettledKeepsTheMoment) {
  journal::State state = left_state();
  const FileMoment now{2000 * kSecond, 600 * kSecond};
  state.watched.unsettled = true;
  watch_until(state, now, "two");
  EXPECT_EQ(state.watched.until, 1000 * kSecond);
  settle(state, now, "two");
  EXPECT_EQ(state.watched, (journal::Watched{2000 * kSecond, 600 * kSecond, "two", true, false}));
  watch_until(state, {2001 * kSecond, 600 * kSecond}, "two");
  EXPECT_EQ(state.watched.until, 2001 * kSecond);
}

}  // namespace
}  // namespace safekit::resync
