#include <fmt/format.h>

#include "reconciler/cli/commands.h"
#include "reconciler/cli/helpers.h"
#include "schema/doc/json.h"

/// Scripts of a module that a person asks for: controllers/script_routes.h.
namespace safekit::cli {
namespace {

using api::Method;
using api::text_at;
using doc::Node;

/// An answer of another node is waited for no longer than its link allows (reconciler/peer).
constexpr const char* kRound = "5s";

api::Request at(const Script& script, Method method) {
  api::Request asked = request(method, fmt::format("modules/{}/scripts/{}", script.module, script.what));
  if (!script.node.empty()) asked.query["node"] = script.node;
  return asked;
}

}  // namespace

Result<Node> await_script(Session& session, const Script& script) {
  for (;;) {
    api::Request asked = at(script, Method::Get);
    asked.query["wait"] = kRound;
    auto now = ask(session, asked);
    if (!now && now.error().code == Code::Timeout) continue;
    if (!now || text_at(*now, {"state"}) != "running") return now;
  }
}

Result<Node> run_script(Session& session, const Script& script) {
  SK_TRY_VOID(ask(session, at(script, Method::Post)));
  return await_script(session, script);
}

namespace {

/// Shows its output; an exit code other than 0 is a failure of the command.
int show(Session& session, const Node& run) {
  session.output.out(text_at(run, {"output"}));
  const std::string problem = text_at(run, {"problem"});
  if (!problem.empty()) return fail(session, Error{Code::Conflict, problem});
  const std::string code = text_at(run, {"exitCode"});
  if (code.empty() || code == "0") return kFine;
  return fail(session, Error{Code::Conflict, fmt::format("{} ended with exit code {}", text_at(run, {"script"}), code)});
}

}  // namespace

int module_script(Session& session) {
  const auto module = module_of(session, session.args.words);
  if (!module) return usage(session, module.error().what);
  const Script script{.module = *module, .what = session.args.command};
  const auto run = run_script(session, script);
  if (!run) return fail(session, run.error());
  const int code = show(session, *run);
  if (code != kFine) return code;
  const bool none = script.what != "config" && text_at(*run, {"script"}).empty();
  session.output.out(none ? fmt::format("module/{} has no script {}\n", *module, script.what) : fmt::format("module/{} {}: done\n", *module, script.what));
  return kFine;
}

int level(Session& session) {
  session.output.out(fmt::format("Host: {}\nOS: {}\nSafeKit: {}\nLicense: not needed\n", host_name(), system_name(), api::kVersion));
  const auto module = module_of(session, session.args.words);
  if (!module) return session.args.words.empty() ? kFine : usage(session, module.error().what);
  const Script script{.module = *module, .what = "level"};
  const auto run = run_script(session, script);
  return run ? show(session, *run) : fail(session, run.error());
}

int wrapper(Session& session) {
  const auto& words = session.args.words;
  const bool is_known = words.size() == 2 && (words[0] == "start" || words[0] == "stop");
  if (!is_known) return usage(session, "say what: safekit -r wrapper start|stop MODULE");
  const Script script{.module = words[1], .what = words[0]};
  const auto run = run_script(session, script);
  if (!run) return fail(session, run.error());
  const int code = show(session, *run);
  if (code != kFine) return code;
  session.output.out(words[0] == "start"
                         ? fmt::format("The application of module {0} runs by hand. When it has changed data, start the module on this node "
                                       "next: safekit prim -m {0}\n", words[1])
                         : fmt::format("The application of module {} is stopped, and its addresses are unset\n", words[1]));
  return kFine;
}

}  // namespace safekit::cli
