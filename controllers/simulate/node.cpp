#include "controllers/simulate/node.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

namespace safekit::sim {
namespace {

constexpr const char* kState = "/state";
constexpr const char* kPrograms = "/usr/bin";
constexpr int kExitNotTaken = 3;
constexpr Duration kCalmScript = seconds{1};

std::string after_word(const std::vector<std::string>& argv, std::string_view word) {
  const auto found = std::ranges::find(argv, word);
  return found == argv.end() || found + 1 == argv.end() ? std::string{} : *(found + 1);
}

/// Another module's state is not known.
class NoModules final : public checker::ModuleProbe {
 public:
  void ask(const ModuleName&, const std::string&, Duration, std::function<void(Result<checker::ModuleState>)>) override {}
};

}  // namespace

SimInterfaces::SimInterfaces(World& world, std::vector<Interface> own) : world_(world), own_(std::move(own)) { lose_power(); }

void SimInterfaces::lose_power() {
  fixed_.interfaces = own_;
}

Status SimInterfaces::remove_address(int index, const InterfaceAddress& address) {
  return keeps_addresses ? Status{} : fixed_.remove_address(index, address);
}

Status SimInterfaces::probe(int, const IpAddress& address, Duration wait, std::function<void(std::optional<MacAddress>)> task) {
  const bool taken = elsewhere(address);
  (void)loop_->after(taken ? milliseconds{2} : wait, [taken, task = std::move(task)] {
    task(taken ? std::optional{MacAddress{2, 0, 0, 0, 0, 9}} : std::nullopt);
  });
  return {};
}

bool SimInterfaces::has(const IpAddress& address) {
  return std::ranges::any_of(fixed_.interfaces, [&](const Interface& interface) {
    return std::ranges::any_of(interface.addresses, [&](const auto& one) { return one.ip == address; });
  });
}

void SimInterfaces::set_loop(SimLoop* loop) {
  loop_ = loop;
  fixed_.on_changes.clear();
}

void SimProbes::connect(const std::string& host, std::uint16_t port, Duration timeout, std::function<void(Status)> task) {
  answer(answers_(host, port), timeout, [task = std::move(task)](bool there) {
    task(there ? Status{} : Status{Error{Code::Timeout, "no answer"}});
  });
}

LeaseReply SimLeases::acquire(const LeaseAsk& ask, std::int64_t now) {
  Lease& lease = leases[ask.name];
  const bool is_mine = lease.holder == ask.holder;
  const bool is_free = lease.holder.empty() || (now >= lease.until && ask.succeeds) || defect == Defect::WitnessGrantsBoth;
  if (!is_mine && !is_free) return {.holder = lease.holder, .detail = fmt::format("'{}' holds the lease, or has not given it back", lease.holder)};
  if (!is_mine && ask.only_mine) return {};
  if (lease.holder != ask.holder || now >= lease.until) lease = {.holder = ask.holder, .id = ++last_id};
  lease.until = now + ask.length.count() + ask.length.count() / 1'000'000 * drift_ppm;
  return {.granted = true, .id = std::to_string(lease.id), .length = ask.length};
}

/// The question is on its way, whatever becomes of who asked; the answer may be lost.
void SimProbes::acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) {
  const bool there = has_witness(ask.place);
  const auto reply = std::make_shared<std::optional<LeaseReply>>();
  const Duration way = world_.between(milliseconds{1}, limit / 2);
  if (there) world_.after(way, [this, ask, reply] { *reply = leases_->acquire(ask, world_.now()); });
  const bool arrives = there && !world_.chance(3);
  (void)loop_->after(arrives ? way + world_.between(microseconds{1}, limit / 2) : limit, [arrives, reply, task = std::move(task)] {
    if (arrives && *reply) return task(**reply);
    task(Error{Code::Timeout, "no answer"});
  });
}

void SimProbes::release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) {
  answer(has_witness(ask.place), limit, [this, ask, task = std::move(task)](bool there) {
    if (!there) return task(Error{Code::Timeout, "no answer"});
    const auto found = leases_->leases.find(ask.name);
    if (found != leases_->leases.end() && std::to_string(found->second.id) == ask.id) leases_->leases.erase(found);
    task({});
  });
}

void SimProbes::probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) {
  answer(has_witness(place), limit, [task = std::move(task)](bool there) { task(there ? Status{} : Status{Error{Code::Timeout, "no answer"}}); });
}

bool SimProbes::has_witness(const WitnessPlace& place) const {
  return std::ranges::any_of(place.addresses, [this](const std::string& address) { return answers_(address, 0); });
}

void SimProbes::answer(bool there, Duration limit, std::function<void(bool)> task) {
  (void)loop_->after(there ? milliseconds{1} : limit, [there, task = std::move(task)] { task(there); });
}

Node::Node(Ports ports)
    : ports_(std::move(ports)),
      clock_(ports_.world, ports_.drift_ppm),
      files_(ports_.world),
      backend_(ports_.world),
      processes_(ports_.world),
      interfaces_(ports_.world, ports_.interfaces),
      random_(ports_.world),
      probes_(ports_.world, ports_.answers, ports_.leases),
      modules_(std::make_unique<NoModules>()) {
  processes_.begin = [this](ProcessIdentity process, const ProcessSpec& spec) { begin(process, spec); };
  processes_.signalled = [this](ProcessIdentity process, int number) { signalled(process, number); };
  interfaces_.elsewhere = [this](const IpAddress& address) { return ports_.address_elsewhere(*this, address); };
  interfaces_.keeps_addresses = ports_.defect == Defect::AddressStays;
  backend_.forgets_commits = ports_.defect == Defect::FactsNotDurable;
  backend_.on_event([this](const status::Event& event) {
    ports_.world.note(ports_.name.str(), event.text);
    if (ports_.told) ports_.told(*this, event);
  });
  for (const Module& module : ports_.modules) disks_[module.name];
  store::Store first{backend_, clock_, ports_.name};
  (void)first.apply(store::kClusterKey, ports_.cluster, {});
  for (const Module& module : ports_.modules) {
    (void)first.apply({store::Kind::Module, module.name}, module.spec, {});
    const auto spec = first.module(ModuleName{module.name});
    const auto* witness = spec != nullptr && spec->checkers.has_witness() ? &*spec->checkers.split_brain : nullptr;
    if (witness != nullptr && witness->exec == "fence") (void)files_.replace(witness->witnesses.front(), "", 0755);
  }
  write_tick();
}

Node::~Node() = default;

void Node::boot() {
  if (up_) return;
  ports_.world.note(ports_.name.str(), "*** boot");
  up_ = true;
  if (ports_.defect != Defect::BootsUnnoticed) ++boots_;
  clock_.boot();
  for (const Module& module : ports_.modules) begin_programs(module.name, true);
  start_daemon();
}

void Node::crash() {
  if (!up_) return;
  ports_.world.note(ports_.name.str(), "*** power loss");
  up_ = false;
  daemon_.reset();
  replicas_.clear();
  scripts_.clear();
  left_.clear();
  application_.clear();
  guards_.clear();
  programs_.clear();
  processes_.lose_power();
  interfaces_.lose_power();
  files_.lose_power();
  backend_.lose_power();
  for (auto& [module, copy] : disks_) copy.lose_power(ports_.world);
}

void Node::restart_daemon() {
  if (!up_) return;
  ports_.world.note(ports_.name.str(), "*** safekitd restarts");
  daemon_.reset();
  start_daemon();
}

void Node::pause_daemon(Duration how_long) {
  if (!daemon_) return;
  ports_.world.note(ports_.name.str(), fmt::format("*** safekitd stands still for {}", safekit::to_string(how_long)));
  daemon_->loop->pause(how_long);
}

void Node::pause_replica(const std::string& module, Duration how_long) {
  Replica* const one = replica(module);
  if (one == nullptr) return;
  ports_.world.note(ports_.name.str(), fmt::format("*** the replica stands still for {}", safekit::to_string(how_long)));
  one->pause(how_long);
}

void Node::pause(Duration how_long) {
  pause_daemon(how_long);
  for (const Module& module : ports_.modules) pause_replica(module.name, how_long);
}

bool Node::answers_at(const std::string& module, const IpAddress& address) {
  const auto guard = guards_.find(module);
  const bool opens = guard == guards_.end() || ports_.defect == Defect::GuardMissing || clock_.mono_now() < guard->second;
  return opens && has_address(address);
}

void Node::kill_replica(const std::string& module) {
  for (const auto& [pid, one] : replicas_) {
    if (one.module != module) continue;
    ports_.world.note(ports_.name.str(), "*** the replica dies");
    return signalled({.pid = pid, .start_ticks = static_cast<std::uint64_t>(pid)}, SIGKILL);
  }
}

void Node::command(const std::string& module, const std::string& verb) {
  if (!daemon_) return;
  ports_.world.note(ports_.name.str(), fmt::format("command {}", verb));
  store::Operation operation;
  operation.module = module;
  operation.verb = verb;
  operation.caller = "root";
  (void)daemon_->store->submit(std::move(operation));  // a full disk refuses it
}

void Node::apply(const std::string& module, const std::string& spec) {
  if (!daemon_) return;
  ports_.world.note(ports_.name.str(), "apply");
  (void)daemon_->store->apply({store::Kind::Module, module}, spec, {});  // as above
}

void Node::set_switches(const std::string& module, const status::Settings& settings) {
  switches_[module] = settings;
  if (daemon_) daemon_->store->update_status(ModuleName{module}, [&](status::Module& status) { status.settings = settings; });
}

void Node::set_resource(const std::string& module, const std::string& name, const std::string& value) {
  if (!daemon_) return;
  daemon_->store->update_status(ModuleName{module}, [&](status::Module& status) {
    status.resources[name] = {.value = value, .assigned = clock_.wall_now(), .source = "root"};
  });
}

bool Node::is_application_up(const std::string& module) const {
  const auto found = application_.find(module);
  return found != application_.end() && found->second;
}

void Node::begin_programs(const std::string& module, bool always) {
  const auto found = std::ranges::find(ports_.modules, module, &Module::name);
  if (found == ports_.modules.end()) return;
  for (const Program& program : found->programs) {
    if (program.always == always) programs_[module].emplace_back(program, processes_.add(program.command, program.command));
  }
}

void Node::end_programs(const std::string& module) {
  std::erase_if(programs_[module], [this](const auto& running) {
    if (!running.first.always) processes_.end(running.second, {.code = 0});
    return !running.first.always;
  });
}

bool Node::kill_program(const std::string& module, const std::string& command) {
  const auto killed = std::erase_if(programs_[module], [&](const auto& running) {
    if (running.first.command == command) processes_.end(running.second, {.signal = SIGKILL});
    return running.first.command == command;
  });
  return killed > 0;
}

Replica* Node::replica(const std::string& module) const {
  for (const auto& [pid, one] : replicas_) {
    if (one.module == module) return one.replica.get();
  }
  return nullptr;
}

const status::Module* Node::status(const std::string& module) const {
  return daemon_ ? &daemon_->store->status(ModuleName{module}) : nullptr;
}

void Node::start_daemon() {
  processes_.set_loop(nullptr);
  daemon_ = std::make_unique<Daemon>();
  Daemon& d = *daemon_;
  d.loop = std::make_unique<SimLoop>(ports_.world, clock_);
  processes_.set_loop(d.loop.get());
  interfaces_.set_loop(d.loop.get());
  probes_.set_loop(d.loop.get());
  d.store = std::make_unique<store::Store>(backend_, clock_, ports_.name);
  d.engine = std::make_unique<engine::Engine>(engine::Engine::Ports{*d.store, *d.loop, clock_, random_, log_});
  d.heartbeats = std::make_unique<SimHeartbeats>(SimHeartbeats::Ports{ports_.world, *d.loop, clock_, ports_.name, ports_.defect, ports_.carry});
  d.transport = std::make_unique<SimTransport>(SimTransport::Ports{ports_.world, *d.loop, ports_.name, ports_.reach});
  d.peers = std::make_unique<peer::Peers>(peer::Peers::Ports{*d.store, *d.loop, clock_, log_}, *d.transport);
  for (const auto& [module, switches] : switches_) {
    d.store->update_status(ModuleName{module}, [&switches](status::Module& status) { status.settings = switches; });
  }
  wire(d);
  d.role->adopt();
  d.engine->start();
  d.peers->start();
  d.engine->wake("membership", {"cluster"});
}

/// As controllers/daemon.cpp; what asks for a person's attention only (config) is left out.
void Node::wire(Daemon& d) {
  const auto add = [&d](std::unique_ptr<engine::Controller> controller) {
    d.engine->add(*controller);
    d.controllers.push_back(std::move(controller));
  };
  const std::string boot = fmt::format("boot{}", boots_);
  d.role = std::make_unique<role::RoleController>(role::RoleController::Ports{*d.store, clock_, power_}, boot,
                                                  [](WallTime) { return CalendarMinute{}; }, d.engine->waker("role"));
  d.engine->add(*d.role);
  add(std::make_unique<script::ScriptController>(*d.store, clock_, processes_, files_, d.engine->waker("script"),
                                                 script::Paths{.state_dir = kState, .program_dir = kPrograms}));
  add(std::make_unique<replication::ReplicationController>(
      replication::ReplicationController::Ports{*d.store, clock_, processes_, files_},
      [this](const std::string& socket, replication::LinkTasks tasks) { return connect(socket, std::move(tasks)); },
      [] { return Result<replication::ClusterIdentity>{replication::ClusterIdentity{.cluster_id = "c"}}; }, d.engine->waker("replication"),
      replication::Paths{.state_dir = kState, .program_dir = kPrograms}));
  add(std::make_unique<vip::VipController>(*d.store, clock_, interfaces_, d.engine->waker("vip")));
  add(std::make_unique<errd::ErrdController>(errd::ErrdController::Ports{*d.store, clock_, processes_, units_}, d.engine->waker("errd")));
  d.fencing = std::make_unique<lease::Fencing>(lease::Fencing::Ports{*d.store, *d.loop, clock_, processes_, files_}, probes_, kState, boot);
  add(std::make_unique<checker::CheckerController>(checker::CheckerController::Ports{*d.store, clock_, probes_, probes_, *d.fencing, interfaces_, *modules_},
                                                   d.engine->waker("checker")));
  add(std::make_unique<lease::LeaseController>(lease::LeaseController::Ports{*d.store, clock_, *d.fencing, probes_, [&d](const std::string& module) { d.fencing->note_heard(module); }},
                                               [] { return std::string{"c"}; }, boot, d.engine->waker("lease")));
  add(std::make_unique<failover::FailoverController>(*d.store, clock_));
  add(std::make_unique<membership::MembershipController>(*d.store, clock_, *d.heartbeats, d.engine->waker("membership")));
  add(std::make_unique<boot::BootController>(*d.store, clock_, boot));
}

Result<std::unique_ptr<replication::ReplicaLink>> Node::connect(const std::string& socket, replication::LinkTasks tasks) {
  for (auto& [pid, one] : replicas_) {
    if (socket.find("/" + one.module + "/") == std::string::npos || !one.replica->listens()) continue;
    return one.replica->connect(*daemon_->loop, std::move(tasks));
  }
  return Error{Code::Unavailable, "nobody listens"};
}

void Node::begin(ProcessIdentity process, const ProcessSpec& spec) {
  const std::string& program = spec.argv.front();
  if (program.ends_with("safekit-replicad")) {
    const bool take_over = std::ranges::find(spec.argv, "--take-over") != spec.argv.end();
    return begin_replica(process, after_word(spec.argv, "--module"), take_over);
  }
  if (program.ends_with("safekit-runner")) return begin_script(process, spec);
  if (spec.output_path.starts_with(fmt::format("{}/fence/", kState))) return ports_.fence(*this, process, spec.argv);
  ports_.world.after(milliseconds{1}, [this, process] { processes_.end(process, {.code = 0}); });
}

void Node::begin_replica(ProcessIdentity process, const std::string& module, bool take_over) {
  const auto left = left_.find(module);
  if (take_over && (left == left_.end() || ports_.world.chance(30))) {
    ports_.world.after(milliseconds{3}, [this, process] { processes_.end(process, {.code = kExitNotTaken}); });
    return;
  }
  auto replica = std::make_unique<Replica>(Replica::Ports{
      .world = ports_.world,
      .clock = clock_,
      .copy = disks_[module],
      .name = ports_.name.str(),
      .defect = ports_.defect,
      .peer = [this, module] { return ports_.peer_replica(*this, module); },
      .next_write = ports_.next_write,
      .acknowledged = [this, module](std::uint32_t number) { ports_.acknowledged(*this, module, number); },
      .promoting = [this, module](bool forced) { ports_.promoting(*this, module, forced); },
      .guard = [this, module](MonoTime until) { guards_[module] = until; }});
  if (take_over) replica->take_over(left->second);
  left_.erase(module);
  replicas_[process.pid] = Running{.module = module, .replica = std::move(replica)};
}

void Node::begin_script(ProcessIdentity runner, const ProcessSpec& spec) {
  const std::string status_path = after_word(spec.argv, "--status");
  const auto dashes = std::ranges::find(spec.argv, "--");
  const std::string program = *(dashes + 1);
  constexpr std::string_view kBefore = "/modules/";
  const std::string module = program.substr(program.find(kBefore) + kBefore.size());
  Script script{.module = module.substr(0, module.find('/')), .name = program.substr(program.rfind('/') + 1), .status_path = status_path};
  script.script = processes_.add(script.name, program);
  (void)files_.put(status_path, fmt::format("pid={}\nstart_ticks={}\n", script.script.pid, script.script.start_ticks), 0600);
  if (script.name == "stop_prim") {
    application_[script.module] = false;
    end_programs(script.module);
  }
  scripts_[runner.pid] = script;
  const Duration takes = ports_.world.is_calm()    ? kCalmScript
                         : ports_.world.chance(5) ? ports_.world.between(seconds{1}, seconds{8})
                                                  : ports_.world.between(milliseconds{1}, milliseconds{200});
  script_tick(runner, ports_.world.now() + takes.count());
}

/// The application ends when its last fsync has returned.
void Node::script_tick(ProcessIdentity runner, std::int64_t ends) {
  const auto found = scripts_.find(runner.pid);
  if (found == scripts_.end()) return;
  const Replica* const data = replica(found->second.module);
  const bool hangs = found->second.name == "stop_prim" && data != nullptr && data->is_waiting();
  if (ports_.world.now() >= ends && !hangs) return end_script(runner, "exit=0\n");
  const Duration wait = hangs ? Duration{milliseconds{50}} : Duration{ends - ports_.world.now()};
  ports_.world.after(wait, [this, runner, ends] { script_tick(runner, ends); });
}

void Node::end_script(ProcessIdentity runner, const std::string& how) {
  const auto node = scripts_.extract(runner.pid);
  if (node.empty()) return;
  const Script& script = node.mapped();
  if (script.name == "start_prim" && how.starts_with("exit")) {
    application_[script.module] = true;
    begin_programs(script.module, false);
  }
  processes_.end(script.script, {.code = 0});
  if (ports_.defect == Defect::ScriptEndLost && ports_.world.chance(2)) return;
  (void)files_.put(script.status_path, fmt::format("pid={}\nstart_ticks={}\n{}", script.script.pid, script.script.start_ticks, how), 0600);
  processes_.end(runner, {.code = 0});
}

void Node::signalled(ProcessIdentity process, int number) {
  if (const auto found = replicas_.find(process.pid); found != replicas_.end()) {
    const std::string module = found->second.module;
    if (number == SIGKILL) {
      if (auto left = found->second.replica->leave()) left_[module] = *left;
    }
    replicas_.erase(found);
    return processes_.end(process, number == SIGKILL ? ExitStatus{.signal = SIGKILL} : ExitStatus{.code = 0});
  }
  for (const auto& [pid, script] : scripts_) {
    if (script.script.pid != process.pid) continue;
    return end_script({.pid = pid, .start_ticks = static_cast<std::uint64_t>(pid)}, fmt::format("signal={}\n", number));
  }
}

void Node::write_tick() {
  if (up_) {  // an application that stands still does so with its replica
    for (const auto& [module, runs] : application_) {
      Replica* const data = replica(module);
      if (runs && data != nullptr) data->write();
    }
  }
  ports_.world.after(ports_.world.between(milliseconds{5}, milliseconds{80}), [this] { write_tick(); });
}

}  // namespace safekit::sim
