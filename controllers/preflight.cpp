#include "controllers/preflight.h"

#include <algorithm>

#include <fmt/format.h>

#include "datapath/linux/preflight_probe.h"
#include "schema/spec/defaults.h"

namespace safekit {
namespace {

using api::Method;
using doc::Node;

constexpr int kPings = 20;
constexpr int kParcels = 8;
constexpr std::size_t kParcelBytes = 4U << 20;  ///< below api::kBodyBytesMax
constexpr int kEchoes = 5;
constexpr Duration kProbeMax = seconds{2};

std::string module_in(const api::Request& request) {
  const auto found = request.query.find("module");
  return found == request.query.end() ? std::string{} : found->second;
}

std::vector<std::string> directories_of(const spec::Module* module) {
  std::vector<std::string> directories;
  if (module == nullptr || !module->replication) return directories;
  for (const auto& directory : module->replication->directories) directories.push_back(directory.path);
  return directories;
}

std::string milliseconds_of(Duration duration) { return fmt::format("{:.3f}", static_cast<double>(duration.count()) / 1e6); }

Node self_tree(const std::string& node, const std::vector<std::string>& directories) {
  const linux_os::KernelFeatures kernel = linux_os::kernel_features();
  Node tree = Node::map();
  tree.add("node", Node::string(node));
  tree.add("kernel", Node::string(kernel.release));
  Node& features = tree.add("features", Node::map());
  features.add("kernelNewEnough", Node::boolean(kernel.is_new_enough));
  features.add("fuse", Node::boolean(kernel.has_fuse));
  features.add("controlGroups", Node::boolean(kernel.has_control_groups));
  Node& list = tree.add("directories", Node::list());
  for (const std::string& directory : directories) {
    Node& one = list.push(Node::map());
    one.add("path", Node::string(directory));
    const auto measured = linux_os::measure_sync(directory);
    if (!measured) {
      one.add("problem", Node::string(measured.error().what));
      continue;
    }
    if (measured->path != directory) one.add("measuredIn", Node::string(measured->path));
    one.add("syncMedianMs", Node::number(milliseconds_of(measured->median)));
    one.add("syncWorstMs", Node::number(milliseconds_of(measured->worst)));
  }
  return tree;
}

}  // namespace

struct Preflight::Job {
  std::string module{};
  std::vector<NodeName> others{};  ///< still to be looked at, the current one first
  std::vector<api::PreflightPeer> peers{};
  std::vector<api::PreflightSelf> nodes{};
  std::vector<Duration> answers{};
  MonoTime sent{};
  int parcels{0};
  api::Respond respond{};
};

void Preflight::add_routes(api::Routes& routes) {
  using Parameters = api::Routes::Parameters;
  routes.add(Method::Post, "preflight",
             [this](const api::Request& request, const Parameters&, const api::Respond& respond) { begin(request, respond); });
  routes.add(Method::Get, "preflight/self", [this](const api::Request& request, const Parameters&, const api::Respond& respond) {
    measure_self(module_in(request), [respond](const Result<Node>& tree) { respond(tree ? api::json(200, *tree) : api::failure(tree.error())); });
  });
  routes.add(Method::Get, "preflight/ping", [this](const api::Request&, const Parameters&, const api::Respond& respond) {
    respond(api::text(200, std::to_string(ports_.clock.wall_now().ns)));
  });
  routes.add(Method::Post, "preflight/sink", [](const api::Request& request, const Parameters&, const api::Respond& respond) {
    respond(api::text(200, std::to_string(request.body.size())));
  });
}

void Preflight::begin(const api::Request& request, const api::Respond& respond) {
  auto job = std::make_shared<Job>(Job{.module = module_in(request), .respond = respond});
  const auto module = job->module.empty() ? nullptr : ports_.store.module(ModuleName{job->module});
  const auto cluster = ports_.store.cluster();
  if (!job->module.empty() && module == nullptr) {
    return respond(api::failure(Error{Code::NotFound, fmt::format("no module '{}' (safekit get modules lists them)", job->module)}));
  }
  if (cluster == nullptr) {
    return respond(api::failure(Error{Code::Conflict, "this node belongs to no cluster yet: `safekit cluster init` or `safekit cluster join`"}));
  }
  job->others = module != nullptr && !module->nodes.empty() ? module->nodes : spec::nodes_of(*cluster);
  std::erase(job->others, ports_.store.node());
  measure_self(job->module, [this, job](const Result<Node>& tree) {
    if (!tree) return job->respond(api::failure(tree.error()));
    job->nodes.push_back({.node = ports_.store.node().str(), .tree = *tree});
    next_peer(job);
  });
}

void Preflight::next_peer(const Shared& job) {
  if (job->others.empty()) return finish(job);
  job->peers.push_back({.node = job->others.front().str()});
  job->answers.clear();
  job->parcels = 0;
  ping(job);
}

void Preflight::call(const Shared& job, Method method, const std::string& path, std::string body,
                     std::function<void(Result<api::Response>)> then) {
  api::Request request{.method = method, .path = fmt::format("{}/{}", api::kRoot, path), .body = std::move(body), .user = "safekitd"};
  if (!job->module.empty()) request.query["module"] = job->module;
  ports_.peers.forward(job->others.front(), "/api/", api::to_wire(request), [then](const Result<std::string>& reply) {
    if (!reply) return then(reply.error());
    auto response = api::response_from(*reply);
    if (!response) return then(std::move(response).error());
    const Status status = api::status_of(*response);
    if (!status) return then(status.error());
    then(*response);
  });
}

void Preflight::give_up(const Shared& job, const Error& error) {
  job->peers.back().problem = error.what;
  job->others.erase(job->others.begin());
  next_peer(job);
}

void Preflight::ping(const Shared& job) {
  const MonoTime sent = ports_.clock.mono_now();
  const WallTime wall = ports_.clock.wall_now();
  call(job, Method::Get, "preflight/ping", {}, [this, job, sent, wall](const Result<api::Response>& answer) {
    api::PreflightPeer& peer = job->peers.back();
    if (!answer) return give_up(job, answer.error());
    const Duration took = ports_.clock.mono_now() - sent;
    // The shortest way there and back bounds best where in between the other clock was read.
    if (job->answers.empty() || took < *std::ranges::min_element(job->answers)) {
      peer.clock_offset = Duration{std::strtoll(answer->body.c_str(), nullptr, 10) - wall.ns} - took / 2;
      peer.clock_error = took / 2;
    }
    job->answers.push_back(took);
    if (job->answers.size() < kPings) return ping(job);
    std::ranges::sort(job->answers);
    peer.answer_median = job->answers[job->answers.size() / 2];
    peer.answer_worst = job->answers.back();
    job->sent = ports_.clock.mono_now();
    send(job);
  });
}

void Preflight::send(const Shared& job) {
  call(job, Method::Post, "preflight/sink", std::string(kParcelBytes, 'x'), [this, job](const Result<api::Response>& answer) {
    const Duration took = ports_.clock.mono_now() - job->sent;
    if (!answer) return give_up(job, answer.error());
    if (++job->parcels < kParcels) return send(job);
    const double bytes = static_cast<double>(kParcelBytes) * job->parcels;
    job->peers.back().bytes_per_second = static_cast<std::uint64_t>(bytes * 1e9 / static_cast<double>(std::max<std::int64_t>(took.count(), 1)));
    ask_self(job);
  });
}

void Preflight::ask_self(const Shared& job) {
  call(job, Method::Get, "preflight/self", {}, [this, job](const Result<api::Response>& answer) {
    const auto tree = answer ? api::tree_of(*answer) : Result<Node>{answer.error()};
    if (tree) job->nodes.push_back({.node = job->others.front().str(), .tree = *tree});
    if (!tree) job->peers.back().problem = tree.error().what;
    const auto cluster = ports_.store.cluster();
    for (const spec::Lan& lan : cluster ? cluster->lans : std::vector<spec::Lan>{}) {
      const spec::NodeAddress* there = spec::find_node(lan, job->others.front());
      if (there != nullptr) job->peers.back().lans.push_back({.name = lan.name.str(), .address = there->address});
    }
    look_at_lan(job, 0);
  });
}

void Preflight::look_at_lan(const Shared& job, std::size_t index) {
  auto& lans = job->peers.back().lans;
  if (index == lans.size()) {
    job->others.erase(job->others.begin());
    return next_peer(job);
  }
  ports_.tcp.connect(lans[index].address, api::kHttpsPort, kProbeMax, [this, job, index](const Status& connected) {
    job->peers.back().lans[index].port_open = connected.has_value();
    echo(job, index, kEchoes);
  });
}

void Preflight::echo(const Shared& job, std::size_t index, int left) {
  if (left == 0) return look_at_lan(job, index + 1);
  const MonoTime sent = ports_.clock.mono_now();
  ports_.echo.echo(job->peers.back().lans[index].address, kProbeMax, [this, job, index, left, sent](const Status& answered) {
    api::PreflightLan& lan = job->peers.back().lans[index];
    if (!answered) return look_at_lan(job, index + 1);
    lan.round_trip = std::max(lan.round_trip.value_or(Duration{}), ports_.clock.mono_now() - sent);
    echo(job, index, left - 1);
  });
}

void Preflight::finish(const Shared& job) {
  std::optional<Duration> configured;
  if (const auto module = ports_.store.module(ModuleName{job->module}); module != nullptr && module->heart) {
    for (const spec::Heartbeat& heartbeat : module->heart->lans) {
      const Duration timeout = spec::timeout_of(*module->heart, heartbeat);
      configured = std::min(configured.value_or(timeout), timeout);
    }
  }
  const auto findings = api::findings_of(job->peers, job->nodes, configured);
  job->respond(api::json(200, api::report_of(job->peers, job->nodes, findings, api::timeout_for(job->peers))));
}

void Preflight::measure_self(const std::string& module, std::function<void(Result<Node>)> done) {
  if (is_measuring_) return done(Error{Code::Conflict, "this node is being measured already"});
  is_measuring_ = true;
  const std::vector<std::string> directories = directories_of(ports_.store.module(ModuleName{module}).get());
  worker_ = std::jthread{[this, directories, node = ports_.store.node().str(), done = std::move(done)] {
    Node tree = self_tree(node, directories);
    ports_.loop.post([this, tree = std::move(tree), done] {
      is_measuring_ = false;
      done(tree);
    });
  }};
}

}  // namespace safekit
