// A comparison beside an application that syncs, and beside none.
#include "datapath/replica/resync_run.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

#include "datapath/replica/played_peer.h"

namespace safekit::replica {
namespace {

constexpr std::uint32_t kZone = 1U << 16;
constexpr std::uint64_t kFileBytes = 8U << 20;

/// Notes what it was asked to send; the peer has everything, and answers when the test says so.
class PlayedHost final : public ResyncHost {
 public:
  explicit PlayedHost(bool syncs) : syncs_(syncs) {}
  Result<SequenceNumber> put(const wire::Message& message, BytesView) override {
    const std::lock_guard lock{mutex_};
    ++sequence_;
    if (const auto* digests = std::get_if<wire::ZoneDigests>(&message)) {
      open_.emplace_back(sequence_);
      open_bytes_ += digests->digests.size() * kZone;
      longest_ = std::max<std::uint64_t>(longest_, digests->digests.size() * kZone);
      bytes_.push_back(digests->digests.size() * kZone);
      changed_.notify_all();
    }
    return SequenceNumber{sequence_};
  }
  Status make_known(InodeId) override { return {}; }
  void note_known(InodeId, const HandleKey&) override {}
  Result<HandleKey> key_of_forgotten(InodeId) override { return Error{Code::NotFound, "none"}; }
  Status wait_for_room() override { return {}; }
  [[nodiscard]] bool application_syncs() const override { return syncs_; }
  void yield_to_application() override { ++yields_; }

  /// The next question's number; nothing when none comes within `patience`.
  std::optional<SequenceNumber> question(std::chrono::milliseconds patience) {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, patience, [this] { return !open_.empty(); })) return std::nullopt;
    const SequenceNumber first{open_.front()};
    open_.pop_front();
    return first;
  }
  void answered() {
    const std::lock_guard lock{mutex_};
    open_bytes_ -= bytes_.front();
    bytes_.pop_front();
  }
  std::uint64_t open_bytes() {
    const std::lock_guard lock{mutex_};
    return open_bytes_;
  }
  std::uint64_t longest() {
    const std::lock_guard lock{mutex_};
    return longest_;
  }
  [[nodiscard]] int yields() const { return yields_; }

 private:
  const bool syncs_;
  std::atomic<int> yields_{0};
  std::mutex mutex_{};
  std::condition_variable changed_{};
  std::uint64_t sequence_{0};
  std::deque<std::uint64_t> open_{};
  std::deque<std::uint64_t> bytes_{};
  std::uint64_t open_bytes_{0};
  std::uint64_t longest_{0};
};

struct Seen {
  Status done{};
  std::uint64_t asked_most{0};
  std::uint64_t longest{0};
  std::uint64_t compared{0};
  int yields{0};
};

/// Two files are compared; the peer answers only when nothing more is asked.
Seen compare_beside(bool syncs) {
  std::string path = ::testing::TempDir() + "/resync-beside-XXXXXX";
  const int made = ::mkstemp(path.data());
  EXPECT_GE(made, 0);
  ::close(made);
  std::ofstream{path} << std::string(kFileBytes, 'x');
  OneRoot inodes{path};
  TreeOrder order;
  PlayedHost host{syncs};
  const Settings settings{.zone_bytes = kZone, .root_count = 1, .workers = 4};
  Seen seen;
  {
    ResyncRun run{host, inodes, order, settings, [] {}};
    journal::ZoneMap map{kZone};
    for (const std::uint8_t which : {std::uint8_t{1}, std::uint8_t{2}}) map.inode(to_key(FileHandle{0, 1, {which}})).doubtful.add(0, 0);
    auto running = std::async(std::launch::async, [&] { return run.run_zones(map); });
    while (running.wait_for(std::chrono::seconds{0}) != std::future_status::ready) {
      // As long as questions come at once, they are collected: only then the first is answered.
      std::deque<SequenceNumber> held;
      while (const auto next = host.question(std::chrono::milliseconds{20})) held.push_back(*next);
      seen.asked_most = std::max(seen.asked_most, host.open_bytes());
      for (const SequenceNumber sequence : held) {
        host.answered();
        EXPECT_TRUE(run.answer(wire::ZonesWanted{.sequence = sequence, .wanted = {}}));
      }
    }
    seen.done = running.get();
    seen.compared = run.progress().bytes_compared;
  }
  seen.longest = host.longest();
  seen.yields = host.yields();
  std::filesystem::remove(path);
  return seen;
}

TEST(ResyncBeside, BesideAnApplicationThatSyncsLittleIsReadAtATime) {
  const Seen seen = compare_beside(true);
  EXPECT_TRUE(seen.done);
  EXPECT_EQ(seen.compared, 2 * kFileBytes);
  EXPECT_EQ(seen.longest, 256U << 10);
  EXPECT_LE(seen.asked_most, 512U << 10) << "one is answered while the next is made";
  EXPECT_GE(seen.yields, static_cast<int>(2 * kFileBytes / (256U << 10)));
}

TEST(ResyncBeside, OtherwiseThePeerIsAskedForMuch) {
  const Seen seen = compare_beside(false);
  EXPECT_TRUE(seen.done);
  EXPECT_EQ(seen.compared, 2 * kFileBytes);
  EXPECT_EQ(seen.longest, 4U << 20);
  EXPECT_GE(seen.asked_most, 4U << 20);
  EXPECT_EQ(seen.yields, 0);
}

}  // namespace
}  // namespace safekit::replica
