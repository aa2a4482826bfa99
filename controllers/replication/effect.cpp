#include "controllers/replication/effect.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

namespace safekit::replication {
namespace {

constexpr std::string_view kLostCondition = "LostWrites";

std::string fact_key(const std::string& module) {
  return "replication/" + module;
}

/// Digest of the end of the last module of this name, as far as the journal here knows of it.
std::string begun_key(const std::string& module) {
  return "replication.begun/" + module;
}

/// Sets of lost writes that were told of.
std::string lost_key(const std::string& module) {
  return "replication.lost/" + module;
}

/// safekit-replicad --take-over that could not.
constexpr int kExitNotTaken = 3;

std::string module_directory(const Paths& paths, const std::string& module) {
  return fmt::format("{}/modules/{}", paths.state_dir, module);
}

/// Its journal belongs to this module alone, beside the files that the module's scripts may make.
std::string replica_directory(const Paths& paths, const std::string& module) {
  return module_directory(paths, module) + "/replica";
}

/// What the replica said before it ended; its log names the program in front of it.
std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return {};
  const std::size_t begin = text.find_last_of('\n', end);
  const std::size_t from = begin == std::string::npos ? 0 : begin + 1;
  return text.substr(from, end + 1 - from);
}

std::optional<Duration> earlier(std::optional<Duration> one, std::optional<Duration> other) {
  if (!one || !other) return one ? one : other;
  return std::min(*one, *other);
}

/// What stays true of a copy when its replica is stopped.
status::ReplicationSection marks_of(const control::Report& report) {
  status::ReplicationSection marks;
  marks.up_to_date = report.up_to_date;
  marks.inconsistent = report.inconsistent;
  marks.ever_synchronised = report.ever_synchronised;
  marks.has_data = report.has_data;
  marks.last_primary = report.last_primary;
  marks.restorable = report.restorable;
  marks.generation = report.generation.value;
  return marks;
}

}  // namespace

ReplicationController::ReplicationController(const Ports& ports, Connector connect, IdentitySource identity,
                                             Wake wake, Paths paths)
    : ports_(ports),
      connect_(std::move(connect)),
      identity_(std::move(identity)),
      wake_(std::move(wake)),
      paths_(std::move(paths)) {}

std::optional<engine::Request> ReplicationController::wants(const store::Change& change) const {
  const bool mine = change.what == store::Change::What::Object || change.what == store::Change::What::Status ||
                    change.what == store::Change::What::Operation;
  if (!mine || change.kind != store::Kind::Module) return std::nullopt;
  return engine::Request{change.name};
}

Result<engine::Outcome> ReplicationController::reconcile(const engine::Request& request) {
  const std::string& module = request.name;
  if (is_gone(module)) {
    SK_TRY(const bool is_over, bury(module));
    if (is_over) return engine::Outcome{};
  }
  if (ports_.store.status(ModuleName{module}).role.since == WallTime{}) return engine::Outcome{};
  Live& live = modules_[module];
  load(module, live);
  observe(module, live);
  SK_TRY_VOID(take_choices(module, live));
  SK_TRY_VOID(settle_choice(module, live));
  const std::optional<Duration> probe_after = probe_mount(module, live);
  const Desired desired = desire(module, live);
  const Plan plan = decide(desired, live.observed, live.memory, ports_.clock.mono_now());
  if (plan.memory != live.memory) {
    live.memory = plan.memory;
    SK_TRY_VOID(save(module, live.memory));
  }
  if (plan.finished) SK_TRY_VOID(ports_.store.finish(plan.finished->id, plan.finished->outcome));
  if (!live.memory.process) {
    disconnect(module, live);
    live.observed.reported = false;
    note_last_words(module, live);
  }
  for (const Action& action : plan.actions) {
    if (auto done = apply(module, live, action); !done) {
      publish(module, desired, live);
      return std::move(done).error();
    }
  }
  publish(module, desired, live);
  return engine::Outcome{.requeue_after = earlier(probe_after, earlier(plan.recheck_after, keep_verified(module, live)))};
}

void ReplicationController::load(const std::string& module, Live& live) {
  if (live.loaded) return;
  live.loaded = true;
  if (const auto text = ports_.store.fact(fact_key(module))) live.memory = decode(*text).value_or(Memory{});
  if (const auto text = ports_.store.fact(policy_key(module))) live.policy = decode_policy(*text);
}

void ReplicationController::note_last_words(const std::string& module, Live& live) {
  live.observed.last_words.clear();
  if (live.memory.early_exits < kEarlyExits && !live.observed.not_taken) return;
  const std::string log = module_directory(paths_, module) + "/replicad.log";
  const auto text = ports_.files.read(log);
  live.observed.last_words = text ? last_line(*text) : "see " + log;
}

Desired ReplicationController::desire(const std::string& module, Live& live) const {
  Desired desired;
  desired.order = ports_.store.status(ModuleName{module}).role.replica;
  for (const store::Operation& operation : ports_.store.pending(ModuleName{module})) {
    if (operation.verb == store::kUpgradeDatapath && desired.replace == 0) desired.replace = operation.id;
  }
  const auto spec = ports_.store.module(ModuleName{module});
  // A module that was deleted or replicates no more is still to be stopped in order: the role says when it
  // is.
  const bool replicates = spec != nullptr && spec->replication.has_value();
  desired.configured = replicates || live.memory.process.has_value();
  const status::Module& seen = ports_.store.status(ModuleName{module});
  if (replicates) desired.lease = lease_of(seen.lease, seen.role.lease);
  if (replicates) {
    const auto cluster = ports_.store.cluster();
    const auto identity = identity_();
    if (cluster == nullptr) {
      desired.problem = "there is no cluster configuration: apply one";
    } else if (!identity) {
      desired.problem = identity.error().what;
    } else if (auto made = configure_of(*cluster, *spec, ports_.store.node(), *identity); made) {
      live.configure = *made;
    } else {
      desired.problem = made.error().what;
    }
  }
  desired.configure = live.configure;
  if (!desired.configure) return desired;
  desired.configure->policy = live.policy.chosen;
  if (!desired.configure->leased) return desired;
  for (const auto& place : seen.addresses.places) desired.configure->guarded.push_back({place.address, place.interface});
  return desired;
}

void ReplicationController::observe(const std::string& module, Live& live) {
  live.observed.running = live.memory.process && ports_.processes.is_running(*live.memory.process);
  if (live.memory.process && !live.observed.running) note_last_words(module, live);
  if (live.observed.running && live.watch == 0) {
    const auto id = ports_.processes.watch_exit(*live.memory.process, [this, module] {
      modules_[module].watch = 0;
      wake_(engine::Request{module});
    });
    if (id) live.watch = *id;
  }
}

Status ReplicationController::apply(const std::string& module, Live& live, const Action& action) {
  struct Visitor {
    ReplicationController& self;
    const std::string& module;
    Live& live;
    Status operator()(const StartProcess& start) const { return self.start(module, live, start.take_over); }
    Status operator()(const LetGo&) const { return self.let_go(module); }
    Status operator()(const HandOver&) const { return self.ports_.processes.signal(*live.memory.process, SIGHUP); }
    Status operator()(const Connect&) const { return self.connect(module, live); }
    Status operator()(const SendConfigure& send) const {
      SK_TRY_VOID(live.link->send(send.configure));
      live.observed.sent_configure = send.configure;
      return {};
    }
    Status operator()(const SendLease& send) const {
      SK_TRY_VOID(live.link->send(send.lease));
      live.observed.sent_lease = send.lease;
      return {};
    }
    Status operator()(const SendWant& send) const {
      SK_TRY_VOID(live.link->send(send.want));
      live.observed.sent_number = send.want.order;
      return {};
    }
    Status operator()(const SignalProcess& signal) const {
      return self.ports_.processes.signal(*live.memory.process, signal.kill ? SIGKILL : SIGTERM);
    }
  };
  return std::visit(Visitor{*this, module, live}, action);
}

/// Deleted, or no longer for this node. A spec that this program cannot read is neither.
bool ReplicationController::is_gone(const std::string& module) const {
  if (!ports_.store.get({store::Kind::Module, module})) return true;
  const auto spec = ports_.store.module(ModuleName{module});
  return spec != nullptr && !store::names(*spec, ports_.store.node());
}

/// What is left of a module that runs no more: the journal, so that a new one of this name begins as new. The replicated
/// directories, the logs and what the module's scripts have made stay (docs/on-disk.md).
Status ReplicationController::forget(const std::string& module) {
  modules_.erase(module);
  const std::string directory = module_directory(paths_, module);
  SK_TRY_VOID(ports_.files.remove_tree(replica_directory(paths_, module)));
  SK_TRY_VOID(ports_.files.remove(directory + "/replica.sock"));
  SK_TRY_VOID(ports_.store.forget_fact(begun_key(module)));
  SK_TRY_VOID(ports_.store.forget_fact(lost_key(module)));
  SK_TRY_VOID(ports_.store.forget_fact(verify_key(module)));
  SK_TRY_VOID(ports_.store.forget_fact(schedule_key(module)));
  SK_TRY_VOID(ports_.store.forget_fact(policy_key(module)));
  return ports_.store.forget_fact(fact_key(module));
}

/// Of a module that is gone. False: it still runs, for it is stopped in order first. Nobody is left then to carry out what waits.
Result<bool> ReplicationController::bury(const std::string& module) {
  SK_TRY(const auto left, ports_.files.list(replica_directory(paths_, module)));
  if (!left.empty() || ports_.store.fact(fact_key(module))) {
    SK_TRY(const auto process, find_process(module));
    if (process) return false;
    SK_TRY_VOID(forget(module));
  }
  for (const store::Operation& operation : ports_.store.pending(ModuleName{module})) {
    if (store::is_of_replication(operation)) SK_TRY_VOID(ports_.store.finish(operation.id, "the module is not on this node any more"));
  }
  return true;
}

/// Another module may have had this name, and have been deleted while this node was away: its journal says nothing of
/// this one's copy.
Status ReplicationController::forget_namesake(const std::string& module, Live& live) {
  const std::string end = ports_.store.last_end({store::Kind::Module, module});
  if (end.empty() || ports_.store.fact(begun_key(module)) == end) return {};
  SK_TRY_VOID(ports_.files.remove_tree(replica_directory(paths_, module)));
  live.memory.last = {};
  return ports_.store.set_fact(begun_key(module), end, true);
}

Result<std::optional<ProcessIdentity>> ReplicationController::find_process(const std::string& module) const {
  return find_by("safekit-replica",
                 fmt::format("--module {} --state-dir {} ", module, replica_directory(paths_, module)));
}

Result<std::optional<ProcessIdentity>> ReplicationController::find_by(std::string_view command,
                                                                      const std::string& arguments) const {
  std::optional<ProcessIdentity> process;
  SK_TRY(const auto all, ports_.processes.list());
  for (const ProcessInfo& info : all) {
    // A blank at the end of what is looked for ends a word.
    if (info.command.starts_with(command) && (info.arguments + " ").find(arguments) != std::string::npos) {
      process = info.identity;
    }
  }
  return process;
}

Status ReplicationController::let_go(const std::string& module) {
  SK_TRY(const auto keeper, find_by("safekit-keeper", fmt::format("--for {} ", replica_directory(paths_, module))));
  if (!keeper) return {};
  return ports_.processes.signal(*keeper, SIGTERM);
}

Status ReplicationController::start(const std::string& module, Live& live, bool take_over) {
  const std::string directory = module_directory(paths_, module);
  SK_TRY_VOID(ports_.files.make_directories(directory));
  const std::string state_dir = replica_directory(paths_, module);
  // safekitd may have been killed between the last start and the note of it.
  SK_TRY(auto process, find_process(module));
  if (!process) {
    SK_TRY_VOID(forget_namesake(module, live));
    ProcessSpec spec;
    spec.argv = {paths_.program_dir + "/safekit-replicad",
                 "--module",
                 module,
                 "--state-dir",
                 state_dir,
                 "--socket",
                 directory + "/replica.sock"};
    if (take_over) spec.argv.push_back("--take-over");
    spec.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"};
    spec.output_path = directory + "/replicad.log";
    SK_TRY(process, ports_.processes.start(
                        spec, [this, module](const ExitStatus& status) {
                          modules_[module].observed.not_taken = status.code == kExitNotTaken;
                          wake_(engine::Request{module});
                        }));
  }
  live.observed.not_taken = false;
  live.memory.process = process;
  live.observed.running = true;
  return save(module, live.memory);
}

Status ReplicationController::connect(const std::string& module, Live& live) {
  disconnect(module, live);
  const std::uint64_t number = ++live.link_number;
  const std::string path = module_directory(paths_, module) + "/replica.sock";
  auto link = connect_(path, LinkTasks{
                                 .on_report =
                                     [this, module, number](const control::Report& report) {
                                       Live& to = modules_[module];
                                       if (to.link_number != number) return;
                                       to.observed.report = report;
                                       to.observed.reported = true;
                                       wake_(engine::Request{module});
                                     },
                                 .on_inspection =
                                     [this, module, number](control::Inspection&& inspection) {
                                       if (modules_[module].link_number == number) take_inspection(module, std::move(inspection));
                                     },
                                 .on_closed =
                                     [this, module, number] {
                                       Live& to = modules_[module];
                                       if (to.link_number != number) return;
                                       to.observed.connected = false;
                                       to.observed.report.reset();
                                       lose_inspection(module, to);
                                       wake_(engine::Request{module});
                                     },
                             });
  if (!link) {
    // Not there yet: the next pass tries again (recheck_after); anything else is worth an error and its
    // backoff.
    const bool early = link.error().code == Code::Unavailable || link.error().code == Code::NotFound;
    return early ? Status{} : Status{std::move(link).error()};
  }
  live.link = std::move(*link);
  live.observed.connected = true;
  wake_(engine::Request{module});
  return {};
}

void ReplicationController::disconnect(const std::string& module, Live& live) {
  ++live.link_number;
  live.link.reset();
  live.observed.connected = false;
  live.observed.sent_configure.reset();
  live.observed.sent_lease.reset();
  live.observed.sent_number = 0;
  live.observed.report.reset();
  lose_inspection(module, live);
}

void ReplicationController::tell_of_lost_writes(const std::string& module) {
  if (!ports_.lost_sets) return;
  const ModuleName name{module};
  const std::string told = ports_.store.fact(lost_key(module)).value_or("");
  LostNews news = lost_news(module, ports_.lost_sets(module), told);
  // Kept before it is said: after a power loss in between, the condition still says it.
  if (news.told != told && !ports_.store.set_fact(lost_key(module), news.told, true)) return;
  for (const Line& line : news.lines) ports_.store.record(name, line.component, line.level, line.text);
  set_condition(name, std::string{kLostCondition}, std::move(news.condition));
}

void ReplicationController::publish(const std::string& module, const Desired& desired, Live& live) {
  tell_of_lost_writes(module);
  tell_of_differences(module, live);
  if (live.observed.report) {
    const status::ReplicationSection marks = marks_of(*live.observed.report);
    if (marks != live.memory.last) {
      live.memory.last = marks;
      (void)save(module, live.memory);  // only shown while the replica is stopped; its journal is what counts
    }
  }
  const ModuleName name{module};
  const status::ReplicationSection before = ports_.store.status(name).replication;
  status::ReplicationSection after = section_of(desired, live.observed, live.memory);
  if (after.configured) show_policy(live.policy, live.observed.report ? &*live.observed.report : nullptr, after);
  set_condition(name, kWrittenOutside, outside_condition(after));
  set_condition(name, kOldCopyKept, old_copy_condition(module, after));
  Measured measured = measure(live.meter, live.observed.report, ports_.clock.mono_now());
  live.meter = std::move(measured.meter);
  if (!measured.line.empty()) ports_.store.record(name, "reintegre", 'I', std::move(measured.line));
  if (before != after) {
    std::vector<std::string> directories;
    if (live.configure) {
      for (const auto& directory : live.configure->directories) directories.push_back(directory.path);
    }
    for (const Line& line : lines_between(before, after, directories)) {
      ports_.store.record(name, line.component, line.level, line.text);
    }
  }
  publish_resources(name, after, live.meter);
}

void ReplicationController::publish_resources(const ModuleName& name, const status::ReplicationSection& section, const Meter& meter) {
  const WallTime now = ports_.clock.wall_now();
  auto resources = resources_of(section);
  if (section.configured) {
    for (auto& metric : metrics_of(meter)) resources.push_back(std::move(metric));
  }
  const status::Module& known = ports_.store.status(name);
  const bool same = std::ranges::all_of(resources, [&](const auto& one) {
    const auto found = known.resources.find(one.first);
    return found != known.resources.end() && found->second.value == one.second;
  });
  if (same && known.replication == section) return;
  std::vector<std::string> told;
  ports_.store.update_status(name, [&](status::Module& m) {
    m.replication = section;
    for (const auto& [resource, value] : resources) {
      status::ResourceValue& old = m.resources[resource];
      if (old.value == value) continue;
      if (resource == "rfs.uptodate" && old.value != "init") told.push_back(value);
      old = status::ResourceValue{.value = value, .assigned = now, .source = "rfs"};
    }
  });
  for (const std::string& value : told) {
    ports_.store.record(name, "rfs", value == "up" ? 'I' : 'E',
                        "Resource rfs.uptodate set to " + value + " by rfs");
  }
}

Status ReplicationController::save(const std::string& module, const Memory& memory) {
  // Not durable: after a power loss the process is gone, and what its journal holds does not depend on this.
  return ports_.store.set_fact(fact_key(module), encode(memory), false);
}

}  // namespace safekit::replication
