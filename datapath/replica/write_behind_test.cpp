#include "datapath/replica/write_behind.h"

#include <gtest/gtest.h>

namespace safekit::replica {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
using Range = SequentialRun::Range;

TEST(SequentialRun, IsBroughtToDiskInStepsOnceItIsLong) {
  SequentialRun run;
  for (std::uint64_t i = 0; i < 15; ++i) EXPECT_EQ(run.wrote(i * kMiB, kMiB), Range{}) << i;
  EXPECT_EQ(run.wrote(15 * kMiB, kMiB), (Range{0, 16 * kMiB}));
  for (std::uint64_t i = 16; i < 19; ++i) EXPECT_EQ(run.wrote(i * kMiB, kMiB), Range{}) << i;
  EXPECT_EQ(run.wrote(19 * kMiB, kMiB), (Range{16 * kMiB, 20 * kMiB}));
}

TEST(SequentialRun, BeginsAnewWhereItIsBroken) {
  SequentialRun run;
  for (std::uint64_t i = 0; i < 15; ++i) EXPECT_EQ(run.wrote(i * kMiB, kMiB), Range{});
  EXPECT_EQ(run.wrote(16 * kMiB, kMiB), Range{}) << "a gap";
  for (std::uint64_t i = 17; i < 31; ++i) EXPECT_EQ(run.wrote(i * kMiB, kMiB), Range{}) << i;
  EXPECT_EQ(run.wrote(31 * kMiB, kMiB), (Range{16 * kMiB, 32 * kMiB}));
}

TEST(SequentialRun, RandomWritesAreLeftToTheKernel) {
  SequentialRun run;
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(run.wrote(i * 37 % 100 * kMiB, kMiB / 2), Range{}) << i;
}

TEST(SequentialRun, WhatStaysIsBroughtToDiskFromTheFirstStep) {
  SequentialRun run;
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_EQ(run.wrote(i * kMiB, kMiB, SequentialRun::kStepBytes), Range{}) << i;
  EXPECT_EQ(run.wrote(3 * kMiB, kMiB, SequentialRun::kStepBytes), (Range{0, 4 * kMiB}));
  EXPECT_EQ(run.wrote(4 * kMiB, kMiB, SequentialRun::kStepBytes), Range{});
  EXPECT_EQ(run.rest(), (Range{4 * kMiB, 5 * kMiB})) << "its end";
  EXPECT_EQ(run.rest(), Range{});
}

TEST(SequentialRun, OneLargeWriteIsARun) {
  SequentialRun run;
  EXPECT_EQ(run.wrote(5, 20 * kMiB), (Range{5, 20 * kMiB + 5}));
}

}  // namespace
}  // namespace safekit::replica
