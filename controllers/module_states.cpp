#include "controllers/module_states.h"

#include <algorithm>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "schema/port/interfaces.h"
#include "schema/spec/defaults.h"
#include "schema/status/role.h"

namespace safekit {
namespace {

using checker::ModuleState;

bool is_this_node(const std::string& address) {
  if (address == "localhost") return true;
  const auto ip = parse_ip(address);
  return ip && (ip->v6 ? to_string(*ip) == "::1" : ip->bytes[0] == 127);
}

/// As written, or another way to write the same.
bool is_same(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto left = parse_ip(a);
  const auto right = parse_ip(b);
  return left && right && *left == *right;
}

bool has_virtual_address(const spec::Module& module, const std::string& address) {
  if (!module.vip) return false;
  return std::ranges::any_of(module.vip->interfaces, [&](const spec::VipInterface& interface) {
    return std::ranges::any_of(interface.addresses, [&](const spec::VirtualAddress& one) { return is_same(one.address, address); });
  });
}

ModuleState state_of(const NodeName& node, const std::string& role, const std::string& readiness, const std::string& serving_since) {
  const auto parsed = status::parse_role(role);
  const bool in_service = parsed && status::is_serving(*parsed) && readiness == status::to_string(status::Readiness::Ready);
  return {.in_service = in_service, .instance = in_service ? node.str() + "/" + serving_since : std::string{}};
}

/// In another node's answer to `GET modules/NAME/status`.
Result<ModuleState> state_in(const NodeName& node, const Result<std::string>& reply) {
  if (!reply) return reply.error();
  SK_TRY(const auto response, api::response_from(*reply));
  SK_TRY(const auto tree, api::tree_of(response));
  const doc::Node* nodes = tree.find("nodes");
  if (nodes == nullptr || nodes->children.empty()) return Error{Code::Corrupt, "the answer has no node"};
  const doc::Node& local = nodes->children.front();
  return state_of(node, api::text_at(local, {"role"}), api::text_at(local, {"readiness"}), api::text_at(local, {"servingSince"}));
}

}  // namespace

/// The first node where it is in service answers for all; else the last one that answers, or the time-out.
struct ModuleStates::Question {
  ModuleName module{};
  std::size_t open{0};
  TimerId timer{0};
  std::function<void(Result<ModuleState>)> task{};  ///< empty: answered
};

void ModuleStates::ask(const ModuleName& module, const std::string& address, Duration timeout,
                       std::function<void(Result<ModuleState>)> task) {
  auto nodes = nodes_at(module, address);
  if (!nodes) return ports_.loop.post([task = std::move(task), error = nodes.error()] { task(error); });
  const auto question = std::make_shared<Question>(Question{.module = module, .open = nodes->size(), .task = std::move(task)});
  question->timer = ports_.loop.after(timeout, [this, question] {
    question->open = 1;
    heard(question, Error{Code::Timeout, "no answer in time"});
  });
  for (const NodeName& node : *nodes) ask_node(question, node);
}

Result<std::vector<NodeName>> ModuleStates::nodes_at(const ModuleName& module, const std::string& address) const {
  if (is_this_node(address)) return std::vector{ports_.store.node()};
  if (const auto cluster = ports_.store.cluster()) {
    for (const spec::Lan& lan : cluster->lans) {
      for (const spec::NodeAddress& node : lan.nodes) {
        if (is_same(node.address, address)) return std::vector{node.name};
      }
    }
  }
  const auto spec = ports_.store.module(module);
  if (spec != nullptr && has_virtual_address(*spec, address)) return std::vector<NodeName>{spec->nodes.begin(), spec->nodes.end()};
  return Error{Code::Invalid, fmt::format("'{}' is no address of a node of this cluster, and no virtual address of module '{}'", address,
                                          module.str())};
}

Result<ModuleState> ModuleStates::here(const ModuleName& module) const {
  if (ports_.store.module(module) == nullptr) return Error{Code::NotFound, fmt::format("no module '{}' on this node", module.str())};
  const status::RoleSection& role = ports_.store.status(module).role;
  return state_of(ports_.store.node(), std::string{status::to_string(role.role)}, std::string{status::to_string(role.readiness)},
                  to_string(role.serving_since));
}

void ModuleStates::ask_node(const std::shared_ptr<Question>& question, const NodeName& node) {
  if (node == ports_.store.node()) {
    return ports_.loop.post([this, question] { heard(question, here(question->module)); });
  }
  const api::Request request{.path = fmt::format("{}/modules/{}/status", api::kRoot, question->module.str()), .user = "safekitd"};
  ports_.peers.forward(node, "/api/", api::to_wire(request),
                       [this, question, node](const Result<std::string>& reply) { heard(question, state_in(node, reply)); });
}

void ModuleStates::heard(const std::shared_ptr<Question>& question, const Result<ModuleState>& state) {
  if (!question->task) return;
  if (--question->open > 0 && !(state && state->in_service)) return;
  ports_.loop.cancel(question->timer);
  const auto task = std::exchange(question->task, nullptr);
  task(state);
}

}  // namespace safekit
