#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "controllers/script/effect.h"

/// Scripts that no role orders: those of the configuration, and those that people ask for.
namespace safekit::script {
namespace {

constexpr const char* kNowhere = "/dev/null";
constexpr const char* kConfigKey = "config";
constexpr std::size_t kOutputBytesMax = 16'384;

std::string config_fact(const std::string& module) { return "script.config/" + module; }
/// The boot in which the application was started by hand; with the next one it is gone.
std::string by_hand_fact(const std::string& module) { return "script.by_hand/" + module; }

std::string key_of(AskedKind kind) {
  switch (kind) {
    case AskedKind::ConfCheck: return "confcheck";
    case AskedKind::State: return "state";
    case AskedKind::Level: return "level";
    case AskedKind::Start:
    case AskedKind::Stop: return "by_hand";
  }
  return {};
}

bool is_over(const Asked& asked) { return asked.phase == Asked::Phase::Over; }

}  // namespace

void ScriptController::load_extra(const std::string& module, Live& live) {
  if (const auto text = store_.fact(config_fact(module))) live.config = decode_config(*text);
  live.by_hand = !paths_.boot.empty() && store_.fact(by_hand_fact(module)) == paths_.boot;
  (void)extra_.clear(module, kConfigKey);  // what cannot be ended runs beside its successor
}

std::string ScriptController::output_path(const std::string& module, const spec::Scripts& scripts, const std::string& script) const {
  if (scripts.logging != spec::ScriptLogging::UserLog) return kNowhere;
  return module_var(paths_.state_dir, module) + "/" + output_name(clock_.wall_now(), script);
}

void ScriptController::say_script(const std::string& module, const std::string& script, const std::string& output_file) {
  // They come also to a module that is not started for months: too many files go now, none is emptied.
  keep_house(module, std::numeric_limits<std::uint64_t>::max());
  const std::string name = output_file == kNowhere ? std::string{} : output_file.substr(output_file.rfind('/') + 1);
  store_.record(ModuleName{module}, "userplug", 'S', log_line({.name = script}, name));
}

// The configuration.

ConfigDesired ScriptController::config_desired(const std::string& module, const Live& live) const {
  const auto spec = store_.module(ModuleName{module});
  const auto object = store_.get({store::Kind::Module, module});
  const auto* scripts = scripts_of(spec.get());
  const bool is_here = spec != nullptr && object && store::names(*spec, store_.node());
  ConfigDesired desired{.version = is_here ? store::version_of(*object) : 0, .materialised = spec != nullptr && live.materialised == spec};
  desired.has_config = scripts != nullptr && scripts->files.contains("config");
  desired.has_postconfig = scripts != nullptr && scripts->files.contains("postconfig");
  desired.has_deconfig = !is_here && exists(module, "deconfig");
  return desired;
}

Result<std::optional<Duration>> ScriptController::run_config(const std::string& module, Live& live) {
  const ConfigMemory before = live.config;
  ConfigPlan plan = decide_config(config_desired(module, live), live.config, clock_.mono_now());
  live.config = std::move(plan.memory);
  if (!plan.failure.empty()) store_.record(ModuleName{module}, "userplug", 'E', fmt::format("Configuration: {}", plan.failure));
  for (const auto& action : plan.actions) {
    if (const auto* begin = std::get_if<StartConfig>(&action)) {
      const Status started = start_config(module, live, begin->script);
      if (!started) {
        live.config = before;
        return started.error();
      }
    } else {
      SK_TRY_VOID(extra_.end(module, kConfigKey, std::get<EndConfig>(action).kill));
    }
  }
  if (plan.over) {
    SK_TRY_VOID(forget(module));
    return std::optional<Duration>{};
  }
  const bool is_new = live.config.version != before.version || live.config.problem != before.problem;
  if (is_new) SK_TRY_VOID(store_.set_fact(config_fact(module), encode(live.config), false));
  return plan.recheck_after;
}

Status ScriptController::start_config(const std::string& module, Live& live, const std::string& script) {
  const auto spec = store_.module(ModuleName{module});
  const spec::Scripts& scripts = scripts_or_usual(spec.get());
  ConfigRun& run = *live.config.run;
  run.output_file = output_path(module, scripts, script);
  SK_TRY_VOID(extra_.start({.module = module,
                            .key = kConfigKey,
                            .script = script,
                            .environment = environment(module, scripts),
                            .output_file = run.output_file},
                           [this, module](int exit_code) {
                             const auto found = modules_.find(module);
                             if (found == modules_.end()) return;  // deleted meanwhile
                             if (found->second.config.run) found->second.config.run->exit_code = exit_code;
                             wake_(engine::Request{module});
                           }));
  say_script(module, script, run.output_file);
  return {};
}

std::optional<status::Condition> ScriptController::configured_condition(const std::string& module, const Live& live) const {
  const ConfigDesired desired = config_desired(module, live);
  if (desired.version == 0 || (!desired.has_config && !desired.has_postconfig)) return std::nullopt;
  const bool runs = is_configuring(desired, live.config);
  const bool failed = !runs && !live.config.problem.empty();
  std::string message = failed ? live.config.problem : std::string{};
  if (failed) message += fmt::format(", its output is in {}; mend it and apply, or run it again: safekit config -m {}", live.config.output_file, module);
  return status::Condition{.type = "Configured",
                           .is_true = !runs && !failed,
                           .reason = runs ? "Running" : failed ? "ScriptFailed" : "ScriptsHaveRun",
                           .message = std::move(message),
                           .since = clock_.wall_now()};
}

Status ScriptController::forget(const std::string& module) {
  modules_.erase(module);
  for (const std::string& key : {fact_key(module), config_fact(module), by_hand_fact(module)}) SK_TRY_VOID(store_.forget_fact(key));
  const std::string bin = private_bin(paths_.state_dir, module);
  return files_.remove_tree(bin.substr(0, bin.rfind('/')));
}

Status ScriptController::configure(const std::string& module) {
  Live& live = modules_[module];
  load(module, live);
  const ConfigDesired desired = config_desired(module, live);
  if (!desired.has_config && !desired.has_postconfig) {
    return Error{Code::NotFound, fmt::format("module '{}' has no script config or postconfig", module)};
  }
  live.config.again = true;
  wake_(engine::Request{module});
  return {};
}

Configuration ScriptController::configuration(const std::string& module) const {
  const auto found = modules_.find(module);
  if (found == modules_.end()) return {.running = true};  // not looked at yet
  const Live& live = found->second;
  const ConfigDesired desired = config_desired(module, live);
  return {.version = desired.version,
          .running = is_configuring(desired, live.config),
          .problem = live.config.problem,
          .output_file = live.config.output_file};
}

// What people ask for.

Status ScriptController::ask(const std::string& module, AskedKind kind) {
  Live& live = modules_[module];
  load(module, live);
  if (const std::string why = refusal_of(kind, store_.status(ModuleName{module})); !why.empty()) return Error{Code::Conflict, why};
  for (const auto& [other, asked] : live.asked) {
    if (key_of(other) == key_of(kind) && !is_over(asked)) return Error{Code::Conflict, "this is being done already"};
  }
  const auto exists_here = [&](const std::string& name) { return exists(module, name); };
  Asked asked{.kind = kind, .phase = Asked::Phase::Script, .script = script_of(kind, exists_here)};
  const auto spec = store_.module(ModuleName{module});
  if (scripts_of(spec.get()) == nullptr) asked.script.clear();
  live.asked_over.erase(kind);
  if (kind == AskedKind::Start) {
    asked.phase = Asked::Phase::SetAddresses;
    set_by_hand(module, live, true);
    live.asked[kind] = asked;
  } else {
    live.asked[kind] = asked;
    const Status started = start_asked(module, live, kind);
    if (!started) {
      live.asked.erase(kind);
      return started;
    }
  }
  wake_(engine::Request{module});
  return {};
}

std::optional<Asked> ScriptController::asked(const std::string& module, AskedKind kind) const {
  const auto live = modules_.find(module);
  if (live == modules_.end() || !live->second.asked.contains(kind)) return std::nullopt;
  return live->second.asked.at(kind);
}

std::string ScriptController::output(const std::string& file) const {
  const auto text = file.empty() || file == kNowhere ? Result<std::string>{std::string{}} : files_.read(file);
  if (!text) return {};
  return text->size() > kOutputBytesMax ? text->substr(text->size() - kOutputBytesMax) : *text;
}

Status ScriptController::start_asked(const std::string& module, Live& live, AskedKind kind) {
  Asked& asked = live.asked.at(kind);
  asked.phase = Asked::Phase::Script;
  if (asked.script.empty()) {
    live.asked_over.insert(kind);
    return {};
  }
  const auto spec = store_.module(ModuleName{module});
  const spec::Scripts& scripts = scripts_or_usual(spec.get());
  // Who looks at a module's state looks often: of these the last output is kept, and no line tells of them.
  const bool is_look = kind == AskedKind::State || kind == AskedKind::Level;
  const std::string fixed = fmt::format("{}/run/{}.out", module_var(paths_.state_dir, module), asked.script);
  if (is_look) SK_TRY_VOID(files_.remove(fixed));
  asked.output_file = is_look ? fixed : output_path(module, scripts, asked.script);
  SK_TRY_VOID(extra_.start({.module = module,
                            .key = key_of(kind),
                            .script = asked.script,
                            .environment = environment(module, scripts),
                            .output_file = asked.output_file},
                           [this, module, kind](int exit_code) {
                             const auto found = modules_.find(module);
                             if (found == modules_.end()) return;  // deleted meanwhile
                             found->second.asked[kind].exit_code = exit_code;
                             found->second.asked_over.insert(kind);
                             wake_(engine::Request{module});
                           }));
  if (!is_look) say_script(module, asked.script, asked.output_file);
  return {};
}

void ScriptController::set_by_hand(const std::string& module, Live& live, bool on) {
  live.by_hand = on;
  // Not durable: with the power the application is gone as well.
  if (on) {
    (void)store_.set_fact(by_hand_fact(module), paths_.boot, false);
  } else {
    (void)store_.forget_fact(by_hand_fact(module));
  }
}

void ScriptController::run_asked(const std::string& module, Live& live) {
  const status::Module& seen = store_.status(ModuleName{module});
  for (auto& [kind, asked] : live.asked) {
    // The address controller has to have seen the change.
    const bool told = seen.script.by_hand == live.by_hand;
    if (asked.phase != Asked::Phase::Script && !told) continue;
    switch (next_step(asked, live.asked_over.contains(kind), seen.addresses)) {
      case AskedStep::Wait: break;
      case AskedStep::RunScript:
        if (const Status started = start_asked(module, live, kind); !started) {
          asked.problem = started.error().what;
          asked.phase = Asked::Phase::Over;
          set_by_hand(module, live, false);
        }
        break;
      case AskedStep::ReleaseAddresses:
        asked.phase = Asked::Phase::UnsetAddresses;
        set_by_hand(module, live, false);
        break;
      case AskedStep::End: asked.phase = Asked::Phase::Over; break;
      case AskedStep::Fail:
        asked.problem = seen.addresses.problem;
        asked.phase = Asked::Phase::Over;
        set_by_hand(module, live, false);
        break;
    }
  }
}

}  // namespace safekit::script
