#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <future>

#include "datapath/replica/primary.h"
#include "schema/fake/kept_log.h"
#include "schema/fake/seeded_random.h"

/// For tests: the primary against a peer that is played.
namespace safekit::replica {

inline constexpr std::chrono::seconds kSoon{20};  ///< of real time; only a failure takes as long

class SharedClock final : public Clock {
 public:
  [[nodiscard]] MonoTime mono_now() const override { return MonoTime{now_}; }
  [[nodiscard]] WallTime wall_now() const override { return WallTime{now_}; }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{1'000'000'000};
};

/// A secondary in small: takes everything, and answers what it is not told to leave unanswered.
class PlayedPeer {
 public:
  std::atomic<bool> disk_hangs{false};
  std::atomic<bool> wants_all{false};  ///< that all is compared; no request of it is answered
  std::atomic<int> connections{0};
  std::atomic<int> syncs{0};
  std::atomic<bool> takes_nothing{false};
  std::atomic<int> writers{0};  ///< wait for it to take something
  std::atomic<int> full_comparisons{0};
  std::atomic<int> zone_comparisons{0};
  /// Its copy is on disk as at this checkpoint of the primary's log, and no more is known of it.
  std::optional<std::uint64_t> crashed_at{};
  wire::Outside outside{wire::Outside::Nothing};  ///< Listed: its directory, by names

  Bytes answers_to(const wire::FrameView& frame, std::uint64_t& received) {
    BytesView data;
    const auto message = wire::decode(frame, data);
    if (!message) {
      ADD_FAILURE() << message.error().what;
      return {};
    }
    Bytes out;
    const auto* begin = std::get_if<wire::ResyncBegin>(&*message);
    if (begin != nullptr && begin->mode == wire::ResyncMode::Full) ++full_comparisons;
    if (begin != nullptr && begin->mode == wire::ResyncMode::Zones) ++zone_comparisons;
    if (wire::is_sequenced(frame.type)) wire::append_message(out, wire::Acknowledge{{++received}});
    if (const auto* hello = std::get_if<wire::Hello>(&*message)) {
      wire::Hello mine = *hello;
      std::swap(mine.node, peer_);
      mine.primary = false;
      mine.exact = mine.up_to_date = true;
      mine.full_wanted = wants_all;
      mine.own_log = {};
      mine.base_log = {hello->own_log.id, crashed_at.value_or(0)};
      if (crashed_at) mine.exact = false;
      mine.outside = outside;
      wire::append_message(out, mine);
      if (outside == wire::Outside::Listed) {
        wire::append_message(out, wire::Active{.entries = {{.outside = true, .names = true}}});
      }
      std::swap(mine.node, peer_);
    } else if (const auto* operation = std::get_if<wire::Operation>(&*message)) {
      const bool sync = std::holds_alternative<wire::Sync>(*operation);
      if (sync && !disk_hangs) wire::append_message(out, wire::Durable{{received}});
      if (sync) ++syncs;
    } else if (std::holds_alternative<wire::ResyncBegin>(*message) || std::holds_alternative<wire::SyncAll>(*message) ||
               std::holds_alternative<wire::Detach>(*message) || std::holds_alternative<wire::Checkpoint>(*message)) {
      wire::append_message(out, wire::Durable{{received}});
    } else if (const auto* listing = std::get_if<wire::Listing>(&*message); listing != nullptr && !wants_all) {
      wire::append_message(out, wire::ListingAnswer{{received}, std::vector(listing->entries.size(), wire::EntryFate::Kept)});
    } else if (std::holds_alternative<wire::ResyncEnd>(*message)) {
      wire::append_message(out, wire::ResyncEndAnswer{{received}, {}});
    }
    return out;
  }

 private:
  std::string peer_{"b"};
};

class PlayedStream final : public Stream {
 public:
  explicit PlayedStream(PlayedPeer& peer) : peer_(peer) {}
  Status write(BytesView bytes, Duration) override {
    ++peer_.writers;
    peer_.takes_nothing.wait(true);
    --peer_.writers;
    const std::lock_guard lock{mutex_};
    if (shut_) return Error{Code::Unavailable, "shut"};
    const auto space = frames_.space(bytes.size());
    std::ranges::copy(bytes, space.begin());
    frames_.commit(bytes.size());
    for (;;) {
      const auto frame = frames_.next();
      if (!frame || !*frame) break;
      const Bytes out = peer_.answers_to(**frame, received_);
      answers_.insert(answers_.end(), out.begin(), out.end());
    }
    wake_.notify_all();
    return {};
  }
  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override {
    std::unique_lock lock{mutex_};
    wake_.wait_for(lock, timeout, [this] { return shut_ || !answers_.empty(); });
    if (shut_) return Error{Code::Unavailable, "shut"};
    const std::size_t count = std::min(into.size(), answers_.size());
    std::copy_n(answers_.begin(), count, into.begin());
    answers_.erase(answers_.begin(), answers_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  void shut() override {
    const std::lock_guard lock{mutex_};
    shut_ = true;
    wake_.notify_all();
  }

 private:
  PlayedPeer& peer_;
  std::mutex mutex_{};
  std::condition_variable wake_{};
  wire::FrameReader frames_{};
  std::uint64_t received_{0};
  std::deque<std::uint8_t> answers_{};
  bool shut_{false};
};

/// Connects when it is let to.
class PlayedSource final : public StreamSource {
 public:
  explicit PlayedSource(PlayedPeer& peer) : peer_(peer) {}
  void let(bool reachable) {
    const std::lock_guard lock{mutex_};
    reachable_ = reachable;
    wake_.notify_all();
  }
  std::atomic<int> asked{0};
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    ++asked;
    std::unique_lock lock{mutex_};
    if (!wake_.wait_for(lock, timeout, [this] { return shut_ || reachable_; })) return Error{Code::Timeout, "nobody"};
    if (shut_) return Error{Code::Unavailable, "shut"};
    ++peer_.connections;
    return std::unique_ptr<Stream>{std::make_unique<PlayedStream>(peer_)};
  }
  void shut() override {
    const std::lock_guard lock{mutex_};
    shut_ = true;
    wake_.notify_all();
  }

 private:
  PlayedPeer& peer_;
  std::mutex mutex_{};
  std::condition_variable wake_{};
  bool reachable_{true};
  bool shut_{false};
};

/// One empty directory.
class OneRoot final : public Inodes {
 public:
  explicit OneRoot(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] std::uint32_t root_count() const override { return 1; }
  [[nodiscard]] InodeId root_id(std::uint32_t) const override { return {1}; }
  static constexpr InodeId kGone{50};
  static constexpr InodeId kUnsearchable{51};
  Result<wire::TreePath> path_of(InodeId id) override {
    if (id == kGone) return Error{Code::NotFound, "no name"};
    if (id == kUnsearchable) return Error{Code::Io, "Too many open files"};
    return wire::TreePath{};
  }
  Result<InodeId> pin(InodeId, const std::string&) override { return Error{Code::NotFound, "empty"}; }
  Result<InodeId> pin(const FileHandle&) override { return InodeId{1}; }
  void unpin(InodeId) override {}
  Result<FileHandle> handle_of(InodeId) override { return FileHandle{0, 1, {1, 2, 3, 4}}; }
  Result<EntryPlace> place_of(InodeId) override { return Error{Code::NotFound, "the root"}; }
  Result<int> open(InodeId, int flags) override {
    const int fd = ::open(path_.c_str(), flags | O_CLOEXEC);
    if (fd < 0) return Error{Code::Io, "open"};
    return fd;
  }

 private:
  std::string path_{};
};

class PrimaryTest : public ::testing::Test {
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
    const ChangeScope scope{*primary_, {{.what = Change::What::Names, .id = {1}}}};
  }
  std::future<Status> sync() {
    const auto sequence = primary_->append(wire::Operation{wire::Sync{InodeId{1}, false}}, {});
    return std::async(std::launch::async, [this, sequence] { return primary_->wait(sequence, Acknowledged::Durable); });
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
