#include "controllers/daemon.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include <fmt/format.h>

#include "controllers/boot/effect.h"
#include "controllers/checker/effect.h"
#include "controllers/cluster_trust.h"
#include "controllers/config/effect.h"
#include "controllers/copy_inspections.h"
#include "controllers/errd/effect.h"
#include "controllers/failover/effect.h"
#include "controllers/lease/effect.h"
#include "controllers/lease/fencing.h"
#include "controllers/lost_writes.h"
#include "controllers/membership/effect.h"
#include "controllers/membership/port_watch.h"
#include "controllers/membership/service_heartbeats.h"
#include "controllers/module_states.h"
#include "controllers/preflight.h"
#include "controllers/process_commands.h"
#include "controllers/replication/client_link.h"
#include "controllers/replication/effect.h"
#include "controllers/role/effect.h"
#include "controllers/script/effect.h"
#include "controllers/script_routes.h"
#include "controllers/simulations.h"
#include "controllers/spread.h"
#include "controllers/vip/effect.h"
#include "controllers/watchdog/effect.h"
#include "datapath/heartbeat/service.h"
#include "datapath/linux/control_groups.h"
#include "datapath/linux/local_time.h"
#include "datapath/linux/netlink_interfaces.h"
#include "datapath/linux/port_holder.h"
#include "datapath/linux/ports.h"
#include "datapath/linux/power.h"
#include "datapath/linux/echo_probe.h"
#include "datapath/linux/systemd_units.h"
#include "datapath/linux/tcp_probe.h"
#include "datapath/linux/watchdog_device.h"
#include "datapath/lost/set_reader.h"
#include "reconciler/api/http_server.h"
#include "reconciler/engine/engine.h"
#include "reconciler/peer/http_link.h"
#include "reconciler/peer/identity.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/sqlite_backend.h"
#include "reconciler/store/store.h"
#include "reconciler/witness/client.h"
#include "reconciler/witness/protocol.h"
#include "reconciler/witness/service.h"

namespace safekit {
namespace {

constexpr const char* kForwardPath = "/api/";
constexpr Duration kRenewalCheck = hours{1};
constexpr Duration kPortRetry = seconds{5};

/// Changes with every boot of the machine and with every start of the container or sandbox node: all that could still
/// run from before ended with PID 1.
std::string boot_identity(linux_os::Ports& ports) {
  const auto boot = ports.files.read("/proc/sys/kernel/random/boot_id");
  std::string text = boot ? boot->substr(0, boot->find('\n')) : "unknown";
  if (const auto all = ports.processes.list()) {
    for (const ProcessInfo& process : *all) {
      if (process.identity.pid == 1) text += fmt::format("/{}", process.identity.start_ticks);
    }
  }
  return text;
}

Result<NodeName> node_name(const DaemonOptions& options, const Result<peer::ClusterIdentity>& identity) {
  if (identity) {
    if (!options.node.empty() && options.node != identity->node) {
      return Error{Code::Conflict, fmt::format("--node '{}', but '{}' says that this node joined its cluster as '{}'",
                                               options.node.str(), options.state_dir, identity->node.str())};
    }
    return identity->node;
  }
  if (!options.node.empty()) return options.node;
  char host[256]{};
  gethostname(host, sizeof host - 1);
  return NodeName{host};
}

std::string without_brackets(const std::string& address) {
  return address.starts_with('[') && address.ends_with(']') ? address.substr(1, address.size() - 2) : address;
}

std::string metrics_text(const engine::Engine& engine) {
  std::string out = "# TYPE safekit_reconcile_passes_total counter\n";
  for (const auto& [name, health] : engine.health().controllers()) {
    const auto line = [&](std::string_view metric, auto value) {
      out += fmt::format("safekit_reconcile_{}{{controller=\"{}\"}} {}\n", metric, name, value);
    };
    const auto microseconds_of = [](Duration duration) { return duration.count() / 1000; };
    line("passes_total", health.passes);
    line("failures_total", health.failures);
    line("over_deadline_total", health.over_deadline);
    line("waited_p99_microseconds", microseconds_of(health.waited.percentile(99)));
    line("took_p50_microseconds", microseconds_of(health.took.percentile(50)));
    line("took_p99_microseconds", microseconds_of(health.took.percentile(99)));
    line("took_max_microseconds", microseconds_of(health.took.longest()));
  }
  return out;
}

}  // namespace

struct Daemon::Impl {
  Impl(const DaemonOptions& wanted, const NodeName& name, std::unique_ptr<store::SqliteBackend> disk)
      : options(wanted), backend(std::move(disk)), store(*backend, ports.clock, name) {}

  void wire_controllers();
  void wire_peers();
  void wire_api();
  void wire_witness();
  Status activate(const peer::ClusterIdentity& identity);
  Result<replication::ClusterIdentity> replica_identity() const;
  Result<witness::RemoteWitness::NodeAccess> reach(const std::string& node) const;
  void renew();
  void look_at_ports();

  DaemonOptions options;
  linux_os::Ports ports{};
  linux_os::NetlinkInterfaces interfaces{ports.loop};
  linux_os::SystemPower power{ports.processes, options.may_reboot};
  linux_os::WatchdogDevice watchdog{options.watchdog};
  linux_os::SystemTcpProbe tcp{ports.loop};
  linux_os::SystemEchoProbe echo{ports.loop};
  witness::LeaseService leases{{ports.files, ports.clock, ports.random}, options.state_dir + "/witness/leases"};  ///< for other nodes' modules
  witness::RemoteWitness witnesses{ports.loop, [this](const std::string& node) { return reach(node); }};
  linux_os::SystemdUnits units{ports.loop};
  linux_os::ControlGroups groups{};
  std::unique_ptr<store::SqliteBackend> backend;
  store::Store store;
  engine::Engine engine{{store, ports.loop, ports.clock, ports.random, ports.log}};
  peer::Pki pki{{ports.files, ports.crypto, ports.random, ports.clock}, options.state_dir};
  peer::HttpLink link{ports.loop};
  peer::Peers peers{{store, ports.loop, ports.clock, ports.log}, link};
  membership::ServiceHeartbeats heartbeats{};
  ClusterTrust trust{{store, ports.loop, ports.clock, ports.crypto}, pki, [this](const auto& joined) { return activate(joined); }};
  Spread spread{{store, ports.loop, ports.clock, peers}};
  ModuleStates modules{{store, ports.loop, peers}};
  LostWrites lost_writes{{store, ports.loop}, options.state_dir, [this](const std::string& module) {
                           engine.wake("replication", {module});
                         }};
  Preflight preflight{{store, ports.loop, ports.clock, peers, tcp, echo}};
  Simulations simulations{{store, ports.loop, interfaces, peers}};
  membership::PortWatch port_watch{store};
  std::optional<peer::ClusterIdentity> identity{};
  std::unique_ptr<api::Server> server{};
  bool https_taken{false};
  std::optional<lease::Fencing> fencing{};
  // Controllers, in no order: they meet only in the store.
  std::unique_ptr<role::RoleController> role{};
  std::vector<std::unique_ptr<engine::Controller>> controllers{};
  // Speak to one of them each.
  std::unique_ptr<CopyInspections> inspections{};
  std::unique_ptr<ProcessCommands> process_commands{};
  std::unique_ptr<ScriptRoutes> script_routes{};
};

void Daemon::Impl::wire_controllers() {
  const auto add = [this](std::unique_ptr<engine::Controller> controller) {
    engine.add(*controller);
    controllers.push_back(std::move(controller));
  };
  const std::string boot = boot_identity(ports);
  fencing.emplace(lease::Fencing::Ports{store, ports.loop, ports.clock, ports.processes, ports.files}, witnesses, options.state_dir, boot);
  role = std::make_unique<role::RoleController>(role::RoleController::Ports{store, ports.clock, power}, boot,
                                                linux_os::local_minute, engine.waker("role"));
  engine.add(*role);
  auto scripts = std::make_unique<script::ScriptController>(
      store, ports.clock, ports.processes, ports.files, engine.waker("script"),
      script::Paths{.state_dir = options.state_dir,
                    .program_dir = options.program_dir,
                    .extra_environment = {"SAFEKIT_SOCKET=" + options.run_dir + "/safekitd.sock"},
                    .boot = boot},
      &groups);
  script_routes = std::make_unique<ScriptRoutes>(ScriptRoutes::Ports{store, ports.loop, *scripts});
  add(std::move(scripts));
  auto replication = std::make_unique<replication::ReplicationController>(
      replication::ReplicationController::Ports{
          store, ports.clock, ports.processes, ports.files,
          [this](const std::string& module) {
            // What cannot be read is not spoken of; `safekit lost-writes list` gives the error.
            return lost::list_sets(lost_writes_directory(options.state_dir, module)).value_or(std::vector<lost::Summary>{});
          }},
      replication::client_connector(ports.loop), [this] { return replica_identity(); }, engine.waker("replication"),
      replication::Paths{.state_dir = options.state_dir, .program_dir = options.program_dir});
  inspections = std::make_unique<CopyInspections>(CopyInspections::Ports{store, ports.loop, *replication});
  add(std::move(replication));
  add(std::make_unique<vip::VipController>(store, ports.clock, interfaces, engine.waker("vip")));
  auto errd = std::make_unique<errd::ErrdController>(errd::ErrdController::Ports{store, ports.clock, ports.processes, units},
                                                     engine.waker("errd"));
  process_commands = std::make_unique<ProcessCommands>(ProcessCommands::Ports{store, ports.processes, *errd});
  add(std::move(errd));
  add(std::make_unique<checker::CheckerController>(
      checker::CheckerController::Ports{store, ports.clock, tcp, echo, *fencing, interfaces, modules}, engine.waker("checker")));
  add(std::make_unique<lease::LeaseController>(
      lease::LeaseController::Ports{store, ports.clock, *fencing, echo, [this](const std::string& module) { fencing->note_heard(module); }},
      [this] { return identity ? identity->cluster_id : std::string{}; }, boot, engine.waker("lease")));
  add(std::make_unique<failover::FailoverController>(store, ports.clock));
  add(std::make_unique<membership::MembershipController>(store, ports.clock, heartbeats, engine.waker("membership")));
  add(std::make_unique<boot::BootController>(store, ports.clock, boot));
  add(std::make_unique<config::ConfigController>(store, ports.clock));
  if (!options.watchdog.empty()) {
    add(std::make_unique<watchdog::WatchdogController>(watchdog::WatchdogController::Ports{store, ports.clock, watchdog}, options.watchdog_limit, boot));
  }
}

void Daemon::Impl::wire_peers() {
  peers.on_request(kForwardPath, [this](const NodeName& from, const std::string&, const std::string& body, peer::ReplyTask reply) {
    auto request = api::request_from(body);
    if (!request) return reply(std::move(request).error());
    request->door = api::Door::Peer;
    request->user = api::passed_on(request->user, from);
    server->routes().handle(*request, [reply](const api::Response& response) { reply(api::to_wire(response)); });
  });
}

void Daemon::Impl::wire_api() {
  api::Callbacks callbacks{.cluster = &trust};
  callbacks.forward = [this](const NodeName& node, const api::Request& request, api::Respond respond) {
    peers.forward(node, kForwardPath, api::to_wire(request), [respond](Result<std::string> reply) {
      if (!reply) return respond(api::failure(reply.error()));
      auto response = api::response_from(*reply);
      respond(response ? *response : api::failure(response.error()));
    });
  };
  callbacks.links = [this] {
    std::vector<api::NodeLink> links;
    for (const peer::PeerState& state : peers.peers()) {
      links.push_back({.name = state.node, .reachable = state.reachable, .problem = state.problem});
    }
    std::string own = port_watch.problem();
    for (const std::string& problem : peers.problems()) own += (own.empty() ? "" : "; ") + problem;
    links.push_back({.name = store.node(), .reachable = true, .problem = own});
    return links;
  };
  callbacks.metrics = [this] { return metrics_text(engine); };
  server = std::make_unique<api::Server>(
      ports.loop, store, ports.clock, ports.log, api::ServerOptions{.socket_path = options.run_dir + "/safekitd.sock"},
      std::move(callbacks), [this](const std::string& token) -> std::string {
        // Digests: how long a comparison takes says nothing of the secret.
        const auto digest = [this](const std::string& text) { return ports.crypto.sha256_hex(as_bytes(text)); };
        return identity && !token.empty() && digest(token) == digest(identity->admin_token) ? "admin" : "";
      });
  server->routes().add(api::Method::Get, "cluster/authority",
                       [this](const api::Request&, const api::Routes::Parameters&, const api::Respond& respond) {
                         const auto authority = trust.authority();
                         respond(authority ? api::text(200, *authority) : api::failure(authority.error()));
                       });
  wire_witness();
  lost_writes.add_routes(server->routes());
  inspections->add_routes(server->routes());
  process_commands->add_routes(server->routes());
  script_routes->add_routes(server->routes());
  preflight.add_routes(server->routes());
  simulations.add_routes(server->routes());
  server->routes().add(api::Method::Get, "modules/*/spread",
                       [this](const api::Request& request, const api::Routes::Parameters& at, const api::Respond& respond) {
                         spread.answer(request, at.front(), respond);
                       });
}

/// This node as the witness of modules that run on others.
void Daemon::Impl::wire_witness() {
  const auto answer = [this](const api::Request& request, const api::Routes::Parameters&, const api::Respond& respond) {
    respond(leases.answer(request));
  };
  server->routes().add(api::Method::Get, witness::pattern_of(witness::kAliveRoute), answer);
  server->routes().add(api::Method::Post, witness::pattern_of(witness::kAcquireRoute), answer);
  server->routes().add(api::Method::Post, witness::pattern_of(witness::kReleaseRoute), answer);
}

/// From here on this node speaks to its peers.
Status Daemon::Impl::activate(const peer::ClusterIdentity& now) {
  const bool first = !identity;
  identity = now;
  SK_TRY_VOID(link.set_identity(now.authority_pem, now.own));
  const Status https = server->set_identity(now.own);
  https_taken = !https && https.error().code == Code::Io;
  // A port is no reason to end: the modules run, and the local socket answers. See look_at_ports.
  if (!https && !https_taken) return https;
  if (first) {
    heartbeats.use(std::make_unique<heartbeat::HeartbeatService>(
        heartbeat::HeartbeatService::Options{.node = now.node, .key = now.heartbeat_key}, ports.clock, ports.random,
        ports.crypto, ports.loop));
    peers.start();
  }
  for (const ModuleName& module : store.local_modules()) engine.wake("replication", {module.str()});
  engine.wake("membership", {"cluster"});
  return {};
}

Result<replication::ClusterIdentity> Daemon::Impl::replica_identity() const {
  if (!identity) {
    return Error{Code::Unavailable, "this node belongs to no cluster yet: `safekit cluster init` or `safekit cluster join`"};
  }
  const std::string pki_dir = options.state_dir + "/pki/";
  return replication::ClusterIdentity{.cluster_id = identity->cluster_id,
                                      .certificate_file = pki_dir + "node.pem",
                                      .key_file = pki_dir + "node.key",
                                      .authority_file = pki_dir + "ca.pem"};
}

/// Another node as a witness: its API, by the token that all nodes of the cluster share.
Result<witness::RemoteWitness::NodeAccess> Daemon::Impl::reach(const std::string& node) const {
  if (!identity) return Error{Code::NotFound, "this node belongs to no cluster yet"};
  witness::RemoteWitness::NodeAccess access{
      .port = api::kHttpsPort, .token = identity->admin_token, .authority_pem = identity->authority_pem};
  if (const auto cluster = store.cluster()) {
    for (const spec::Lan& lan : cluster->lans) {
      for (const spec::NodeAddress& there : lan.nodes) {
        if (there.name.str() == node) access.addresses.push_back(without_brackets(there.address));
      }
    }
  }
  if (access.addresses.empty()) return Error{Code::NotFound, fmt::format("the cluster has no node '{}'", node)};
  return access;
}

/// Ports that another program has: tried again, and told of, for as long as it has them.
void Daemon::Impl::look_at_ports() {
  std::vector<membership::TakenPort> taken;
  if (https_taken && identity) https_taken = !server->set_identity(identity->own);
  if (https_taken) {
    taken.push_back({.transport = "TCP",
                     .port = api::kHttpsPort,
                     .address = "all addresses",
                     .holder = linux_os::port_holder(linux_os::Transport::Tcp, api::kHttpsPort),
                     .effect = "other nodes and remote commands cannot reach this node; what runs goes on"});
  }
  for (const std::string& address : heartbeats.taken_addresses()) {
    taken.push_back({.transport = "UDP",
                     .port = heartbeats.port(),
                     .address = address,
                     .holder = linux_os::port_holder(linux_os::Transport::Udp, heartbeats.port()),
                     .effect = "this node sends and hears no heartbeats there, and does not count that as a loss of its peer"});
  }
  port_watch.update(taken, ports.clock.wall_now());
  ports.loop.after(kPortRetry, [this] { look_at_ports(); });
}

void Daemon::Impl::renew() {
  if (identity) {
    const auto renewed = pki.renew_if_due();
    if (!renewed) {
      ports.log.write(LogLevel::Error, "pki", renewed.error().what);
    } else if (*renewed) {
      if (const auto status = activate(**renewed); !status) ports.log.write(LogLevel::Error, "pki", status.error().what);
    }
  }
  ports.loop.after(kRenewalCheck, [this] { renew(); });
}

Daemon::Daemon(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::make(const DaemonOptions& options) {
  SK_TRY(auto backend, store::SqliteBackend::open(options.state_dir));
  Result<peer::ClusterIdentity> known{Error{}};
  {
    linux_os::Ports ports;
    known = peer::Pki{{ports.files, ports.crypto, ports.random, ports.clock}, options.state_dir}.load();
  }
  if (!known && known.error().code != Code::NotFound) return std::move(known).error();
  SK_TRY(const NodeName name, node_name(options, known));
  return std::unique_ptr<Daemon>(
      new Daemon(std::make_unique<Impl>(options, name, std::move(backend))));
}

Status Daemon::run() {
  Impl& d = *impl_;
  ::signal(SIGPIPE, SIG_IGN);
  SK_TRY_VOID(d.ports.files.make_directories(d.options.run_dir));
  d.wire_controllers();
  d.wire_peers();
  d.wire_api();
  d.role->adopt();
  d.engine.start();
  d.engine.wake("watchdog", {"watchdog"});  // also where no module is left: one that counts is to be fed
  SK_TRY_VOID(d.server->start());
  // A node without the file may be one that was installed anew under its name.
  const auto open = d.leases.open(witness::LeaseService::Before::Unknown);
  if (!open) d.ports.log.write(LogLevel::Error, "witness", open.error().what);
  if (auto known = d.pki.load()) {
    SK_TRY_VOID(d.activate(*known));
  } else if (known.error().code != Code::NotFound) {
    return std::move(known).error();
  }
  d.renew();
  d.look_at_ports();
  for (const int signal : {SIGTERM, SIGINT}) {
    d.ports.loop.on_signal(signal, [&d] { d.ports.loop.stop(); });
  }
  d.ports.log.write(LogLevel::Info, "safekitd", fmt::format("node={} state={} ready", d.store.node().str(), d.options.state_dir));
  d.ports.loop.run();
  d.server->stop();
  d.engine.stop();
  return {};
}

}  // namespace safekit
