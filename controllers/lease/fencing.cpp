#include "controllers/lease/fencing.h"

#include <csignal>
#include <sstream>
#include <utility>

#include <fmt/format.h>

namespace safekit::lease {

namespace {

constexpr const char* kComponent = "fence";
/// A node that is off comes back by a boot, and what it may do then does not hang on this.
constexpr Duration kHolds = hours{1};

/// Names are `safekit/<cluster>/<module>`.
std::string module_of(const LeaseAsk& ask) { return ask.name.substr(ask.name.rfind('/') + 1); }
std::string fact_of(const std::string& module) { return "fenced/" + module; }
std::string run_of(const std::string& module) { return "fencing/" + module; }
constexpr const char* kHeard = " heard";

LeaseReply grant() { return {.granted = true, .id = "fenced", .length = kHolds}; }

std::string how_it_ended(const ExitStatus& status) {
  if (status.code) return fmt::format("exit code {}", *status.code);
  return status.signal ? fmt::format("signal {}", *status.signal) : "it is gone";
}

std::string last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string{text.substr(text.rfind('\n') + 1)};
}

}  // namespace

Fencing::Fencing(const Ports& ports, Witness& others, std::string state_dir, std::string boot)
    : ports_(ports), others_(others), state_dir_(std::move(state_dir)), boot_(std::move(boot)) {}

std::string Fencing::proof_of(const LeaseAsk& ask) const { return fmt::format("{} {}", ask.place.other_node, boot_); }
std::string Fencing::output_of(const std::string& module) const { return fmt::format("{}/fence/{}.output", state_dir_, module); }

std::string& Fencing::proof_in(const std::string& module) {
  const auto [at, is_new] = proofs_.try_emplace(module);
  if (is_new) {
    at->second = ports_.store.fact(fact_of(module)).value_or("");
    end_left_over(module);
  }
  return at->second;
}

/// The program of a safekitd that died: what it does nobody is told.
void Fencing::end_left_over(const std::string& module) {
  const auto left = ports_.store.fact(run_of(module));
  if (!left) return;
  ProcessIdentity process{};
  if (std::istringstream{*left} >> process.pid >> process.start_ticks) (void)ports_.processes.signal_group(process, SIGKILL);
  (void)ports_.store.forget_fact(run_of(module));
}

/// Not over a power loss: whoever has been away does not know what the other one did since.
Status Fencing::keep(const std::string& module, const std::string& proof) {
  proofs_[module] = proof;
  return ports_.store.set_fact(fact_of(module), proof, false);
}

void Fencing::acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) {
  if (ask.place.kind != WitnessPlace::Kind::Fence) return others_.acquire(ask, limit, std::move(task));
  const auto reply = [&](LeaseReply answer) { ports_.loop.post([task, answer = std::move(answer)] { task(answer); }); };
  Run& run = runs_[module_of(ask)];
  const std::string& known = proof_in(module_of(ask));
  const bool is_off = known == proof_of(ask) && !run.runs;
  if (is_off || (ask.only_mine && (known == proof_of(ask) || known == proof_of(ask) + kHeard))) return reply(grant());
  if (ask.only_mine) {
    return reply({.detail = fmt::format("'{}' is not switched off: only one is that was heard since this node was booted and is silent now, and by the newest copy", ask.place.other_node)});
  }
  if (!run.runs && run.failed && ports_.clock.mono_now() < *run.failed + kAgain) return reply({.detail = run.failure});
  if (run.runs && run.node != ask.place.other_node) return reply({.detail = fmt::format("'{}' is being switched off", run.node)});
  run.waiting.push_back(std::move(task));
  if (!run.runs) start(ask, run);
}

void Fencing::start(const LeaseAsk& ask, Run& run) {
  const std::string module = module_of(ask);
  std::vector<std::string> argv = ask.place.addresses;
  argv.push_back(ask.place.other_node);
  argv.emplace_back(ask.serves ? "primary" : "secondary");
  run = Run{.node = ask.place.other_node, .waiting = std::move(run.waiting)};
  ports_.store.record(ModuleName{module}, kComponent, 'E',
                      fmt::format("The other node is not heard: {} is to switch '{}' off", argv.front(), run.node));
  // A full disk is no reason to stay without a primary.
  const bool keeps_output = ports_.files.put(output_of(module), "", 0600).has_value();
  auto started = ports_.processes.start({.argv = std::move(argv),
                                         .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SAFEMODULE=" + module},
                                         .output_path = keeps_output ? output_of(module) : ""},
                                        [this, ask](const ExitStatus& status) { ended(ask, status); });
  if (!started) return conclude(ask, run, started.error());
  run.runs = true;
  run.process = *started;
  (void)ports_.store.set_fact(run_of(module), fmt::format("{} {}", started->pid, started->start_ticks), false);
  run.limit = ports_.loop.after(kFenceLimit, [this, module] {
    Run& late = runs_[module];
    late.late = true;
    (void)ports_.processes.signal_group(late.process, SIGKILL);  // its end says the rest
  });
}

void Fencing::ended(const LeaseAsk& ask, const ExitStatus& status) {
  Run& run = runs_[module_of(ask)];
  ports_.loop.cancel(run.limit);
  run.runs = false;
  (void)ports_.store.forget_fact(run_of(module_of(ask)));
  if (run.late) return conclude(ask, run, Error{Code::Timeout, fmt::format("it took longer than {}", to_string(kFenceLimit))});
  if (status.code == 0) return conclude(ask, run, {});
  const auto output = ports_.files.read(output_of(module_of(ask)));
  const std::string said = output ? last_line(*output) : std::string{};
  conclude(ask, run, Error{Code::Io, fmt::format("{}{}{}", how_it_ended(status), said.empty() ? "" : ": ", said)});
}

void Fencing::conclude(const LeaseAsk& ask, Run& run, const Status& status) {
  const ModuleName module{module_of(ask)};
  Result<LeaseReply> reply = grant();
  if (run.heard) {
    const std::string what = fmt::format("'{}' is heard again: the program that is to switch it off is ended", run.node);
    ports_.store.record(module, kComponent, 'I', what);
    reply = Error{Code::Unavailable, what};
  } else if (status) {
    (void)keep(module.str(), proof_of(ask));
    ports_.store.record(module, kComponent, 'I', fmt::format("'{}' is switched off", run.node));
  } else {
    run.failed = ports_.clock.mono_now();
    run.failure = fmt::format("'{}' was not switched off: {}: {}", run.node, ask.place.addresses.front(), status.error().what);
    ports_.store.record(module, kComponent, 'E', run.failure);
    reply = LeaseReply{.detail = run.failure};
  }
  for (auto& task : std::exchange(run.waiting, {})) ports_.loop.post([task = std::move(task), reply] { task(reply); });
}

void Fencing::release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) {
  if (ask.place.kind != WitnessPlace::Kind::Fence) return others_.release(ask, limit, std::move(task));
  const Status forgotten = ports_.store.forget_fact(fact_of(module_of(ask)));
  if (forgotten) proofs_[module_of(ask)].clear();
  ports_.loop.post([task = std::move(task), forgotten] { task(forgotten); });
}

void Fencing::note_heard(const std::string& module) {
  if (const auto run = runs_.find(module); run != runs_.end() && !std::exchange(run->second.heard, true) && run->second.runs) {
    (void)ports_.processes.signal_group(run->second.process, SIGKILL);
  }
  std::string& known = proof_in(module);
  if (known.empty()) return;
  if (!known.ends_with(kHeard)) known += kHeard;
  if (ports_.store.fact(fact_of(module)) != known) (void)keep(module, known);
}

void Fencing::probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) {
  if (place.kind != WitnessPlace::Kind::Fence) return others_.probe(place, limit, std::move(task));
  const auto program = ports_.files.read(place.addresses.front());
  const bool missing = !program && program.error().code == Code::NotFound;
  ports_.loop.post([task = std::move(task), status = missing ? Status{program.error()} : Status{}] { task(status); });
}

}  // namespace safekit::lease
