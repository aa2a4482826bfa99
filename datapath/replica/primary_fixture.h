#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <future>

#include "datapath/replica/played_peer.h"
#include "datapath/replica/primary.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/seeded_random.h"

namespace safekit::replica {

inline constexpr std::chrono::seconds kSoon{20};  ///< of real time; only a failure takes as long

class PrimaryFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/primary-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    std::filesystem::create_directory(directory_ + "/data");
    journal_ = std::make_unique<journal::Journal>(directory_ + "/state");
    ASSERT_TRUE(journal_->open());
    ASSERT_TRUE(journal_->update([](journal::State& state) {
      state.generations.current = DataGeneration{7};
      state.peer = "b";
      state.up_to_date = state.ever_synchronised = true;
    }));
    inodes_ = std::make_unique<OneRoot>(directory_ + "/data");
    Settings settings{.cluster_id = "c", .module = "m", .node = "a", .peer = "b", .root_count = 1, .workers = 1};
    settings.send_timeout = hours{1};
    settings.lock_timeout = seconds{10};
    settings.resync_timeout = milliseconds{300};
    primary_ = std::make_unique<Primary>(settings, *journal_, order_, source_, clock_, random_, log_, [this] { changed(); });
    primary_->prepare(*inodes_, journal::ZoneMap{settings.zone_bytes});
  }
  void TearDown() override {
    (void)primary_->stop();
    primary_.reset();
    journal_.reset();
    std::filesystem::remove_all(directory_);
  }
  void changed() {
    const std::lock_guard lock{mutex_};
    ++changes_;
    wake_.notify_all();
  }
  /// Looks again after each change, and now and then for what tells no change.
  bool becomes(const std::function<bool()>& condition) {
    std::unique_lock lock{mutex_};
    const auto end = std::chrono::steady_clock::now() + kSoon;
    while (std::chrono::steady_clock::now() < end) {
      lock.unlock();
      if (condition()) return true;
      lock.lock();
      wake_.wait_for(lock, milliseconds{10});
    }
    return false;
  }
  bool logged(const std::string& text) {
    return becomes([&] {
      return std::ranges::any_of(log_.lines(), [&](const auto& line) { return line.find(text) != std::string::npos; });
    });
  }
  void begin() {
    primary_->start();
    ASSERT_TRUE(becomes([&] { return primary_->status().peer_synchronised; }));
  }
  /// As after a crash: the log of activity is all that is known.
  void keep_log() {
    auto tracker = std::make_unique<ActivityTracker>(*journal_, log_, 1 << 16);
    ASSERT_TRUE(tracker->open(random_));
    primary_->prepare(*inodes_, std::nullopt, std::move(tracker));
    EXPECT_TRUE(ChangeScope::begin(*primary_, {{.what = Change::What::Names, .id = {1}}}));
  }
  /// As at a start; what was changed since is somebody else's.
  void expect_changes(resync::Scope scope) {
    scope.by_others = true;
    std::vector<Fd> roots;
    roots.emplace_back(::open((directory_ + "/data").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(journal_->update([](journal::State& state) { state.watched.unsettled = true; }));
    primary_->expect(std::make_shared<OutsideChanges>(
        OutsideChanges::Options{.roots = std::move(roots), .scope = std::move(scope)}, clock_, log_));
  }
  std::future<Status> sync() {
    const auto sequence = primary_->append(wire::Operation{wire::Sync{InodeId{1}, false}}, {});
    return std::async(std::launch::async, [this, sequence] { return primary_->wait(sequence, Acknowledged::Durable); });
  }
  /// A change whose call waits until the peer has it.
  std::future<Status> change() {
    const auto sequence = primary_->append(
        wire::Operation{wire::SetAttributes{.id = InodeId{1}, .mask = wire::SetAttributes::kMtime, .attributes = {}}}, {});
    return std::async(std::launch::async, [this, sequence] { return primary_->wait(sequence, Acknowledged::Received); });
  }
  std::future<Status> permit() {
    return std::async(std::launch::async, [this] { return primary_->permit(); });
  }
  /// A call that still waits would keep the test from ending.
  void expect_returns(std::future<Status>& call) {
    const bool returned = call.wait_for(kSoon) == std::future_status::ready;
    EXPECT_TRUE(returned);
    if (!returned) (void)primary_->stop();
    EXPECT_TRUE(call.get());
  }

  std::string directory_{};
  std::unique_ptr<journal::Journal> journal_{};
  TreeOrder order_{};
  PlayedPeer peer_{};
  PlayedSource source_{peer_};
  SharedClock clock_{};
  fake::SeededRandom random_{1};
  fake::KeptLog log_{};
  std::unique_ptr<OneRoot> inodes_{};
  std::unique_ptr<Primary> primary_{};
  std::mutex mutex_{};
  std::condition_variable wake_{};
  int changes_{0};
};

}  // namespace safekit::replica
