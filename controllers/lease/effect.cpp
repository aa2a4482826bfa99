#include "controllers/lease/effect.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace safekit::lease {
namespace {

using Section = status::LeaseSection;

constexpr const char* kComponent = "splitbraincheck";
constexpr const char* kResource = "splitbrain.uptodate";

std::string fact_key(const std::string& module) { return "lease/" + module; }
std::string met_key(const std::string& module) { return "met/" + module; }

/// Of a section, what a safekitd that starts must know.
std::string verdict_of(const Section& section) {
  const bool stands = section.witness == Section::Witness::Reachable &&
                      (section.answer == Section::Answer::Granted || section.answer == Section::Answer::Silent);
  return stands ? std::string{value_of(section, status::LeaseNeed::Stands)} : std::string{};
}

}  // namespace

LeaseController::LeaseController(const Ports& ports, std::function<std::string()> cluster_id, std::string boot, Wake wake)
    : ports_(ports), cluster_id_(std::move(cluster_id)), boot_(std::move(boot)), wake_(std::move(wake)) {}

std::optional<engine::Request> LeaseController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> LeaseController::reconcile(const engine::Request& request) {
  const ModuleName name{request.name};
  const auto spec = ports_.store.module(name);
  const status::RoleSection& role = ports_.store.status(name).role;
  if (role.since == WallTime{}) {  // the module is gone, or what its role wants is not known yet
    modules_.erase(request.name);
    if (spec == nullptr) forget(name);
    return engine::Outcome{};
  }
  const auto [at, is_new] = modules_.try_emplace(request.name);
  Live& live = at->second;
  if (is_new) live.memory.asks = ++lives_ << 32U;  // an answer to one of a life before is none of this one
  const Desired desired = desire(spec.get(), role, ports_.store.node().str(), cluster_id_(), hear(name, spec.get(), live));
  load(request.name, desired, live);
  std::optional<Duration> recheck;
  // One at a time; without any, one look all the same.
  std::vector<Answer> answers = std::exchange(live.answers, {});
  for (std::size_t i = 0; i < std::max<std::size_t>(answers.size(), 1); ++i) {
    const auto answer = i < answers.size() ? std::optional{std::move(answers[i])} : std::nullopt;
    Plan plan = decide(desired, answer, std::move(live.memory), ports_.clock.mono_now());
    live.memory = std::move(plan.memory);
    for (const Line& line : plan.lines) ports_.store.record(name, kComponent, line.level, line.text);
    if (plan.release) {
      ports_.witness.release(live.memory.giving_back, plan.release->limit, [this, module = request.name, number = plan.release->number](const Status& done) {
        told(module, {.number = number, .reply = done ? Result<LeaseReply>{LeaseReply{}} : done.error()});
      });
    }
    remember(request.name, live.memory);
    if (plan.ask) ask(request.name, desired, live.memory, *plan.ask);
    recheck = plan.recheck_after;
  }
  publish(name, desired, live.memory);
  return engine::Outcome{.requeue_after = recheck};
}

void LeaseController::load(const std::string& module, const Desired& desired, Live& live) {
  if (std::exchange(live.loaded, true)) return;
  const auto verdict = ports_.store.fact(fact_key(module));
  if (!verdict || desired.need < status::LeaseNeed::Stands || desired.witness != Section::Witness::Reachable) return;
  live.memory.section = {.witness = desired.witness,
                         .answer = *verdict == "up" ? Section::Answer::Granted : Section::Answer::Silent,
                         .detail = *verdict == "up" ? "" : "it gave no answer when it was asked"};
}

Hearing LeaseController::hear(const ModuleName& module, const spec::Module* spec, Live& live) {
  const std::string other = spec == nullptr ? "" : other_node(*spec, ports_.store.node().str());
  const std::string meeting = fmt::format("{} {}", other, boot_);
  if (!live.loaded) live.met = ports_.store.fact(met_key(module.str())).value_or("");
  const status::Module& seen = ports_.store.status(module);
  if (!seen.peer.heard && !seen.replication.connected) {
    return live.met == meeting && seen.peer.silence_known ? Hearing::Lost : Hearing::Unsure;
  }
  ports_.heard(module.str());
  // Where it cannot be kept, a safekitd that starts knows of no meeting, and waits.
  if (std::exchange(live.met, meeting) != meeting) (void)ports_.store.set_fact(met_key(module.str()), meeting, false);
  return Hearing::Now;
}

/// One that is made anew under the name begins with nothing.
void LeaseController::forget(const ModuleName& module) {
  ports_.heard(module.str());
  for (const std::string& key : {met_key(module.str()), fact_key(module.str())}) {
    if (ports_.store.fact(key)) (void)ports_.store.forget_fact(key);
  }
}

void LeaseController::remember(const std::string& module, const Memory& memory) {
  const std::string verdict = verdict_of(memory.section);
  if (verdict == ports_.store.fact(fact_key(module)).value_or("")) return;
  // Lost with the power, as the role is that it was asked for; and where it cannot be kept, the witness is asked anew.
  (void)(verdict.empty() ? ports_.store.forget_fact(fact_key(module)) : ports_.store.set_fact(fact_key(module), verdict, false));
}

void LeaseController::told(const std::string& module, Answer answer) {
  const auto live = modules_.find(module);
  if (live == modules_.end()) return;
  live->second.answers.push_back(std::move(answer));
  wake_(engine::Request{module});
}

void LeaseController::ask(const std::string& module, const Desired& desired, const Memory& memory, const Ask& question) {
  if (desired.witness == Section::Witness::Grants) {
    ports_.witness.acquire(memory.asked_for, question.limit, [this, module, number = question.number](Result<LeaseReply> reply) {
      told(module, {.number = number, .reply = std::move(reply)});
    });
    return;
  }
  // The first answer is enough; without any, the last failure tells.
  const auto left = std::make_shared<std::size_t>(desired.echoes.size());
  for (const std::string& host : desired.echoes) {
    ports_.echo.echo(host, question.limit, [this, module, left, number = question.number](const Status& status) {
      if (*left == 0 || (--*left > 0 && !status)) return;
      *left = 0;
      told(module, {.number = number, .reply = status ? Result<LeaseReply>{LeaseReply{.granted = true}} : status.error()});
    });
  }
}

void LeaseController::publish(const ModuleName& name, const Desired& desired, const Memory& memory) {
  const bool has_witness = desired.witness != Section::Witness::None;
  const std::string value = has_witness ? std::string{value_of(memory.section, desired.need)} : std::string{};
  const status::Module& seen = ports_.store.status(name);
  const auto shown = seen.resources.find(kResource);
  const bool same = shown == seen.resources.end() ? !has_witness : shown->second.value == value;
  if (same && seen.lease == memory.section) return;
  const WallTime now = ports_.clock.wall_now();
  ports_.store.update_status(name, [&](status::Module& m) {
    m.lease = memory.section;
    if (same) return;
    if (has_witness) {
      m.resources[kResource] = {.value = value, .assigned = now, .source = kComponent};
    } else {
      m.resources.erase(kResource);
    }
  });
}

}  // namespace safekit::lease
