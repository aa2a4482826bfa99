#include "datapath/replica/window.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

Touch write(std::uint64_t id) { return {.what = Touch::kContent, .id = {id}, .offset = 1, .size = 2}; }

TEST(Window, AcknowledgesCumulativelyAndRefusesNumbersNeverGiven) {
  Window window;
  window.restart({100});
  std::vector<Touch> freed;
  EXPECT_FALSE(window.acknowledge({100}, freed));
  EXPECT_TRUE(window.acknowledge({99}, freed));
  for (std::uint64_t i = 0; i < 10; ++i) window.push(write(i), 10, MonoTime{static_cast<std::int64_t>(i)});
  EXPECT_EQ(window.bytes(), 100U);
  EXPECT_TRUE(window.acknowledge({103}, freed));
  EXPECT_EQ(window.bytes(), 60U);
  EXPECT_EQ(window.oldest(), MonoTime{4});
  EXPECT_TRUE(window.acknowledge({101}, freed));
  EXPECT_EQ(window.unacknowledged().size(), 6U);
  EXPECT_EQ(window.unacknowledged().front(), write(4));
  EXPECT_FALSE(window.acknowledge({110}, freed));
  EXPECT_TRUE(window.acknowledge({109}, freed));
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(window.bytes(), 0U);
}

TEST(Window, IsFullByBytesOrByCount) {
  Window window;
  window.push(write(1), Window::kBytesMax, {});
  EXPECT_TRUE(window.is_full());
  window.restart({1});
  EXPECT_FALSE(window.is_full());
  for (std::size_t i = 0; i < Window::kOperationsMax; ++i) window.push(write(1), 0, {});
  EXPECT_TRUE(window.is_full());
}

TEST(Window, WhatAResynchronisationSendsAndTheApplicationDoNotKeepEachOtherOut) {
  Window window;
  window.push(write(1), Window::kBytesMaxInResync, {});
  EXPECT_TRUE(window.is_full(true));
  EXPECT_FALSE(window.is_full(false));
  EXPECT_EQ(window.resync_bytes(), 0U);
  window.restart({1});
  window.push({}, Window::kBytesMax, {}, Window::Source::Resync);
  EXPECT_FALSE(window.is_full(true));
  EXPECT_EQ(window.resync_bytes(), Window::kBytesMax);
  std::vector<Touch> freed;
  EXPECT_TRUE(window.acknowledge({1}, freed));
  EXPECT_EQ(window.resync_bytes(), 0U);
}

TEST(Window, GivesBackForgets) {
  Window window;
  window.push({.what = Touch::kForget, .id = {7}}, 1, {});
  window.push(write(8), 1, {});
  std::vector<Touch> freed;
  EXPECT_TRUE(window.acknowledge({2}, freed));
  ASSERT_EQ(freed.size(), 1U);
  EXPECT_EQ(freed[0].id, InodeId{7});
}

}  // namespace
}  // namespace safekit::replica
