#include "reconciler/cli/session.h"

#include <fmt/format.h>

#include "schema/doc/json.h"

namespace safekit::cli {

int fail(Session& session, const Error& error) {
  session.output.err(fmt::format("Error: {}\n", error.what));
  return kFailed;
}

int fail(Session& session, const api::Response& response) {
  doc::Problems ignored;
  const std::vector<doc::Node> body = doc::parse_json(response.body, ignored);
  const doc::Node* details = body.empty() ? nullptr : body[0].find("details");
  const doc::Node* problems = details == nullptr ? nullptr : details->find("problems");
  if (problems == nullptr || problems->children.empty()) {
    const Status status = api::status_of(response);
    return status ? kFailed : fail(session, status.error());
  }
  for (const doc::Node& problem : problems->children) {
    session.output.err(doc::to_string(api::problem_from(problem)) + "\n");
  }
  if (problems->children.size() > 1)
    session.output.err(fmt::format("Error: {}\n", api::status_of(response).error().what));
  return kFailed;
}

int usage(Session& session, const std::string& what) {
  session.output.err(fmt::format("Error: {}\nSee: safekit {} --help\n", what, session.args.command));
  return kUsage;
}

api::Request request(api::Method method, const std::string& path, std::map<std::string, std::string> query,
                     const doc::Node* body) {
  api::Request request{
      .method = method, .path = fmt::format("{}/{}", api::kRoot, path), .query = std::move(query)};
  if (body != nullptr) {
    request.content_type = "application/json";
    request.body = doc::print_json(*body, doc::JsonForm::Compact);
  }
  return request;
}

Result<doc::Node> ask(Session& session, const api::Request& request) {
  SK_TRY(const api::Response response, session.client.call(request));
  return api::tree_of(response);
}

Result<std::string> module_of(const Session& session, const std::vector<std::string>& words) {
  const Arguments& args = session.args;
  if (words.size() > (args.module.empty() ? 1U : 0U)) {
    return Error{Code::Invalid, fmt::format("'{}' is one word too many", words.back())};
  }
  if (!args.module.empty()) return args.module;
  if (!words.empty()) return words[0];
  if (const auto found = session.environment.find("SAFEMODULE"); found != session.environment.end())
    return found->second;
  return Error{Code::Invalid,
               "which module? Add -m MODULE, or set SAFEMODULE (safekit get modules lists them)"};
}

std::vector<doc::Node> items_of(const doc::Node& list) {
  const doc::Node* items = list.find("items");
  return items == nullptr ? std::vector<doc::Node>{} : items->children;
}

}  // namespace safekit::cli
