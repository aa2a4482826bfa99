#include "controllers/simulations.h"

#include <algorithm>

#include <fmt/format.h>

#include "controllers/simulate/tree.h"
#include "reconciler/api/source.h"
#include "schema/check/change_effect.h"

namespace safekit {
namespace {

std::string query_of(const api::Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string{} : found->second;
}

}  // namespace

void Simulations::add_routes(api::Routes& routes) {
  using Parameters = api::Routes::Parameters;
  routes.add(api::Method::Get, "modules/*/situation", [this](const api::Request&, const Parameters& at, const api::Respond& respond) {
    const auto now = here(at[0]);
    respond(now ? api::json(200, sim::to_tree(*now)) : api::failure(now.error()));
  });
  routes.add(api::Method::Post, "modules/*/simulate", [this](const api::Request& request, const Parameters& at, const api::Respond& respond) {
    simulate(request, at[0], respond);
  });
}

Result<sim::NodeNow> Simulations::here(const std::string& module) const {
  const ModuleName name{module};
  const auto local = ports_.store.local_modules();
  if (std::ranges::find(local, name) == local.end()) {
    return Error{Code::NotFound, fmt::format("module '{}' does not run on this node '{}' (safekit get modules lists all)", module,
                                             ports_.store.node().str())};
  }
  SK_TRY(const auto interfaces, ports_.interfaces.list());
  return sim::node_now(*ports_.store.module(name), ports_.store.node(), ports_.store.status(name), interfaces);
}

/// As an apply would take it. What it would refuse happens to nobody.
Result<spec::Module> Simulations::spec_of(const api::Request& request, const std::string& module) const {
  SK_TRY(api::Source source, api::source_of(request));
  const auto before = ports_.store.module(ModuleName{module});
  const auto cluster = ports_.store.cluster();
  check::LoadOptions options{.format = source.format,
                             .environment = source.environment,
                             .cluster = cluster.get(),
                             .module_name = source.name.empty() ? module : source.name,
                             .module_nodes = source.nodes.empty() ? before->nodes : source.nodes,
                             .module_id = before->id};
  check::LoadResult loaded = check::load(source.text, source.file, options);
  for (codec::Decoded& decoded : loaded.objects) {
    auto* spec = std::get_if<spec::Module>(&decoded.object);
    if (spec == nullptr || spec->metadata.name != module) continue;
    doc::Problems found{source.file};
    api::take_scripts(source, *spec, decoded.positions, found);
    if (loaded.has_errors() || found.has_errors()) break;
    const auto blocked = check::needing_stop(check::diff(*before, *spec));
    if (blocked.empty() || ports_.store.status(ModuleName{module}).role.role == status::Role::Stop) return *spec;
    return Error{Code::Conflict, fmt::format("'{}' can only be changed while the module is stopped: an apply would change nothing now",
                                             blocked.front().path)};
  }
  return Error{Code::Invalid, fmt::format("the file is no module '{}' without errors; `safekit validate` names them", module)};
}

Result<sim::Happening> Simulations::happening_of(const api::Request& request, const std::string& module) const {
  sim::Happening what{.name = query_of(request, "name"), .node = NodeName{query_of(request, "on")}};
  SK_TRY(what.kind, sim::parse_happening(query_of(request, "what")));
  if (what.node.str().empty()) what.node = ports_.store.node();
  if (what.kind == sim::Happening::Kind::Apply) {
    SK_TRY(what.spec, spec_of(request, module));
  }
  return what;
}

void Simulations::simulate(const api::Request& request, const std::string& module, const api::Respond& respond) {
  const auto now = here(module);
  if (!now) return respond(api::failure(now.error()));
  const auto spec = ports_.store.module(ModuleName{module});
  const auto cluster = ports_.store.cluster();
  if (spec->mode != spec::Mode::Mirror || spec->nodes.size() != 2 || cluster == nullptr) {
    return respond(api::failure(Error{Code::Unsupported, fmt::format("module '{}' is no mirror on two nodes of a cluster; only that is "
                                                                     "simulated",
                                                                     module)}));
  }
  const auto what = happening_of(request, module);
  if (!what) return respond(api::failure(what.error()));
  sim::Situation situation{.cluster = *cluster, .module = *spec};
  const std::size_t mine = spec->nodes[0] == ports_.store.node() ? 0 : 1;
  situation.nodes[mine] = *now;
  situation.nodes[1 - mine].name = spec->nodes[1 - mine];
  const api::Request question{.path = fmt::format("{}/modules/{}/situation", api::kRoot, module), .user = "safekitd"};
  ports_.peers.forward(spec->nodes[1 - mine], "/api/", api::to_wire(question),
                       [this, situation, other = 1 - mine, what = *what, respond](const Result<std::string>& reply) {
                         heard(situation, other, what, reply, respond);
                       });
}

void Simulations::heard(sim::Situation situation, std::size_t other, const sim::Happening& what, const Result<std::string>& reply,
                        const api::Respond& respond) {
  const auto tree = [&]() -> Result<doc::Node> {
    SK_TRY(const std::string text, reply);
    SK_TRY(const api::Response response, api::response_from(text));
    return api::tree_of(response);
  }();
  if (tree) {
    auto now = sim::node_now_from(*tree);
    if (!now) return respond(api::failure(now.error()));
    situation.nodes[other] = *now;
    return begin(situation, what, respond);
  }
  // Off is who is neither reached nor heard. Its copy is as it was last spoken of.
  const status::PeerSection& peer = ports_.store.status(ModuleName{situation.module.metadata.name}).peer;
  if (peer.heard) {
    return respond(api::failure(Error{Code::Unavailable, fmt::format("node '{}' is heard and does not answer: {}", situation.nodes[other].name.str(),
                                                                     tree.error().what)}));
  }
  situation.nodes[other].up_to_date = peer.up_to_date;
  situation.nodes[other].last_primary = peer.last_primary;
  situation.nodes[other].interfaces = situation.nodes[1 - other].interfaces;
  begin(situation, what, respond);
}

void Simulations::begin(const sim::Situation& situation, const sim::Happening& what, const api::Respond& respond) {
  if (busy_) return respond(api::failure(Error{Code::Exhausted, "another simulation is under way; ask again"}));
  busy_ = true;
  thread_ = std::jthread{[this, situation, what, respond] {
    const auto result = sim::forecast(situation, what);
    ports_.loop.post([this, respond, response = result ? api::json(200, sim::to_tree(situation, *result)) : api::failure(result.error())] {
      busy_ = false;
      respond(response);
    });
  }};
}

}  // namespace safekit
