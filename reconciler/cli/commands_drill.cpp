#include <algorithm>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/drill.h"
#include "schema/doc/json.h"

/// A rehearsed swap, and what is to be measured before anything is promised.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr Duration kDrillMax = minutes{5};

Result<Node> status_of(Session& session, const std::string& module, const std::string& node) {
  return ask(session, request(Method::Get, fmt::format("modules/{}/status", module), {{"node", node}}));
}

const Node* row_of(const Node& view, const std::string& name) {
  const Node* status = view.find("status");
  const Node* nodes = status == nullptr ? nullptr : status->find("nodes");
  if (nodes == nullptr) return nullptr;
  const auto found = std::ranges::find_if(nodes->children, [&](const Node& node) { return text_at(node, {"name"}) == name; });
  return found == nodes->children.end() ? nullptr : &*found;
}

/// Until the roles are exchanged and both are Ready, as this node sees them.
Status await_exchange(Session& session, const std::string& module, const DrillPair& pair, Duration limit) {
  const auto watched = session.client.watch(request(Method::Get, "modules/" + module), limit, [&](std::string_view, const Node& view) {
    const Node* prim = row_of(view, pair.second);
    const Node* second = row_of(view, pair.prim);
    return prim == nullptr || second == nullptr || node_state(*prim, false) != pair.second + "=PRIM(Ready)" ||
           node_state(*second, false) != pair.prim + "=SECOND(Ready)";
  });
  return watched;
}

Result<Node> rehearse(Session& session, const std::string& module) {
  SK_TRY(const Node here, ask(session, request(Method::Get, fmt::format("modules/{}/status", module))));
  SK_TRY(const DrillPair pair, drill_pair(here));
  SK_TRY(const Node prim, status_of(session, module, pair.prim));
  SK_TRY(const Node second, status_of(session, module, pair.second));
  if (const std::string why = drill_refusal(prim, second); !why.empty()) return Error{Code::Conflict, "no drill: " + why};
  auto limit = Result<Duration>{kDrillMax};
  if (!session.args.timeout.empty()) limit = parse_duration(session.args.timeout);
  if (!limit) return std::move(limit).error();
  SK_TRY_VOID(operate(session, module, "swap", ""));
  const Status exchanged = await_exchange(session, module, pair, *limit);
  SK_TRY(const Node after, status_of(session, module, pair.second));
  return drill_report(pair, second, after, exchanged);
}

}  // namespace

int drill(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  const auto report = rehearse(session, *module);
  if (!report) return fail(session, report.error());
  const bool as_data = *form == Form::Json || *form == Form::Yaml;
  session.output.out(as_data ? printed(*report, *form) : drill_text(*module, *report));
  return text_at(*report, {"verdict"}) == "fine" ? kFine : kFailed;
}

int preflight(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module && !session.args.words.empty()) return usage(session, module.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  std::map<std::string, std::string> query;
  if (module) query["module"] = *module;
  const auto report = ask(session, request(Method::Post, "preflight", query));
  if (!report) return fail(session, report.error());
  const bool as_data = *form == Form::Json || *form == Form::Yaml;
  session.output.out(as_data ? printed(*report, *form) : preflight_text(*report));
  const Node* findings = report->find("findings");
  const bool has_errors = findings != nullptr && std::ranges::any_of(findings->children, [](const Node& one) { return text_at(one, {"level"}) == "error"; });
  return has_errors ? kFailed : kFine;
}

}  // namespace safekit::cli
