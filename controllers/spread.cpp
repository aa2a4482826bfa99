#include "controllers/spread.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace safekit {
namespace {

constexpr Duration kAskAgain = milliseconds{20};
constexpr Duration kWaitMax = seconds{30};
/// A node that does not answer may just not have been met since this daemon started; longer than this it is away.
constexpr Duration kMeetMax = seconds{2};

Duration wait_of(const api::Request& request) {
  const auto text = request.query.find("wait");
  if (text == request.query.end()) return {};
  const auto wait = parse_duration(text->second);
  return wait ? std::min(*wait, kWaitMax) : Duration{};
}

/// The generation in the other node's answer; 0 when it has no such module.
std::uint64_t generation_in(const Result<std::string>& reply) {
  if (!reply) return 0;
  const auto response = api::response_from(*reply);
  if (!response) return 0;
  const auto tree = api::tree_of(*response);
  if (!tree) return 0;
  const std::string text = api::text_at(*tree, {"metadata", "generation"});
  return text.empty() ? 0 : std::strtoull(text.c_str(), nullptr, 10);
}

}  // namespace

struct Spread::Question {
  std::string module{};
  std::uint64_t generation{0};
  MonoTime until{};
  MonoTime meet_until{};
  std::map<NodeName, bool> has{};
  std::size_t open{0};  ///< nodes that are still being asked
  api::Respond respond{};
};

void Spread::answer(const api::Request& request, const std::string& module, const api::Respond& respond) {
  const auto object = ports_.store.get({store::Kind::Module, module});
  const auto spec = ports_.store.module(ModuleName{module});
  if (!object || !spec) return respond(api::failure(Error{Code::NotFound, fmt::format("no module '{}'", module)}));
  auto question = std::make_shared<Question>(Question{.module = module,
                                                      .generation = object->generation,
                                                      .until = ports_.clock.mono_now() + wait_of(request),
                                                      .respond = respond});
  question->meet_until = std::min(question->until, ports_.clock.mono_now() + kMeetMax);
  for (const NodeName& node : spec->nodes) question->has[node] = node == ports_.store.node();
  question->open = question->has.size() - (question->has.contains(ports_.store.node()) ? 1 : 0);
  if (question->open == 0) return finish(question);
  for (const NodeName& node : spec->nodes) {
    if (node != ports_.store.node()) ask(question, node);
  }
}

void Spread::ask(const std::shared_ptr<Question>& question, const NodeName& node) {
  const api::Request request{.path = fmt::format("{}/modules/{}", api::kRoot, question->module), .user = "safekitd"};
  ports_.peers.forward(node, "/api/", api::to_wire(request),
                       [this, question, node](const Result<std::string>& reply) { heard(question, node, reply); });
}

void Spread::heard(const std::shared_ptr<Question>& question, const NodeName& node, const Result<std::string>& reply) {
  question->has[node] = generation_in(reply) >= question->generation;
  const MonoTime until = reply ? question->until : question->meet_until;
  if (!question->has[node] && ports_.clock.mono_now() < until) {
    ports_.loop.after(kAskAgain, [this, question, node] { ask(question, node); });
    return;
  }
  if (--question->open == 0) finish(question);
}

void Spread::finish(const std::shared_ptr<Question>& question) {
  doc::Node nodes = doc::Node::list();
  for (const auto& [node, has] : question->has) {
    doc::Node item = doc::Node::map();
    item.add("name", doc::Node::string(node.str()));
    item.add("has", doc::Node::boolean(has));
    nodes.push(std::move(item));
  }
  doc::Node tree = doc::Node::map();
  tree.add("nodes", std::move(nodes));
  question->respond(api::json(200, tree));
}

}  // namespace safekit
