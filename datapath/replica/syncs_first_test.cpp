#include "datapath/replica/syncs_first.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "datapath/linux/clock.h"
#include "datapath/replica/played_peer.h"
#include "datapath/replica/resync_run.h"
#include "datapath/resync/zone_digest.h"

namespace safekit::replica {
namespace {

constexpr std::uint32_t kZone = 1U << 16;
constexpr std::uint64_t kFileBytes = 8U << 20;
constexpr std::chrono::seconds kPatience{20};

class SyncsFirstTest : public ::testing::Test {
 protected:
  ~SyncsFirstTest() override {
    if (!path.empty()) std::filesystem::remove(path);
  }
  /// No two zones are the same.
  void make_file() {
    path = ::testing::TempDir() + "/syncs-first-XXXXXX";
    const int made = ::mkstemp(path.data());
    ASSERT_GE(made, 0);
    ::close(made);
    std::ofstream out{path};
    for (std::uint64_t i = 0; i < kFileBytes / 8; ++i) out << std::string(8, static_cast<char>(i / kZone * 8 + 1));
  }

  SharedClock clock{};
  SyncsFirst syncs{clock};
  std::string path{};
};

TEST_F(SyncsFirstTest, WithoutSyncsAllWorkAtOnce) {
  const auto mine = syncs.turn();
  EXPECT_FALSE(mine.is_alone());
  EXPECT_FALSE(syncs.turn().is_alone());
  syncs.begun();
  syncs.ended();
  clock.advance(milliseconds{100});
  EXPECT_FALSE(syncs.turn().is_alone()) << "none is expected any more";
}

TEST_F(SyncsFirstTest, WithSyncsOneWorksAtATime) {
  syncs.begun();
  syncs.ended();
  std::future<void> other;
  {
    const auto mine = syncs.turn();
    EXPECT_TRUE(mine.is_alone());
    other = std::async(std::launch::async, [this] { (void)syncs.turn(); });
    EXPECT_EQ(other.wait_for(milliseconds{50}), std::future_status::timeout);
  }
  EXPECT_EQ(other.wait_for(kPatience), std::future_status::ready);
}

TEST_F(SyncsFirstTest, OneThatDoesNotEndIsWaitedForNotForLong) {
  syncs.begun();
  const auto began = std::chrono::steady_clock::now();
  (void)syncs.turn();
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds{4});
  SyncsFirst for_ever{clock, hours{1}};
  for_ever.begun();
  auto next = std::async(std::launch::async, [&] { (void)for_ever.turn(); });
  EXPECT_EQ(next.wait_for(milliseconds{50}), std::future_status::timeout);
  for_ever.ended();
  EXPECT_EQ(next.wait_for(kPatience), std::future_status::ready);
}

/// Then it works for a while, whatever is under way.
TEST_F(SyncsFirstTest, WhoHasWaitedWorksThen) {
  constexpr milliseconds kLong{200};
  SyncsFirst slow{clock, kLong};
  slow.begun();
  (void)slow.turn();
  auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) (void)slow.turn();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 20 * kLong);
  clock.advance(milliseconds{2});
  began = std::chrono::steady_clock::now();
  (void)slow.turn();
  EXPECT_GE(std::chrono::steady_clock::now() - began, kLong) << "it waits again";
}

/// On a machine that is busy with something else it takes longer still.
TEST_F(SyncsFirstTest, HalfOfAProcessorIsLeftFree) {
  linux_os::SystemClock real;
  SyncsFirst busy{real};
  const auto spin = [] {
    timespec now{};
    std::int64_t from = 0;
    do {
      ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
      if (from == 0) from = now.tv_sec * 1'000'000'000 + now.tv_nsec;
    } while (now.tv_sec * 1'000'000'000 + now.tv_nsec - from < 1'000'000);
  };
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) {
    busy.begun();
    busy.ended();
    const auto mine = busy.turn();
    EXPECT_TRUE(mine.is_alone());
    spin();
  }
  EXPECT_GE(std::chrono::steady_clock::now() - began, milliseconds{2 * 99 - 1});
}

/// The next begins before who waited is awake.
TEST_F(SyncsFirstTest, OfSyncsThatFollowEachOtherOneIsWaitedFor) {
  SyncsFirst for_ever{clock, hours{1}};
  std::atomic<bool> stop{false};
  std::thread application{[&] {
    for_ever.begun();
    while (!stop) {
      for_ever.ended();
      for_ever.begun();
    }
    for_ever.ended();
  }};
  auto turns = std::async(std::launch::async, [&] {
    for (int i = 0; i < 100; ++i) {
      (void)for_ever.turn();
      clock.advance(milliseconds{2});
    }
  });
  EXPECT_EQ(turns.wait_for(kPatience), std::future_status::ready);
  stop = true;
  application.join();
}

TEST_F(SyncsFirstTest, DigestsAreTheSame) {
  make_file();
  const int fd = ::open(path.c_str(), O_RDONLY);
  const auto plain = resync::digest_zones(fd, kZone, 3, kFileBytes / kZone);
  const auto calm = syncs.digest_zones(fd, kZone, 3, kFileBytes / kZone);
  syncs.begun();
  const auto busy = syncs.digest_zones(fd, kZone, 3, kFileBytes / kZone);
  const auto large = syncs.digest_zones(fd, SyncsFirst::kPieceBytes * 2, 0, 3);
  ASSERT_TRUE(plain && calm && busy && large);
  EXPECT_EQ(*calm, *plain);
  EXPECT_EQ(*busy, *plain);
  EXPECT_EQ(*large, *resync::digest_zones(fd, SyncsFirst::kPieceBytes * 2, 0, 3));
  EXPECT_FALSE(syncs.digest_zones(-1, kZone, 0, 100));
  ::close(fd);
}

/// The peer has everything, and does not answer before the test says so.
class SilentPeer final : public ResyncHost {
 public:
  explicit SilentPeer(SyncsFirst& syncs) : syncs_(syncs) {}
  Result<SequenceNumber> put(const wire::Message& message, BytesView) override {
    const std::lock_guard lock{mutex_};
    ++sequence_;
    if (const auto* digests = std::get_if<wire::ZoneDigests>(&message)) {
      questions_.push_back({sequence_});
      bytes_ += digests->digests.size() * kZone;
      changed_.notify_all();
    }
    return SequenceNumber{sequence_};
  }
  Status make_known(InodeId) override { return {}; }
  void note_known(InodeId, const HandleKey&) override {}
  Result<HandleKey> key_of_forgotten(InodeId) override { return Error{Code::NotFound, "none"}; }
  Status wait_for_room() override { return {}; }
  SyncsFirst& syncs_first() override { return syncs_; }

  std::vector<SequenceNumber> asked_for(std::uint64_t bytes) {
    std::unique_lock lock{mutex_};
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return bytes_ >= bytes; })) << "only " << bytes_ << " bytes are asked for";
    return questions_;
  }

 private:
  SyncsFirst& syncs_;
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::uint64_t sequence_{0};
  std::vector<SequenceNumber> questions_{};
  std::uint64_t bytes_{0};
};

/// What is on its way to the peer and back disturbs nobody: on a long line the questions would else come one by one.
TEST_F(SyncsFirstTest, ThePeerIsAskedForMuchBesideSyncs) {
  make_file();
  OneRoot inodes{path};
  TreeOrder order;
  SilentPeer peer{syncs};
  const Settings settings{.zone_bytes = kZone, .root_count = 1, .workers = 4};
  ResyncRun run{peer, inodes, order, settings, [] {}};
  journal::ZoneMap map{kZone};
  for (const std::uint8_t which : {std::uint8_t{1}, std::uint8_t{2}}) map.inode(to_key(FileHandle{0, 1, {which}})).doubtful.add(0, 0);
  syncs.begun();
  auto running = std::async(std::launch::async, [&] { return run.run_zones(map); });
  for (const SequenceNumber sequence : peer.asked_for(2 * kFileBytes)) {
    EXPECT_TRUE(run.answer(wire::ZonesWanted{.sequence = sequence, .wanted = {}}));
  }
  ASSERT_EQ(running.wait_for(kPatience), std::future_status::ready);
  EXPECT_TRUE(running.get());
  EXPECT_EQ(run.progress().bytes_compared, 2 * kFileBytes);
}

}  // namespace
}  // namespace safekit::replica
