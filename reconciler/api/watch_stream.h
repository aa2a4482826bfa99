#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "reconciler/api/request.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit::api {

/// Server-sent events on their way from the loop to one worker. A reader that falls behind by kBytesMax is
/// cut off: it connects again and starts from the present state. Thread: any.
class WatchStream {
 public:
  static constexpr std::size_t kBytesMax = 8U << 20;
  /// `event: <type>` and the data as one line of JSON. Nothing happens once the stream is over.
  void push(std::string_view type, const doc::Node& data);
  /// What has waited longest is still delivered.
  void close();
  struct Taken {
    std::string text{};
    bool over{false};
  };
  /// Everything that waits; at most after `wait`, then perhaps nothing.
  [[nodiscard]] Taken take(Duration wait);
  [[nodiscard]] bool is_over() const;
  /// The worker has gone away: nothing more will be taken.
  void abandon();

 private:
  mutable std::mutex mutex_{};
  std::condition_variable changed_{};
  std::string waiting_{};
  bool over_{false};
};

/// What a watcher wants to hear of.
struct WatchFilter {
  enum class What { Modules, Clusters, Nodes, Events };
  What what{What::Modules};
  std::string name{};   ///< of the object, or of the module of the events; empty: all
  bool verbose{false};  ///< events of all levels
  std::size_t last{0};  ///< events already recorded that come first
  Revision since{};     ///< objects unchanged since are not sent first; 0: send all
  Duration limit{};     ///< the stream is closed then; 0: never
};

/// One watch on the store for all streams. Changes of one turn of the loop are merged: a stream gets the
/// state after them, once. Thread: the loop's. A service.
class WatchHub {
 public:
  static constexpr std::size_t kStreamsMax = 256;
  /// What a stream of objects is sent: the merged view; null when the object is gone.
  using View = std::function<std::optional<doc::Node>(const store::ObjectKey&)>;
  using Nodes = std::function<doc::Node()>;
  WatchHub(store::Store& store, Loop& loop, View view, Nodes nodes);
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;
  ~WatchHub();
  /// Errors: Exhausted.
  Result<std::shared_ptr<WatchStream>> open(const WatchFilter& filter);

 private:
  struct Reader {
    WatchFilter filter{};
    std::shared_ptr<WatchStream> stream{};
    std::set<std::string> known{};  ///< names already sent: the next one is MODIFIED
  };
  void heard(const store::Change& change);
  void flush();
  void send_first(Reader& reader);
  void send_object(Reader& reader, const store::ObjectKey& key);
  static void send_events(Reader& reader, const std::vector<status::Event>& events);
  store::Store& store_;
  Loop& loop_;
  View view_;
  Nodes nodes_;
  std::shared_ptr<bool> alive_{std::make_shared<bool>(true)};
  std::uint64_t watch_{0};
  std::deque<Reader> readers_{};
  std::set<store::ObjectKey> dirty_{};
  std::map<std::string, std::size_t> new_events_{};
  bool nodes_dirty_{false};
  bool flush_posted_{false};
};

}  // namespace safekit::api
