#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/files.h"

/// What would happen on the cluster as it is now.
namespace safekit::cli {
namespace {

using api::text_at;
using doc::Node;

std::string states_text(const Node& answer, std::string_view when) {
  std::string out;
  for (const Node& one : answer.find(when)->children) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", text_at(one, {"node"}), text_at(one, {"state"}));
  }
  return out;
}

std::string simulation_text(const Node& answer) {
  std::string out = fmt::format("now: {}\n", states_text(answer, "begin"));
  for (const Node& step : answer.find("steps")->children) {
    out += fmt::format("{:>8} ms  {}  {}\n", text_at(step, {"milliseconds"}), text_at(step, {"node"}), text_at(step, {"text"}));
  }
  out += fmt::format("then: {}\n", states_text(answer, "end"));
  const std::string outage = text_at(answer, {"outageMilliseconds"});
  const bool serves = text_at(answer, {"serves"}) == "true";
  if (!serves) out += "the module is not served at the end\n";
  else if (outage == "0") out += "the service goes on\n";
  else if (!outage.empty()) out += fmt::format("without service for {} ms, where each script takes a second\n", outage);
  for (const Node& note : answer.find("notes")->children) out += fmt::format("note: {}\n", note.text);
  return out;
}

}  // namespace

int simulate(Session& session) {
  const Arguments& args = session.args;
  if (args.words.empty() || args.words.size() > 2) {
    return usage(session, "say what happens: node NODE, network NAME|all, process NAME, checker RESOURCE, witness, command VERB, apply -f FILE");
  }
  const auto module = module_of(session, {});
  if (!module) return fail(session, module.error());
  const auto form = parse_form(args.form);
  if (!form) return fail(session, form.error());
  std::map<std::string, std::string> query{{"what", args.words[0]}};
  if (args.words.size() == 2) query["name"] = args.words[1];
  if (!args.node.empty()) query["on"] = args.node;
  api::Request question = request(api::Method::Post, fmt::format("modules/{}/simulate", *module), query);
  if (args.words[0] == "apply") {
    if (args.files.size() != 1) return usage(session, "say what would be applied: -f FILE");
    const auto read = read_source(args.files[0], session);
    if (!read) return fail(session, read.error());
    question.content_type = api::kSourceType;
    question.body = api::to_body(read->source);
  }
  const auto answer = ask(session, question);
  if (!answer) return fail(session, answer.error());
  session.output.out(*form == Form::Json || *form == Form::Yaml ? printed(*answer, *form) : simulation_text(*answer));
  return kFine;
}

}  // namespace safekit::cli
