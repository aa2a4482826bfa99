#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/files.h"
#include "schema/check/change_effect.h"
#include "schema/check/convert.h"
#include "schema/check/diff.h"
#include "schema/check/unhonoured.h"
#include "schema/codec/status_tree.h"

/// Commands about desired state.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

constexpr std::size_t kEventsShown = 10;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// `module`, `modules`, `mod` to `modules`. Errors: Invalid.
Result<std::string> collection_of(const std::string& word) {
  const std::string kind = lower(word);
  if (kind == "module" || kind == "modules" || kind == "mod") return std::string{"modules"};
  if (kind == "cluster" || kind == "clusters") return std::string{"clusters"};
  if (kind == "node" || kind == "nodes") return std::string{"nodes"};
  return Error{Code::Invalid,
               fmt::format("'{}' is no kind of object; there are modules, clusters, nodes", word)};
}

struct Target {
  std::string collection{};
  std::string name{};  ///< empty: all
};
/// `modules`, `module web`, `module/web`, `-m web`.
Result<Target> target_of(const Session& session) {
  std::vector<std::string> words = session.args.words;
  if (words.size() == 1) {
    if (const std::size_t slash = words[0].find('/'); slash != std::string::npos) {
      words = {words[0].substr(0, slash), words[0].substr(slash + 1)};
    }
  }
  if (words.empty()) {
    if (session.args.module.empty())
      return Error{Code::Invalid, "say what: modules, clusters, nodes, or module NAME"};
    return Target{"modules", session.args.module};
  }
  if (words.size() > 2) return Error{Code::Invalid, fmt::format("'{}' is one word too many", words[2])};
  SK_TRY(const std::string collection, collection_of(words[0]));
  return Target{collection, words.size() == 2 ? words[1] : session.args.module};
}

void print_problems(Session& session, const std::vector<doc::Problem>& problems) {
  for (const doc::Problem& problem : problems) session.output.err(check::render(problem) + "\n");
}

bool has_errors(const std::vector<doc::Problem>& problems) {
  return std::any_of(problems.begin(), problems.end(),
                     [](const doc::Problem& problem) { return problem.severity == doc::Severity::Error; });
}

std::string change_line(const Node& change) {
  return check::to_string({.path = text_at(change, {"path"}),
                           .before = text_at(change, {"before"}),
                           .after = text_at(change, {"after"})});
}

/// When a change is in force, and the command that brings that about.
struct EffectWords {
  check::Effect effect{check::Effect::Stop};
  std::string_view when{};
  std::string_view command{};
};
constexpr std::array kEffectWords{
    EffectWords{check::Effect::InPlace, "in force at once", ""},
    EffectWords{check::Effect::Restart, "in force when the application is started again", "restart"},
    EffectWords{check::Effect::NextStart, "in force when the module is started again", "stopstart"},
    EffectWords{check::Effect::Stop, "needs the module stopped on all nodes", "stop"},
};
/// Nothing: the node is of a release that says something else.
const EffectWords* words_of(const Node& change) {
  const std::string effect = text_at(change, {"effect"});
  const auto found = std::ranges::find_if(kEffectWords, [&](const EffectWords& words) { return to_string(words.effect) == effect; });
  return found == kEffectWords.end() ? nullptr : &*found;
}

std::string joined(const Node& list) {
  std::vector<std::string> texts;
  for (const Node& item : list.children) texts.push_back(item.text);
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// Reads every -f first, so that a mistake in the second file applies nothing of the first.
Result<std::vector<api::Source>> read_all(Session& session, bool& failed) {
  std::vector<api::Source> sources;
  for (const std::string& path : session.args.files) {
    SK_TRY(ReadSource read, read_source(path, session));
    if (has_errors(read.problems)) {
      print_problems(session, read.problems);
      failed = true;
    }
    sources.push_back(std::move(read.source));
  }
  return sources;
}

Result<api::Response> send(Session& session, const api::Source& source, bool dry_run) {
  api::Request apply = request(Method::Post, "apply");
  if (session.args.force) apply.query["force"] = "true";
  if (dry_run) apply.query["dryRun"] = "All";
  apply.content_type = api::kSourceType;
  apply.body = api::to_body(source);
  return session.client.call(apply);
}

int take(Session& session) {
  const auto target = target_of(session);
  if (!target || target->name.empty())
    return usage(session, "say which object: safekit apply --take NODE module/NAME");
  const auto answer =
      ask(session, request(Method::Post, fmt::format("{}/{}/take", target->collection, target->name),
                           {{"from", session.args.take}}));
  if (!answer) return fail(session, answer.error());
  session.output.out(fmt::format("{}/{} configured (revision of {})\n", lower(text_at(*answer, {"kind"})),
                                 target->name, session.args.take));
  return kFine;
}

bool runs(const Node& result) {
  const Node* runs_on = result.find("runsOn");
  return runs_on != nullptr && !runs_on->children.empty();
}

/// What becomes of each change while the module runs.
void print_plan(Session& session, const Node& result) {
  bool needs_stop = false;
  for (const Node& change : result.find("changes")->children) {
    const EffectWords* words = words_of(change);
    needs_stop = needs_stop || (words != nullptr && words->effect == check::Effect::Stop);
    session.output.out(fmt::format("  {}{}\n", change_line(change), runs(result) && words != nullptr ? fmt::format("  ({})", words->when) : ""));
  }
  if (!runs(result) || !needs_stop) return;
  session.output.out(fmt::format("  refused while it runs on {}: stop it first (safekit stop -m {})\n", joined(*result.find("runsOn")),
                                 text_at(result, {"name"})));
}

/// A module that runs goes on with the old value of some fields.
void print_what_waits(Session& session, const Node& result) {
  if (!runs(result)) return;
  for (const EffectWords& words : kEffectWords) {
    if (words.effect == check::Effect::InPlace) continue;
    std::vector<std::string> paths;
    for (const Node& change : result.find("changes")->children) {
      if (words_of(change) == &words) paths.push_back(text_at(change, {"path"}));
    }
    if (paths.empty()) continue;
    session.output.err(fmt::format("note: {}: {} (safekit {} -m {}); it runs on {}\n", fmt::join(paths, ", "), words.when, words.command,
                                   text_at(result, {"name"}), joined(*result.find("runsOn"))));
  }
}

void print_results(Session& session, const Node& answer, bool with_changes) {
  const bool dry = text_at(answer, {"dryRun"}) == "true";
  for (const Node& result : answer.find("results")->children) {
    session.output.out(fmt::format("{}/{} {}{}\n", lower(text_at(result, {"kind"})),
                                   text_at(result, {"name"}), text_at(result, {"result"}),
                                   dry ? " (dry run)" : ""));
    if (with_changes) print_plan(session, result);
    if (!dry) print_what_waits(session, result);
  }
  for (const Node& warning : answer.find("warnings")->children) {
    session.output.err(check::render(api::problem_from(warning)) + "\n");
  }
}

/// `config` and `postconfig` of the module have run on that node. False: one failed, which has been said.
bool await_configuration(Session& session, const std::string& module, const std::string& node) {
  const auto run = await_script(session, {.module = module, .what = "config", .node = node});
  if (!run || text_at(*run, {"problem"}).empty()) return true;  // who does not answer tells it by its condition
  session.output.out(text_at(*run, {"output"}));
  session.output.err(fmt::format("Error: module '{}' is applied, but its configuration failed on {}: {}\n", module, node,
                                 text_at(*run, {"problem"})));
  return false;
}

/// A command for the other node may come next: the module is to be there. Names the nodes that get it later.
bool wait_for_nodes(Session& session, const Node& answer) {
  bool fine = true;
  for (const Node& result : answer.find("results")->children) {
    if (text_at(result, {"kind"}) != "Module" || text_at(result, {"result"}) == "unchanged") continue;
    const std::string name = text_at(result, {"name"});
    const auto spread = ask(session, request(Method::Get, fmt::format("modules/{}/spread", name), {{"wait", "5s"}}));
    if (!spread || spread->find("nodes") == nullptr) continue;
    for (const Node& node : spread->find("nodes")->children) {
      if (text_at(node, {"has"}) == "true") {
        fine = await_configuration(session, name, text_at(node, {"name"})) && fine;
        continue;
      }
      session.output.err(fmt::format("note: node '{}' is away and gets module '{}' when it is back\n",
                                     text_at(node, {"name"}), name));
    }
  }
  return fine;
}

int watch_objects(Session& session, const Target& target, Form form) {
  const std::string path = target.name.empty() ? target.collection : target.collection + "/" + target.name;
  const Status status = session.client.watch(
      request(Method::Get, path), Duration::max(), [&](std::string_view type, const Node& view) {
        if (type == "ERROR") return true;  // the stream ends by itself, with the reason
        if (form == Form::Json || form == Form::Yaml) {
          session.output.out(form == Form::Yaml ? "---\n" + printed(view, form) : printed(view, form));
        } else if (target.collection == "nodes") {
          session.output.out(nodes_table(view, session.colours()));
        } else if (type == "DELETED") {
          session.output.out(text_at(view, {"metadata", "name"}) + " deleted\n");
        } else {
          const std::string table = target.collection == "modules"
                                        ? modules_table({view}, form == Form::Wide, session.colours())
                                        : clusters_table({view});
          session.output.out(table.substr(table.find('\n') + 1));
        }
        return !session.output.is_broken();
      });
  return status ? kFine : fail(session, status.error());
}

}  // namespace

int apply(Session& session) {
  const Arguments& args = session.args;
  if (!args.take.empty()) return take(session);
  if (args.files.empty()) return usage(session, "say what to apply: -f FILE, -f FOLDER or -f -");
  bool failed = false;
  const auto sources = read_all(session, failed);
  if (!sources) return fail(session, sources.error());
  if (failed) return kFailed;
  for (const api::Source& source : *sources) {
    const auto response = send(session, source, args.dry_run);
    if (!response) return fail(session, response.error());
    const auto answer = api::tree_of(*response);
    if (!answer) return fail(session, *response);
    print_results(session, *answer, args.dry_run);
    if (!args.dry_run) failed = !wait_for_nodes(session, *answer) || failed;
  }
  return failed ? kFailed : kFine;
}

int diff(Session& session) {
  constexpr int kDiffers = 1;
  constexpr int kTrouble = 2;
  if (session.args.files.empty()) return usage(session, "say what to compare: -f FILE");
  bool failed = false;
  const auto sources = read_all(session, failed);
  if (!sources) return fail(session, sources.error()), kTrouble;
  if (failed) return kTrouble;
  bool differs = false;
  for (const api::Source& source : *sources) {
    const auto response = send(session, source, true);
    if (!response) return fail(session, response.error()), kTrouble;
    const auto answer = api::tree_of(*response);
    if (!answer) return fail(session, *response), kTrouble;
    for (const Node& result : answer->find("results")->children) {
      const std::string name =
          fmt::format("{}/{}", lower(text_at(result, {"kind"})), text_at(result, {"name"}));
      const std::string what = text_at(result, {"result"});
      if (what == "unchanged") continue;
      differs = true;
      session.output.out(what == "created" ? name + " is new\n" : name + "\n");
      for (const Node& change : result.find("changes")->children)
        session.output.out("  " + change_line(change) + "\n");
    }
  }
  return differs ? kDiffers : kFine;
}

int get(Session& session) {
  if (!session.args.resource.empty()) return get_resource(session);
  const auto target = target_of(session);
  if (!target) return usage(session, target.error().what);
  const auto form = parse_form(session.args.form);
  if (!form) return usage(session, form.error().what);
  if (session.args.follow) return watch_objects(session, *target, *form);
  const bool is_one = !target->name.empty() && target->collection != "nodes";
  const auto answer = ask(
      session, request(Method::Get, is_one ? target->collection + "/" + target->name : target->collection));
  if (!answer) return fail(session, answer.error());
  if (*form == Form::Yaml || *form == Form::Json) {
    session.output.out(printed(*answer, *form));
    return kFine;
  }
  const std::vector<Node> items = is_one ? std::vector<Node>{*answer} : items_of(*answer);
  if (*form == Form::Name) {
    for (const Node& item : items) {
      const std::string name =
          target->collection == "nodes" ? text_at(item, {"name"}) : text_at(item, {"metadata", "name"});
      session.output.out(name + "\n");
    }
    return kFine;
  }
  if (items.empty() && target->collection == "modules") {
    session.output.err("No modules yet. Make one: safekit apply -f module.yaml\n");
    return kFine;
  }
  if (target->collection == "modules")
    session.output.out(modules_table(items, *form == Form::Wide, session.colours()));
  if (target->collection == "clusters") session.output.out(clusters_table(items));
  if (target->collection == "nodes") session.output.out(nodes_table(*answer, session.colours()));
  return kFine;
}

int describe(Session& session) {
  const auto target = target_of(session);
  if (!target) return usage(session, target.error().what);
  if (target->name.empty() || target->collection == "nodes")
    return usage(session, "say which one: safekit describe module NAME");
  const std::string path = target->collection + "/" + target->name;
  const auto answer = ask(session, request(Method::Get, path));
  if (!answer) return fail(session, answer.error());
  if (target->collection == "clusters") {
    session.output.out(printed(*answer, Form::Yaml));
    return kFine;
  }
  std::vector<status::Event> events;
  if (const auto list =
          ask(session, request(Method::Get, path + "/events", {{"last", std::to_string(kEventsShown)}}));
      list) {
    for (const Node& item : items_of(*list)) {
      if (const auto event = codec::event_from(item)) events.push_back(*event);
    }
  }
  session.output.out(description(*answer, events, session.colours()));
  return kFine;
}

int remove(Session& session) {
  const Arguments& args = session.args;
  std::vector<Target> targets;
  for (const std::string& path : args.files) {
    const auto read = read_source(path, session);
    if (!read) return fail(session, read.error());
    const auto loaded = check::load(read->source.text, read->source.file,
                                    {.format = read->source.format, .module_name = read->source.name});
    for (const spec::Module* module : loaded.modules()) targets.push_back({"modules", module->metadata.name});
    if (const spec::Cluster* cluster = loaded.cluster())
      targets.push_back({"clusters", cluster->metadata.name});
  }
  if (targets.empty()) {
    const auto target = target_of(session);
    if (!target) return usage(session, target.error().what);
    if (target->name.empty() || target->collection == "nodes")
      return usage(session, "say which one: safekit delete module NAME");
    targets.push_back(*target);
  }
  for (const Target& target : targets) {
    api::Request gone = request(Method::Delete, target.collection + "/" + target.name);
    if (args.force) gone.query["force"] = "true";
    if (args.dry_run) gone.query["dryRun"] = "All";
    const auto answer = ask(session, gone);
    if (!answer) return fail(session, answer.error());
    session.output.out(fmt::format("{}/{} deleted{}\n", lower(text_at(*answer, {"kind"})), target.name,
                                   args.dry_run ? " (dry run)" : ""));
  }
  return kFine;
}

int validate(Session& session) {
  if (session.args.files.empty()) return usage(session, "say what to check: -f FILE");
  bool failed = false;
  for (const std::string& path : session.args.files) {
    const auto read = read_source(path, session);
    if (!read) {
      failed = true;
      (void)fail(session, read.error());  // its code is ours
      continue;
    }
    print_problems(session, read->problems);
    const auto loaded = check::load(read->source.text, read->source.file,
                                    {.format = read->source.format,
                                     .environment = read->source.environment,
                                     .module_name = read->source.name});
    for (const codec::Decoded& decoded : loaded.objects) {
      const auto* module = std::get_if<spec::Module>(&decoded.object);
      if (module == nullptr) continue;
      for (const check::Unhonoured& setting : check::unhonoured(*module)) {
        print_problems(session, {doc::Problem{.severity = doc::Severity::Warning,
                                              .file = read->source.file,
                                              .at = decoded.positions.find(setting.path),
                                              .rule = "not-honoured",
                                              .message = fmt::format("'{}' has no effect in this version: {}",
                                                                     setting.path, setting.reason)}});
      }
    }
    const bool bad = has_errors(read->problems);
    failed = failed || bad;
    if (!bad) session.output.out(read->source.file + ": good\n");
  }
  return failed ? kFailed : kFine;
}

int convert(Session& session) {
  const Arguments& args = session.args;
  if (args.files.size() != 1) return usage(session, "say what to convert: -f FILE --to yaml|json|xml");
  check::Format to = check::Format::Yaml;
  if (args.to == "json") {
    to = check::Format::Json;
  } else if (args.to == "xml") {
    to = check::Format::Xml;
  } else if (!args.to.empty() && args.to != "yaml") {
    return usage(session, fmt::format("--to '{}' is not known; there are yaml, json, xml", args.to));
  }
  const auto read = read_source(args.files[0], session);
  if (!read) return fail(session, read.error());
  const check::Converted converted = check::convert(read->source.text, read->source.file, to,
                                                    {.format = read->source.format,
                                                     .environment = read->source.environment,
                                                     .module_name = read->source.name});
  print_problems(session, converted.problems);
  if (converted.text.empty()) return kFailed;
  session.output.out(converted.text);
  return kFine;
}

}  // namespace safekit::cli
