#include "datapath/linux/systemd_units.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include <fmt/format.h>

namespace safekit::linux_os {
namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kUnitsPath = "/org/freedesktop/systemd1/unit";
constexpr const char* kProperties = "org.freedesktop.DBus.Properties";
constexpr Duration kWriteAgain = milliseconds{5};

struct BusEnd {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct SlotEnd {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Bus = std::unique_ptr<sd_bus, BusEnd>;
using Slot = std::unique_ptr<sd_bus_slot, SlotEnd>;

std::string path_of(const std::string& unit) {
  char* path = nullptr;
  if (sd_bus_path_encode(kUnitsPath, unit.c_str(), &path) < 0) return {};
  std::string text{path};
  std::free(path);
  return text;
}

std::string text_of(int error) { return std::strerror(error < 0 ? -error : error); }

}  // namespace

struct SystemdUnits::Impl {
  explicit Impl(Loop& of) : loop(of) {}
  ~Impl() { close(); }

  struct Unit {
    Impl* owner{nullptr};
    std::string path{};
    Slot changes{};
    Slot question{};  ///< the last one; an older one's answer is not heard
    std::optional<bool> running{};
  };

  void open();
  void close();
  void fail(const std::string& why);
  void follow(Unit& unit);
  void ask(Unit& unit);
  void ask_all();
  void pump();
  void pump_later(Duration delay);
  void tell_all();

  static int on_change(sd_bus_message*, void* unit, sd_bus_error*);
  static int on_state(sd_bus_message* reply, void* unit, sd_bus_error*);
  static int on_owner(sd_bus_message*, void* impl, sd_bus_error*);
  static int on_subscribed(sd_bus_message*, void*, sd_bus_error*) { return 0; }  // without it the answers to `ask` say why

  Loop& loop;
  Bus bus{};
  Slot owner_changes{};
  WatcherId watcher{0};
  TimerId timer{0};
  std::string problem{};
  std::map<std::string, Unit> units{};
  std::map<std::uint64_t, std::pair<std::string, std::function<void()>>> tasks{};
  std::uint64_t last_id{0};
};

void SystemdUnits::Impl::open() {
  sd_bus* opened = nullptr;
  if (const int error = sd_bus_open_system(&opened); error < 0) return fail(text_of(error));
  bus.reset(opened);
  watcher = loop.watch_readable(sd_bus_get_fd(opened), [this] { pump(); });
  sd_bus_slot* slot = nullptr;
  const std::string owner = fmt::format(
      "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{}'",
      kManager);
  if (sd_bus_add_match_async(opened, &slot, owner.c_str(), on_owner, nullptr, this) >= 0) owner_changes.reset(slot);
  ask_all();
  pump();
}

/// To systemd, which tells nothing until it is asked to; also to one that has just come.
void SystemdUnits::Impl::ask_all() {
  (void)sd_bus_call_method_async(bus.get(), nullptr, kManager, kManagerPath, "org.freedesktop.systemd1.Manager", "Subscribe", on_subscribed,
                                 nullptr, "");
  for (auto& [name, unit] : units) follow(unit);
}

void SystemdUnits::Impl::follow(Unit& unit) {
  if (!unit.changes) {
    sd_bus_slot* slot = nullptr;
    const std::string match = fmt::format("type='signal',sender='{}',path='{}',interface='{}',member='PropertiesChanged'", kManager,
                                          unit.path, kProperties);
    if (sd_bus_add_match_async(bus.get(), &slot, match.c_str(), on_change, nullptr, &unit) >= 0) unit.changes.reset(slot);
  }
  ask(unit);  // behind the match: no change is between them
}

void SystemdUnits::Impl::ask(Unit& unit) {
  sd_bus_slot* slot = nullptr;
  const int sent = sd_bus_call_method_async(bus.get(), &slot, kManager, unit.path.c_str(), kProperties, "Get", on_state, &unit, "ss",
                                            "org.freedesktop.systemd1.Unit", "ActiveState");
  if (sent >= 0) unit.question.reset(slot);
}

void SystemdUnits::Impl::close() {
  if (watcher != 0) loop.unwatch(watcher);
  if (timer != 0) loop.cancel(timer);
  watcher = 0;
  timer = 0;
  for (auto& [name, unit] : units) {
    unit.changes.reset();
    unit.question.reset();
    unit.running.reset();
  }
  owner_changes.reset();
  bus.reset();
}

void SystemdUnits::Impl::fail(const std::string& why) {
  close();
  problem = fmt::format("systemd does not answer on D-Bus ({})", why);
  timer = loop.after(kUnitsRetry, [this] {
    timer = 0;
    open();
  });
  tell_all();
}

void SystemdUnits::Impl::tell_all() {
  const auto all = tasks;  // a task may watch or unwatch
  for (const auto& [id, task] : all) {
    if (tasks.contains(id)) task.second();
  }
}

void SystemdUnits::Impl::pump_later(Duration delay) {
  if (timer != 0) loop.cancel(timer);
  timer = loop.after(delay, [this] {
    timer = 0;
    pump();
  });
}

void SystemdUnits::Impl::pump() {
  int more = 1;
  while (more > 0 && bus) more = sd_bus_process(bus.get(), nullptr);
  if (!bus) return;
  if (more < 0) return fail(text_of(more));
  const int events = sd_bus_get_events(bus.get());
  if (events >= 0 && (events & POLLOUT) != 0) return pump_later(kWriteAgain);
  std::uint64_t due_us = 0;  // of CLOCK_MONOTONIC; an answer that does not come
  if (sd_bus_get_timeout(bus.get(), &due_us) < 0 || due_us == UINT64_MAX) return;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::uint64_t now_us = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
  pump_later(std::chrono::microseconds{due_us > now_us ? due_us - now_us : 0});
}

int SystemdUnits::Impl::on_change(sd_bus_message*, void* unit, sd_bus_error*) {
  auto& of = *static_cast<Unit*>(unit);
  of.owner->ask(of);
  return 0;
}

int SystemdUnits::Impl::on_owner(sd_bus_message*, void* impl, sd_bus_error*) {
  static_cast<Impl*>(impl)->ask_all();
  return 0;
}

int SystemdUnits::Impl::on_state(sd_bus_message* reply, void* unit, sd_bus_error*) {
  auto& of = *static_cast<Unit*>(unit);
  Impl& impl = *of.owner;
  std::optional<bool> running;
  std::string problem;
  const char* state = nullptr;
  if (const sd_bus_error* error = sd_bus_message_get_error(reply)) {
    problem = fmt::format("systemd does not answer on D-Bus ({})", error->message != nullptr ? error->message : error->name);
  } else if (sd_bus_message_read(reply, "v", "s", &state) > 0) {
    running = std::strcmp(state, "active") == 0 || std::strcmp(state, "reloading") == 0 || std::strcmp(state, "refreshing") == 0;
  }
  if (running == of.running && problem == impl.problem) return 0;
  of.running = running;
  impl.problem = problem;
  impl.tell_all();
  return 0;
}

SystemdUnits::SystemdUnits(Loop& loop) : impl_(std::make_unique<Impl>(loop)) {}
SystemdUnits::~SystemdUnits() = default;

std::uint64_t SystemdUnits::watch(const std::string& unit, std::function<void()> task) {
  Impl& impl = *impl_;
  impl.tasks[++impl.last_id] = {unit, std::move(task)};
  const auto [found, is_new] = impl.units.try_emplace(unit);
  if (is_new) {
    found->second.owner = &impl;
    found->second.path = path_of(unit);
  }
  if (!impl.bus && impl.timer == 0) {
    // Not now: the caller holds no id yet, and a failure is told at once.
    impl.timer = impl.loop.after(Duration{0}, [&impl] {
      impl.timer = 0;
      impl.open();
    });
  } else if (impl.bus && is_new) {
    impl.follow(found->second);
    impl.pump_later(Duration{0});
  }
  return impl.last_id;
}

void SystemdUnits::unwatch(std::uint64_t id) {
  Impl& impl = *impl_;
  const auto task = impl.tasks.find(id);
  if (task == impl.tasks.end()) return;
  const std::string unit = task->second.first;
  impl.tasks.erase(task);
  if (std::ranges::none_of(impl.tasks, [&](const auto& other) { return other.second.first == unit; })) impl.units.erase(unit);
  if (impl.tasks.empty()) impl.close();
}

std::optional<bool> SystemdUnits::is_running(const std::string& unit) const {
  const auto found = impl_->units.find(unit);
  return found == impl_->units.end() ? std::nullopt : found->second.running;
}

std::string SystemdUnits::problem() const { return impl_->problem; }

}  // namespace safekit::linux_os
