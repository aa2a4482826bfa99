#include "reconciler/cli/drill.h"

#include <algorithm>

#include <fmt/format.h>

#include "reconciler/api/request.h"
#include "reconciler/cli/output.h"
#include "schema/status/timeline.h"

namespace safekit::cli {
namespace {

using api::text_at;
using doc::Node;

const std::vector<Node>& list_at(const Node& tree, std::string_view name) {
  static const std::vector<Node> kNone{};
  const Node* found = tree.find(name);
  return found == nullptr ? kNone : found->children;
}

const Node* local_row(const Node& status) {
  for (const Node& node : list_at(status, "nodes")) {
    if (text_at(node, {"local"}) == "true") return &node;
  }
  return nullptr;
}

std::string problem_of(const Node& status, std::string_view role) {
  const Node* row = local_row(status);
  if (row == nullptr) return "a node of the module does not say what it does";
  const std::string name = text_at(*row, {"name"});
  if (text_at(*row, {"role"}) != role || text_at(*row, {"readiness"}) != "Ready") return fmt::format("{} is not {} Ready", name, role);
  if (text_at(*row, {"settings", "failover"}) == "false") return fmt::format("failover is off on {} (safekit failover on)", name);
  const Node* replication = row->find("replication");
  if (replication != nullptr && text_at(*replication, {"connected"}) != "true") return fmt::format("the replication of {} is not connected", name);
  if (replication != nullptr && text_at(*row, {"upToDate"}) != "true") return fmt::format("the copy of {} is not up to date", name);
  for (const Node& node : list_at(status, "nodes")) {
    for (const Node& heartbeat : list_at(node, "heartbeats")) {
      if (heartbeat.text == "down") {
        return fmt::format("the network of heartbeat {} is down on {}: with one less, the next failure may be one too many", heartbeat.key, name);
      }
    }
  }
  for (const Node& condition : list_at(status, "conditions")) {
    const std::string type = text_at(condition, {"type"});
    const bool is_true = text_at(condition, {"status"}) == "True";
    if (type == "ConfigConflict" && is_true) return fmt::format("the nodes have different revisions of the module (ConfigConflict on {})", name);
    if (type == "Configured" && !is_true) return fmt::format("the module is not configured on {}: {}", name, text_at(condition, {"message"}));
  }
  return {};
}

std::string move_of(const Node& status, std::string_view field) {
  const Node* row = local_row(status);
  return row == nullptr ? std::string{} : text_at(*row, {"lastMove", field});
}

}  // namespace

Result<DrillPair> drill_pair(const Node& status) {
  DrillPair pair;
  std::string states;
  for (const Node& node : list_at(status, "nodes")) {
    const std::string name = text_at(node, {"name"});
    const bool ready = text_at(node, {"readiness"}) == "Ready";
    if (ready && text_at(node, {"role"}) == "PRIM") pair.prim = name;
    if (ready && text_at(node, {"role"}) == "SECOND") pair.second = name;
    states += " " + node_state(node, false);
  }
  if (!pair.prim.empty() && !pair.second.empty()) return pair;
  return Error{Code::Conflict, fmt::format("no drill: it needs one node PRIM Ready and the other SECOND Ready, and they are:{}", states)};
}

std::string drill_refusal(const Node& prim, const Node& second) {
  const std::string why = problem_of(prim, "PRIM");
  return why.empty() ? problem_of(second, "SECOND") : why;
}

Node drill_report(const DrillPair& pair, const Node& before, const Node& after, const Status& exchanged) {
  Node tree = Node::map();
  tree.add("kind", Node::string("Drill"));
  tree.add("from", Node::string(pair.prim));
  tree.add("to", Node::string(pair.second));
  const bool moved = !move_of(after, "began").empty() && move_of(after, "began") != move_of(before, "began");
  if (moved) tree.add("timeline", *local_row(after)->find("lastMove"));
  tree.add("verdict", Node::string(exchanged && moved ? "fine" : "failed"));
  if (!exchanged) tree.add("problem", Node::string(fmt::format("the pair is not complete again: {}", exchanged.error().what)));
  if (exchanged && !moved) tree.add("problem", Node::string("the roles were exchanged by something else"));
  return tree;
}

std::string drill_text(const std::string& module, const Node& report) {
  std::string text = fmt::format("module/{}: drill of the primary role from {} to {}\n", module, text_at(report, {"from"}), text_at(report, {"to"}));
  if (const Node* timeline = report.find("timeline"); timeline != nullptr) {
    Table table{{"  PHASE", "TIME"}};
    for (std::size_t i = 0; i < status::kPhases; ++i) {
      const std::string_view phase = status::to_string(static_cast<status::Phase>(i));
      table.add({"  " + std::string{phase}, text_at(*timeline, {"phases", phase}) + " ms"});
    }
    table.add({"  total", text_at(*timeline, {"milliseconds"}) + " ms"});
    text += table.text();
  }
  const std::string problem = text_at(report, {"problem"});
  return text + fmt::format("verdict: {}{}{}\n", text_at(report, {"verdict"}), problem.empty() ? "" : ": ", problem);
}

std::string preflight_text(const Node& report) {
  std::string text;
  for (const Node& peer : list_at(report, "peers")) {
    const std::string problem = text_at(peer, {"problem"});
    text += fmt::format("to node {}:{}\n", text_at(peer, {"node"}), problem.empty() ? "" : " " + problem);
    if (!problem.empty()) continue;
    Table table{{"  WHAT", "MEASURED"}};
    for (const Node& lan : list_at(peer, "networks")) {
      const std::string trip = text_at(lan, {"roundTripMs"});
      table.add({"  network " + text_at(lan, {"name"}), (trip.empty() ? "no echo" : trip + " ms round trip at most") +
                                                            (text_at(lan, {"portOpen"}) == "true" ? "" : ", port closed")});
    }
    table.add({"  request", fmt::format("{} ms median, {} ms at most", text_at(peer, {"answerMedianMs"}), text_at(peer, {"answerWorstMs"}))});
    const double rate = std::strtod(text_at(peer, {"bytesPerSecond"}).c_str(), nullptr);
    table.add({"  bandwidth", fmt::format("{:.0f} MB/s over TLS", rate / 1e6)});
    table.add({"  clock", fmt::format("{} ms ahead, +- {} ms", text_at(peer, {"clockOffsetMs"}), text_at(peer, {"clockErrorMs"}))});
    text += table.text();
  }
  for (const Node& node : list_at(report, "nodes")) {
    text += fmt::format("node {}: kernel {}\n", text_at(node, {"node"}), text_at(node, {"kernel"}));
    for (const Node& one : list_at(node, "directories")) {
      const std::string median = text_at(one, {"syncMedianMs"});
      text += fmt::format("  {}: {}\n", text_at(one, {"path"}),
                          median.empty() ? text_at(one, {"problem"})
                                         : fmt::format("durable write {} ms median, {} ms at most", median, text_at(one, {"syncWorstMs"})));
    }
  }
  text += fmt::format("recommended heartbeat time-out: {} or more\n", text_at(report, {"recommendedTimeout"}));
  for (const Node& finding : list_at(report, "findings")) text += fmt::format("{}: {}\n", text_at(finding, {"level"}), text_at(finding, {"text"}));
  return text;
}

}  // namespace safekit::cli
