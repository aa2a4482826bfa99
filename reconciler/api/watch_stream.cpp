#include "reconciler/api/watch_stream.h"

#include <fmt/format.h>

#include "schema/codec/status_tree.h"
#include "schema/doc/json.h"

namespace safekit::api {

void WatchStream::push(std::string_view type, const doc::Node& data) {
  std::string event =
      fmt::format("event: {}\ndata: {}\n\n", type, doc::print_json(data, doc::JsonForm::Compact));
  const std::lock_guard lock{mutex_};
  if (over_) return;
  if (waiting_.size() + event.size() > kBytesMax) {
    waiting_ =
        "event: ERROR\ndata: {\"reason\":\"Exhausted\",\"message\":\"reading too slowly; watch again\"}\n\n";
    over_ = true;
  } else {
    waiting_ += event;
  }
  changed_.notify_one();
}

void WatchStream::close() {
  const std::lock_guard lock{mutex_};
  over_ = true;
  changed_.notify_one();
}

void WatchStream::abandon() {
  const std::lock_guard lock{mutex_};
  over_ = true;
  waiting_.clear();
}

bool WatchStream::is_over() const {
  const std::lock_guard lock{mutex_};
  return over_;
}

WatchStream::Taken WatchStream::take(Duration wait) {
  std::unique_lock lock{mutex_};
  changed_.wait_for(lock, wait, [this] { return over_ || !waiting_.empty(); });
  return Taken{.text = std::exchange(waiting_, {}), .over = over_};
}

WatchHub::WatchHub(store::Store& store, Loop& loop, View view, Nodes nodes)
    : store_(store), loop_(loop), view_(std::move(view)), nodes_(std::move(nodes)) {
  watch_ = store_.watch([this](const store::Change& change) { heard(change); });
}

WatchHub::~WatchHub() {
  *alive_ = false;
  store_.unwatch(watch_);
  for (Reader& reader : readers_) reader.stream->close();
}

Result<std::shared_ptr<WatchStream>> WatchHub::open(const WatchFilter& filter) {
  std::erase_if(readers_, [](const Reader& reader) { return reader.stream->is_over(); });
  if (readers_.size() >= kStreamsMax) {
    return Error{Code::Exhausted, fmt::format("{} watches are open already; close some", kStreamsMax)};
  }
  Reader& reader = readers_.emplace_back(Reader{.filter = filter, .stream = std::make_shared<WatchStream>()});
  send_first(reader);
  if (filter.limit > Duration{}) {
    loop_.after(filter.limit, [stream = std::weak_ptr{reader.stream}] {
      if (const auto open = stream.lock()) open->close();
    });
  }
  return reader.stream;
}

void WatchHub::heard(const store::Change& change) {
  using What = store::Change::What;
  if (readers_.empty()) return;
  switch (change.what) {
    case What::Object: dirty_.insert({change.kind, change.name}); break;
    case What::Status: dirty_.insert({store::Kind::Module, change.name}); break;
    case What::Event: ++new_events_[change.name]; break;
    case What::Peers: nodes_dirty_ = true; break;
    case What::Operation: return;
  }
  if (flush_posted_) return;
  flush_posted_ = true;
  loop_.post([this, alive = alive_] {
    if (*alive) flush();
  });
}

void WatchHub::flush() {
  flush_posted_ = false;
  const auto dirty = std::exchange(dirty_, {});
  const auto new_events = std::exchange(new_events_, {});
  const bool nodes_dirty = std::exchange(nodes_dirty_, false);
  std::erase_if(readers_, [](const Reader& reader) { return reader.stream->is_over(); });
  for (Reader& reader : readers_) {
    switch (reader.filter.what) {
      case WatchFilter::What::Modules:
      case WatchFilter::What::Clusters:
        for (const store::ObjectKey& key : dirty) send_object(reader, key);
        break;
      case WatchFilter::What::Nodes:
        if (nodes_dirty) reader.stream->push("MODIFIED", nodes_());
        break;
      case WatchFilter::What::Events:
        for (const auto& [module, count] : new_events) {
          if (!reader.filter.name.empty() && reader.filter.name != module) continue;
          // New ones of all levels were counted, so all are read and then chosen from.
          send_events(reader, store_.events(ModuleName{module}, count, true));
        }
        break;
    }
  }
}

void WatchHub::send_first(Reader& reader) {
  const WatchFilter& filter = reader.filter;
  if (filter.what == WatchFilter::What::Nodes) return reader.stream->push("ADDED", nodes_());
  if (filter.what == WatchFilter::What::Events) {
    if (filter.last > 0)
      send_events(reader, store_.events(ModuleName{filter.name}, filter.last, filter.verbose));
    return;
  }
  const store::Kind kind =
      filter.what == WatchFilter::What::Modules ? store::Kind::Module : store::Kind::Cluster;
  // Live status has no revision of its own that is kept: unless nothing at all has changed, everything is
  // sent again.
  const bool is_current = filter.since.value != 0 && filter.since >= store_.revision();
  for (const store::Object& object : store_.list(kind)) {
    if (is_current) {
      reader.known.insert(object.key.name);
    } else {
      send_object(reader, object.key);
    }
  }
}

void WatchHub::send_object(Reader& reader, const store::ObjectKey& key) {
  const bool wants_modules = reader.filter.what == WatchFilter::What::Modules;
  if ((key.kind == store::Kind::Module) != wants_modules) return;
  if (!reader.filter.name.empty() && reader.filter.name != key.name) return;
  const std::optional<doc::Node> view = view_(key);
  if (view) {
    const bool is_new = reader.known.insert(key.name).second;
    reader.stream->push(is_new ? "ADDED" : "MODIFIED", *view);
  } else if (reader.known.erase(key.name) > 0) {
    doc::Node gone = doc::Node::map();
    gone.add("kind", doc::Node::string(wants_modules ? "Module" : "Cluster"));
    gone.add("metadata", doc::Node::map()).add("name", doc::Node::string(key.name));
    reader.stream->push("DELETED", gone);
  }
}

void WatchHub::send_events(Reader& reader, const std::vector<status::Event>& events) {
  for (const status::Event& event : events) {
    if (reader.filter.verbose || store::is_short_log(event.level))
      reader.stream->push("ADDED", codec::to_tree(event));
  }
}

}  // namespace safekit::api
