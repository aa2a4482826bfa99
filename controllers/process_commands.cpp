#include "controllers/process_commands.h"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "reconciler/api/view.h"
#include "schema/doc/json.h"

namespace safekit {
namespace {

using doc::Node;

Node view_of(const ProcessInfo& process) {
  Node item = Node::map();
  item.add("pid", Node::number(std::to_string(process.identity.pid)));
  item.add("parent", Node::number(std::to_string(process.parent)));
  item.add("command", Node::string(process.command));
  item.add("arguments", Node::string(process.arguments));
  return item;
}

Result<int> signal_of(const std::string& level) {
  if (level == "test") return 0;
  if (level == "terminate" || level == "15") return SIGTERM;
  if (level == "9") return SIGKILL;
  return Error{Code::Invalid, fmt::format("level '{}' is none of test, terminate, 9, 15", level)};
}

/// Its own programs are no application's.
bool is_ours(const ProcessInfo& process) { return process.identity.pid == 1 || process.command.starts_with("safekit"); }

}  // namespace

void ProcessCommands::add_routes(api::Routes& routes) {
  using api::Method;
  using Parameters = api::Routes::Parameters;
  routes.add(Method::Get, "modules/*/processes",
             [this](const api::Request&, const Parameters& at, const api::Respond& respond) { respond(list(at.front())); });
  routes.add(Method::Post, "modules/*/errd-classes", [this](const api::Request& request, const Parameters& at, const api::Respond& respond) {
    respond(set_class(request, at.front()));
  });
  routes.add(Method::Post, "processes",
             [this](const api::Request& request, const Parameters&, const api::Respond& respond) { respond(signal(request)); });
}

api::Response ProcessCommands::list(const std::string& module) const {
  const auto spec = ports_.store.module(ModuleName{module});
  if (spec == nullptr) return api::failure(Error{Code::NotFound, fmt::format("no module '{}' (safekit get modules lists them)", module)});
  const auto all = ports_.processes.list();
  if (!all) return api::failure(all.error());
  const status::Module& status = ports_.store.status(ModuleName{module});
  const auto classes = ports_.errd.classes(module);
  Node tree = Node::map();
  tree.add("kind", Node::string("ProcessList"));
  Node& items = tree.add("items", Node::list());
  for (const errd::Target& target : errd::targets_of(*spec).list) {
    Node item = Node::map();
    item.add("name", Node::string(target.name));
    item.add("service", Node::boolean(!target.unit.empty()));
    item.add("class", Node::string(target.watch_class));
    if (!errd::is_role_class(target.watch_class)) item.add("enabled", Node::boolean(classes.contains(target.watch_class)));
    item.add("action", Node::string(target.handler.empty() ? target.action : target.handler));
    const auto value = status.resources.find("proc." + target.name);
    item.add("value", Node::string(value == status.resources.end() ? "init" : value->second.value));
    Node& found = item.add("processes", Node::list());
    for (const ProcessInfo& process : *all) {
      if (errd::matches(target, process)) found.push(view_of(process));
    }
    items.push(std::move(item));
  }
  return api::json(200, tree);
}

api::Response ProcessCommands::set_class(const api::Request& request, const std::string& module) {
  const auto body = api::object_in(request);
  if (!body) return api::failure(body.error());
  const std::string name = api::text_at(*body, {"class"});
  const bool enabled = api::text_at(*body, {"enabled"}) == "true";
  const Status status = ports_.errd.set_class(ModuleName{module}, name, enabled);
  if (!status) return api::failure(status.error());
  ports_.store.record(ModuleName{module}, "safekit", 'I',
                      fmt::format("Action errd {} {} called by {}", enabled ? "enable" : "disable", name, request.user));
  return api::json(200, *body);
}

api::Response ProcessCommands::signal(const api::Request& request) {
  const auto body = api::object_in(request);
  if (!body) return api::failure(body.error());
  const std::string name = api::text_at(*body, {"name"});
  if (name.empty()) return api::failure(Error{Code::Invalid, "say which processes: -name=COMMAND"});
  const auto number = signal_of(api::text_at(*body, {"level"}));
  if (!number) return api::failure(number.error());
  spec::Module asked;  // matched as a `<proc>` would be
  asked.errd = spec::Errd{.processes = {{.name = name, .arg_regex = api::text_at(*body, {"argRegex"})}}};
  const errd::Targets targets = errd::targets_of(asked);
  if (!targets.problem.empty()) return api::failure(Error{Code::Invalid, targets.problem});
  const auto all = ports_.processes.list();
  if (!all) return api::failure(all.error());
  Node tree = Node::map();
  tree.add("kind", Node::string("ProcessList"));
  Node& items = tree.add("items", Node::list());
  for (const ProcessInfo& process : *all) {
    if (is_ours(process) || !errd::matches(targets.list.front(), process)) continue;
    if (*number != 0) {
      if (const Status sent = ports_.processes.signal(process.identity, *number); !sent) return api::failure(sent.error());
    }
    items.push(view_of(process));
  }
  return api::json(200, tree);
}

}  // namespace safekit
