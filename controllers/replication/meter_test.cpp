#include "controllers/replication/meter.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace safekit::replication {
namespace {

using ::testing::Contains;
using ::testing::Pair;

constexpr std::uint64_t kKb = 1024;

struct Bench {
  Meter meter{};
  control::Report report{.connected = true};
  MonoTime now{1'000'000'000};
  std::vector<std::string> lines{};

  void hear() {
    Measured measured = measure(meter, report, now);
    meter = std::move(measured.meter);
    if (!measured.line.empty()) lines.push_back(std::move(measured.line));
  }
  void lose() { meter = measure(meter, std::nullopt, now).meter; }
  [[nodiscard]] std::string value(const std::string& name) const {
    for (const auto& [resource, value] : metrics_of(meter)) {
      if (resource == "rfs." + name) return value;
    }
    return "none";
  }
};

}  // namespace

TEST(Meter, RatesAreTheMeanOfThreeSeconds) {
  Bench bench;
  bench.hear();
  for (int tenth = 1; tenth <= 100; ++tenth) {
    bench.now = bench.now + milliseconds{100};
    if (tenth <= 50) bench.report.traffic.written += 100 * kKb;
    bench.report.traffic.sent += 20 * kKb;
    bench.report.traffic.received += kKb;
    bench.hear();
    const std::map<int, std::string> expected{{40, "1000"}, {60, "666"}, {80, "0"}};  // two of the three seconds at 60
    if (const auto now = expected.find(tenth); now != expected.end()) {
      EXPECT_EQ(bench.value("rep_bandwidth"), now->second) << tenth;
    }
    EXPECT_LE(bench.meter.samples.size(), 32U);
  }
  EXPECT_EQ(bench.value("netout_bandwidth"), "200");
  EXPECT_EQ(bench.value("netin_bandwidth"), "10");
  bench.now = bench.now + seconds{2};
  bench.lose();
  EXPECT_EQ(bench.value("netout_bandwidth"), "0");
}

TEST(Meter, ManyReportsAreNeitherManySamplesNorManyRates) {
  Bench bench;
  bench.hear();
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) {
    bench.now = bench.now + milliseconds{1};
    bench.report.traffic.written += static_cast<std::uint64_t>(i) * kKb;
    bench.hear();
    seen.insert(bench.value("rep_bandwidth"));
  }
  EXPECT_LE(bench.meter.samples.size(), 32U);
  EXPECT_LE(seen.size(), 3U);
}

TEST(Meter, ACounterThatBeginsAnewIsNoLossAndNoLeap) {
  Bench bench;
  bench.report.traffic.written = 1ULL << 40;
  bench.hear();
  bench.now = bench.now + seconds{1};
  bench.report.traffic.written = 10 * kKb;  // of another process
  bench.hear();
  EXPECT_EQ(bench.value("rep_bandwidth"), "10");
}

TEST(Meter, FollowsASynchronisation) {
  Bench bench;
  bench.hear();
  EXPECT_EQ(bench.value("rei_left_time_metric"), "0");
  bench.report.phase = control::SyncPhase::Copying;
  bench.report.scanning = true;
  bench.report.files_total = 10;
  bench.report.directories_total = 3;
  bench.report.directories_done = 1;
  bench.hear();
  bench.now = bench.now + seconds{4};
  bench.hear();
  EXPECT_EQ(bench.value("rei_scan_time_metric"), "4");
  EXPECT_EQ(bench.value("rei_left_time_metric"), "unknown") << "more may be found";
  EXPECT_EQ(bench.value("rei_syncdir_count_metric"), "1/3");
  bench.report.scanning = false;
  bench.report.bytes_total = 100 << 20;
  bench.report.bytes_done = 25 << 20;
  bench.report.bytes_copied = 20 << 20;
  bench.report.files_done = 2;
  bench.report.directories_done = 3;
  bench.now = bench.now + seconds{6};
  bench.hear();
  EXPECT_EQ(bench.value("rei_left_time_metric"), "30");
  EXPECT_EQ(bench.lines, std::vector<std::string>{"20 MB copied, 2 of 10 files, about 30 s left"});
  EXPECT_EQ(bench.value("rei_scan_time_metric"), "4");
  EXPECT_EQ(bench.value("rei_copy_time_metric"), "10");
  EXPECT_EQ(bench.value("rei_copy_size_metric"), "20480");
  EXPECT_NE(bench.value("rei_bandwidth"), "0");
  bench.report.phase = control::SyncPhase::Done;
  bench.report.peer_synchronised = true;
  bench.now = bench.now + seconds{2};
  bench.hear();
  bench.now = bench.now + minutes{1};
  bench.hear();
  EXPECT_EQ(bench.value("rei_copy_time_metric"), "12");
  EXPECT_EQ(bench.value("rei_left_time_metric"), "0");
  EXPECT_EQ(bench.value("reintegre_failed"), "false");
  EXPECT_EQ(bench.lines.size(), 1U);
}

TEST(Meter, ASecondaryCountsWhatArrivesAndKnowsNoEnd) {
  Bench bench;
  bench.report.phase = control::SyncPhase::Copying;
  bench.hear();
  bench.now = bench.now + seconds{5};
  bench.report.files_done = 3;
  bench.report.bytes_copied = 5 * kKb;
  bench.hear();
  EXPECT_EQ(bench.value("rei_copy_count_metric"), "3");
  EXPECT_EQ(bench.value("rei_copy_size_metric"), "5");
  EXPECT_EQ(bench.value("rei_left_time_metric"), "unknown");
}

TEST(Meter, OneThatEndsBeforeTheCopiesAreEqualHasFailedUntilOneHasNot) {
  for (const bool process_ends : {false, true}) {
    Bench bench;
    bench.report.phase = control::SyncPhase::Copying;
    bench.hear();
    bench.report.phase = control::SyncPhase::Connecting;
    process_ends ? bench.lose() : bench.hear();
    EXPECT_EQ(bench.value("reintegre_failed"), "true");
    bench.report.phase = control::SyncPhase::Copying;
    bench.hear();
    EXPECT_EQ(bench.value("reintegre_failed"), "true");
    bench.report.phase = control::SyncPhase::Done;
    bench.report.peer_synchronised = true;
    bench.hear();
    EXPECT_EQ(bench.value("reintegre_failed"), "false");
  }
}

TEST(Meter, WhatWasSaidOfTheLastOneStandsWithoutAReplica) {
  Bench bench;
  bench.hear();
  EXPECT_THAT(metrics_of(bench.meter), Contains(Pair("rfs.rei_copy_count_metric", "0")));
  bench.lose();
  EXPECT_EQ(bench.value("rei_copy_count_metric"), "none") << "the value that was set is left as it is";
}

}  // namespace safekit::replication
