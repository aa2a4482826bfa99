#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "datapath/replica/sink.h"
#include "datapath/wire/frame.h"
#include "datapath/wire/message.h"
#include "schema/port/clock.h"
#include "schema/port/stream.h"

/// For tests: the primary against a peer that is played.
namespace safekit::replica {

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
  std::atomic<bool> is_silent{false};
  std::atomic<bool> disk_hangs{false};
  std::atomic<bool> wants_all{false};  ///< that all is compared; no request of it is answered
  std::atomic<bool> answers_unasked{false};  ///< then, instead, what nobody asked
  std::atomic<int> connections{0};
  std::atomic<int> syncs{0};
  std::atomic<bool> takes_nothing{false};
  std::atomic<int> writers{0};  ///< wait for it to take something
  std::atomic<int> full_comparisons{0};
  std::atomic<int> zone_comparisons{0};
  /// Its copy is on disk as at this checkpoint of the primary's log, and no more is known of it.
  std::optional<std::uint64_t> crashed_at{};
  wire::Outside outside{wire::Outside::Nothing};  ///< Listed: its directory, by names
  std::atomic<std::uint32_t> protocol{wire::kProtocolVersion};
  const Clock* clock{nullptr};  ///< shows an hour less than its own
  std::atomic<std::int64_t> promises_for{0};  ///< when it is asked; 0: it says nothing
  std::atomic<std::uint64_t> asked{0};  ///< the last question
  std::atomic<bool> applies_late{false};  ///< operations; it has them
  std::atomic<int> confirmed{0};
  std::function<void()> at_end{};  ///< before it says that it has all of a synchronisation

  Bytes answers_to(const wire::FrameView& frame, std::uint64_t& received) {
    BytesView data;
    const auto message = wire::decode(frame, data);
    if (!message) {
      ADD_FAILURE() << message.error().what;
      return {};
    }
    Bytes out;
    if (is_silent) return out;
    const auto* begin = std::get_if<wire::ResyncBegin>(&*message);
    if (begin != nullptr && begin->mode == wire::ResyncMode::Full) ++full_comparisons;
    if (begin != nullptr && begin->mode == wire::ResyncMode::Zones) ++zone_comparisons;
    if (wire::is_sequenced(frame.type)) ++received;
    const bool is_applied = !applies_late || frame.type != wire::FrameType::Change;
    if (wire::is_sequenced(frame.type) && is_applied) wire::append_message(out, wire::Acknowledge{{received}});
    if (const auto* hello = std::get_if<wire::Hello>(&*message)) {
      wire::Hello mine = *hello;
      std::swap(mine.node, peer_);
      mine.primary = false;
      mine.protocol = protocol;
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
    } else if (listing != nullptr && answers_unasked) {
      for (std::uint64_t number = 1; number <= 100; ++number) wire::append_message(out, wire::ListingAnswer{{received + number}, {}});
    } else if (const auto* question = std::get_if<wire::Question>(&*message)) {
      asked = question->number;
      const std::int64_t now = clock != nullptr ? (clock->mono_now() + hours{1}).ns : 0;
      if (promises_for != 0) {
        wire::append_message(out, wire::Promise{.heard = now, .answered = asked, .answered_at = now, .length = promises_for});
      }
    } else if (std::holds_alternative<wire::Confirm>(*message)) {
      ++confirmed;
      wire::append_message(out, wire::Received{{received}});
    } else if (std::holds_alternative<wire::ResyncEnd>(*message)) {
      if (at_end) at_end();
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
  void tell_times() override {
    if (const auto tell = std::exchange(times, {})) tell();
  }
  std::function<void()> times{};  ///< tells what is due, once
  Result<int> open(InodeId, int flags) override {
    const int fd = ::open(path_.c_str(), flags | O_CLOEXEC);
    if (fd < 0) return Error{Code::Io, "open"};
    return fd;
  }

 private:
  std::string path_{};
};

}  // namespace safekit::replica
