#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "datapath/lost/manifest.h"
#include "reconciler/api/lost_writes.h"
#include "reconciler/api/routes.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit {

/// Where a module's replica sets lost writes aside.
[[nodiscard]] std::string lost_writes_directory(const std::string& state_dir, const std::string& module);

/// Where a page begins: an item of the list, and one of its pieces.
struct LostPlace {
  std::size_t item{0};
  std::size_t piece{0};
  friend bool operator==(const LostPlace&, const LostPlace&) = default;
};
/// What fits into one answer. Pure.
[[nodiscard]] api::LostPage lost_page(const lost::Contents& contents, LostPlace from);
/// `12.0`. Nothing for another text.
[[nodiscard]] std::optional<LostPlace> parse_lost_place(const std::string& text);

/// The API of lost writes (reconciler/api/lost_writes.h). A set may be large and its disk slow: it is read by a thread of its
/// own. A service. Thread: the loop's.
class LostWrites {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
  };
  /// `purged`: on the loop, with the module.
  LostWrites(const Ports& ports, std::string state_dir, std::function<void(const std::string&)> purged);
  ~LostWrites();
  LostWrites(const LostWrites&) = delete;
  LostWrites& operator=(const LostWrites&) = delete;

  void add_routes(api::Routes& routes);

 private:
  using Work = std::function<api::Response()>;
  void answer_later(const api::Respond& respond, Work work, std::function<void()> then = {});
  void work();
  [[nodiscard]] Result<std::string> directory_of(const std::string& module) const;
  api::Response list(const std::string& directory) const;
  api::Response show(const std::string& directory, const std::string& set, const std::string& after);
  api::Response data(const std::string& directory, const std::string& set, const api::Request& request) const;
  api::Response purge(const std::string& directory, const std::string& set, bool in_use);

  Ports ports_;
  std::string state_dir_;
  std::function<void(const std::string&)> purged_;

  std::mutex mutex_{};
  std::condition_variable wake_{};
  bool stopped_{false};
  std::deque<std::function<void()>> tasks_{};
  // The thread's own: the set that was looked at last, for the next page.
  std::string loaded_path_{};
  std::uint64_t loaded_bytes_{0};
  lost::Contents loaded_{};
  std::thread thread_{};
};

}  // namespace safekit
