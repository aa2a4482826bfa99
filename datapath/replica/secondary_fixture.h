#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <condition_variable>
#include <filesystem>

#include "datapath/replica/secondary.h"
#include "schema/fake/kept_log.h"

namespace safekit::replica {

inline constexpr Duration kPromised = milliseconds{900};

/// Time that stands still but for the test.
class SetClock final : public Clock {
 public:
  [[nodiscard]] MonoTime mono_now() const override { return MonoTime{now_}; }
  [[nodiscard]] WallTime wall_now() const override { return WallTime{now_}; }
  void advance(Duration by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_{5'000'000'000};
};

/// Both ends of a connection: what the test writes is read by the secondary, and the other way round.
class Line final : public Stream {
 public:
  struct Ends {
    std::mutex mutex{};
    std::condition_variable wake{};
    Bytes down{};
    Bytes up{};
    bool shut{false};
    bool holds{false};  ///< who tells something goes on when the line is shut
  };
  explicit Line(std::shared_ptr<Ends> ends) : ends_(std::move(ends)) {}
  Status write(BytesView bytes, Duration) override {
    std::unique_lock lock{ends_->mutex};
    if (ends_->shut) return Error{Code::Unavailable, "shut"};
    ends_->up.insert(ends_->up.end(), bytes.begin(), bytes.end());
    ends_->wake.notify_all();
    if (ends_->holds) ends_->wake.wait(lock, [this] { return ends_->shut; });
    return {};
  }
  Result<std::size_t> read(std::span<std::uint8_t> into, Duration timeout) override {
    std::unique_lock lock{ends_->mutex};
    ends_->wake.wait_for(lock, timeout, [this] { return ends_->shut || !ends_->down.empty(); });
    if (ends_->shut) return Error{Code::Unavailable, "shut"};
    const std::size_t count = std::min(into.size(), ends_->down.size());
    std::copy_n(ends_->down.begin(), count, into.begin());
    ends_->down.erase(ends_->down.begin(), ends_->down.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }
  void shut() override {
    const std::lock_guard lock{ends_->mutex};
    ends_->shut = true;
    ends_->wake.notify_all();
  }

 private:
  std::shared_ptr<Ends> ends_{};
};

class OneLine final : public StreamSource {
 public:
  explicit OneLine(std::shared_ptr<Line::Ends> ends) : ends_(std::move(ends)) {}
  Result<std::unique_ptr<Stream>> next(Duration timeout) override {
    std::unique_lock lock{mutex_};
    if (!std::exchange(given_, true)) return std::unique_ptr<Stream>{std::make_unique<Line>(ends_)};
    wake_.wait_for(lock, timeout, [this] { return shut_; });
    return shut_ ? Error{Code::Unavailable, "shut"} : Error{Code::Timeout, "nobody"};
  }
  void shut() override {
    const std::lock_guard lock{mutex_};
    shut_ = true;
    wake_.notify_all();
  }

 private:
  std::shared_ptr<Line::Ends> ends_{};
  std::mutex mutex_{};
  std::condition_variable wake_{};
  bool given_{false};
  bool shut_{false};
};

/// A secondary, and a primary that is played: it has greeted.
class SecondaryFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/promise-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    std::filesystem::create_directory(directory_ + "/data");
    journal_ = std::make_unique<journal::Journal>(directory_ + "/state");
    ASSERT_TRUE(journal_->open());
    applier_ = std::make_unique<Applier>(std::vector{directory_ + "/data"}, Exclusions{});
    ASSERT_TRUE(applier_->open());
    const Settings settings{.cluster_id = "c", .module = "m", .node = "b", .peer = "a", .root_count = 1, .workers = 1};
    secondary_ = std::make_unique<Secondary>(settings, *journal_, *applier_, source_, clock_, log_, [] {});
    secondary_->note_promises_in(book_);
    secondary_->promise_for(kPromised);
    secondary_->confirm_silence_after(milliseconds{100});
    secondary_->start();
    wire::Hello hello{.cluster_id = "c", .module = "m", .node = "a", .primary = true, .zone_bytes = settings.zone_bytes, .root_count = 1};
    send(hello);
    ASSERT_TRUE(std::holds_alternative<wire::Hello>(next()));
  }
  void TearDown() override {
    secondary_.reset();
    std::filesystem::remove_all(directory_);
  }
  /// They arrive together.
  void send(std::initializer_list<wire::Message> messages) {
    const std::lock_guard lock{ends_->mutex};
    for (const wire::Message& message : messages) wire::append_message(ends_->down, message);
    ends_->wake.notify_all();
  }
  void send(const wire::Message& message) { send({message}); }
  wire::Message next() {
    for (;;) {
      auto frame = frames_.next();
      EXPECT_TRUE(frame);
      if (*frame) {
        BytesView data;
        auto message = wire::decode(**frame, data);
        EXPECT_TRUE(message);
        return *message;
      }
      std::unique_lock lock{ends_->mutex};
      const bool came = ends_->wake.wait_for(lock, std::chrono::seconds{20}, [this] { return !ends_->up.empty(); });
      EXPECT_TRUE(came);
      if (!came) return wire::Refuse{"nothing came"};
      const auto space = frames_.space(ends_->up.size());
      std::ranges::copy(ends_->up, space.begin());
      frames_.commit(ends_->up.size());
      ends_->up.clear();
    }
  }

  std::string directory_{};
  std::shared_ptr<Line::Ends> ends_{std::make_shared<Line::Ends>()};
  OneLine source_{ends_};
  SetClock clock_{};
  fake::KeptLog log_{};
  std::unique_ptr<journal::Journal> journal_{};
  std::unique_ptr<Applier> applier_{};
  PromiseBook book_{};
  wire::FrameReader frames_{};
  std::unique_ptr<Secondary> secondary_{};
};

}  // namespace safekit::replica
