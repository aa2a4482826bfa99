#include "reconciler/api/settings.h"

#include <fmt/format.h>

namespace safekit::api {
namespace {

std::string key_of(const ModuleName& module) {
  return "settings/" + module.str();
}

std::string to_text(const status::Settings& settings) {
  std::string text =
      fmt::format("errd={} checker={} failover={}", settings.errd, settings.checker, settings.failover);
  if (settings.boot) text += fmt::format(" boot={}", *settings.boot);
  return text;
}

status::Settings from_text(const std::string& text) {
  const auto is = [&text](std::string_view word) { return text.find(word) != std::string::npos; };
  status::Settings settings{
      .errd = !is("errd=false"), .checker = !is("checker=false"), .failover = !is("failover=false")};
  if (is("boot=")) settings.boot = is("boot=true");
  return settings;
}

}  // namespace

Status change_setting(store::Store& store, const ModuleName& module, const std::string& name, bool on) {
  status::Settings settings = store.status(module).settings;
  if (name == "errd") {
    settings.errd = on;
  } else if (name == "checker") {
    settings.checker = on;
  } else if (name == "failover") {
    settings.failover = on;
  } else if (name == "boot") {
    settings.boot = on;
  } else {
    return Error{Code::Invalid,
                 fmt::format("there is no switch '{}'; there are errd, checker, failover, boot", name)};
  }
  // On disk first: what a person was told is off must not be on after a crash.
  SK_TRY_VOID(store.set_fact(key_of(module), to_text(settings), true));
  store.update_status(module, [&settings](status::Module& status) { status.settings = settings; });
  return {};
}

Status reset_settings(store::Store& store, const ModuleName& module) {
  SK_TRY_VOID(store.forget_fact(key_of(module)));
  store.update_status(module, [](status::Module& status) { status.settings = {}; });
  return {};
}

void restore_settings(store::Store& store) {
  for (const ModuleName& module : store.local_modules()) {
    const auto text = store.fact(key_of(module));
    if (!text) continue;
    store.update_status(module, [&text](status::Module& status) { status.settings = from_text(*text); });
  }
}

}  // namespace safekit::api
