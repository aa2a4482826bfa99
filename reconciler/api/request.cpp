#include "reconciler/api/request.h"

#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "schema/base/bytes.h"
#include "schema/doc/json.h"

namespace safekit::api {
namespace {

using doc::Node;

constexpr std::array kCodes{Code::Invalid,     Code::NotFound,  Code::Conflict,   Code::Denied,
                            Code::Unavailable, Code::Timeout,   Code::Corrupt,    Code::Io,
                            Code::Fenced,      Code::Exhausted, Code::Unsupported};

int http_status(Code code) {
  switch (code) {
    case Code::Invalid: return 422;
    case Code::NotFound: return 404;
    case Code::Conflict: return 409;
    case Code::Denied: return 403;
    case Code::Unavailable: return 503;
    case Code::Timeout: return 504;
    case Code::Corrupt: return 500;
    case Code::Io: return 500;
    case Code::Fenced: return 409;
    case Code::Exhausted: return 507;
    case Code::Unsupported: return 501;
  }
  return 500;
}

/// For a body that says nothing of its own.
Code code_of(int status) {
  switch (status) {
    case 400:
    case 413:
    case 414:
    case 422: return Code::Invalid;
    case 401:
    case 403: return Code::Denied;
    case 404:
    case 405: return Code::NotFound;
    case 409: return Code::Conflict;
    case 501: return Code::Unsupported;
    case 503: return Code::Unavailable;
    case 504: return Code::Timeout;
    case 507: return Code::Exhausted;
    default: return Code::Io;
  }
}

std::uint32_t number_at(const Node& tree, std::string_view name) {
  const Node* found = tree.find(name);
  std::uint32_t value = 0;
  if (found != nullptr) std::from_chars(found->text.data(), found->text.data() + found->text.size(), value);
  return value;
}

void encode(std::string& out, std::string_view text, std::string_view keep) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view{"-._~"}.find(c) != std::string_view::npos ||
                       keep.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
}

}  // namespace

std::string_view to_string(Method method) {
  switch (method) {
    case Method::Get: return "GET";
    case Method::Post: return "POST";
    case Method::Put: return "PUT";
    case Method::Patch: return "PATCH";
    case Method::Delete: return "DELETE";
  }
  return "GET";
}

Response json(int status, const Node& tree) {
  return Response{.status = status, .body = doc::print_json(tree, doc::JsonForm::Compact)};
}

Response text(int status, std::string body) {
  return Response{.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

Node to_tree(const doc::Problem& problem) {
  Node tree = Node::map();
  tree.add("severity", Node::string(problem.severity == doc::Severity::Error ? "error" : "warning"));
  if (!problem.file.empty()) tree.add("file", Node::string(problem.file));
  if (problem.at.line != 0) {
    tree.add("line", Node::number(std::to_string(problem.at.line)));
    tree.add("column", Node::number(std::to_string(problem.at.column)));
  }
  tree.add("rule", Node::string(problem.rule));
  tree.add("message", Node::string(problem.message));
  if (!problem.fix.empty()) tree.add("fix", Node::string(problem.fix));
  return tree;
}

doc::Problem problem_from(const Node& tree) {
  return doc::Problem{
      .severity = text_at(tree, {"severity"}) == "warning" ? doc::Severity::Warning : doc::Severity::Error,
      .file = text_at(tree, {"file"}),
      .at = {.line = number_at(tree, "line"), .column = number_at(tree, "column")},
      .rule = text_at(tree, {"rule"}),
      .message = text_at(tree, {"message"}),
      .fix = text_at(tree, {"fix"}),
  };
}

Response failure(const Error& error, const std::vector<doc::Problem>& problems) {
  const int status = http_status(error.code);
  Node tree = Node::map();
  tree.add("kind", Node::string("Status"));
  tree.add("status", Node::string("Failure"));
  tree.add("code", Node::number(std::to_string(status)));
  tree.add("reason", Node::string(std::string{to_string(error.code)}));
  tree.add("message", Node::string(error.what));
  if (!problems.empty()) {
    Node list = Node::list();
    for (const doc::Problem& problem : problems) list.push(to_tree(problem));
    tree.add("details", Node::map()).add("problems", std::move(list));
  }
  return json(status, tree);
}

Status status_of(const Response& response) {
  if (response.status >= 200 && response.status < 300) return {};
  Error error{code_of(response.status), response.body};
  doc::Problems ignored;
  const std::vector<Node> nodes = doc::parse_json(response.body, ignored);
  if (nodes.size() == 1 && text_at(nodes[0], {"kind"}) == "Status") {
    const std::string reason = text_at(nodes[0], {"reason"});
    for (const Code code : kCodes) {
      if (to_string(code) == reason) error.code = code;
    }
    error.what = text_at(nodes[0], {"message"});
  }
  if (error.what.empty())
    error.what = fmt::format("the server answered with HTTP status {}", response.status);
  return error;
}

Result<Node> tree_of(const Response& response) {
  SK_TRY_VOID(status_of(response));
  doc::Problems problems{"answer of the server"};
  std::vector<Node> nodes = doc::parse_json(response.body, problems);
  if (nodes.size() != 1) return Error{Code::Corrupt, "the answer of the server is no JSON"};
  return std::move(nodes[0]);
}

Result<doc::Node> object_in(const Request& request) {
  doc::Problems problems{"request"};
  std::vector<doc::Node> nodes = doc::parse_json(request.body, problems);
  if (nodes.size() == 1 && nodes[0].kind == doc::Kind::Map) return std::move(nodes[0]);
  return Error{Code::Invalid, "the body of the request must be one JSON object"};
}

std::string text_at(const Node& tree, std::initializer_list<std::string_view> path) {
  const Node* node = &tree;
  for (const std::string_view name : path) {
    node = node->find(name);
    if (node == nullptr) return {};
  }
  return node->is_scalar() ? node->text : std::string{};
}

std::string to_wire(const Request& request) {
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(request.method));
  out.text(request.path);
  out.u32(static_cast<std::uint32_t>(request.query.size()));
  for (const auto& [name, value] : request.query) {
    out.text(name);
    out.text(value);
  }
  out.text(request.content_type);
  out.text(request.user);
  out.text(request.body);
  return std::string{as_text(out.bytes())};
}

std::string to_wire(const Response& response) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(response.status));
  out.text(response.content_type);
  out.text(response.body);
  return std::string{as_text(out.bytes())};
}

std::string passed_on(const std::string& user, const NodeName& node) {
  return user + (user.find('@') == std::string::npos ? "@" : "via") + node.str();
}

Result<Request> request_from(std::string_view wire) {
  constexpr std::uint32_t kQueryMax = 64;
  ByteReader in{as_bytes(wire)};
  Request request{.door = Door::Peer};
  const std::uint8_t method = in.u8();
  request.path = in.text();
  const std::uint32_t count = in.u32();
  if (method > static_cast<std::uint8_t>(Method::Delete) || count > kQueryMax) {
    return Error{Code::Corrupt, "a request from another node cannot be read"};
  }
  request.method = static_cast<Method>(method);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    std::string name = in.text();
    request.query[std::move(name)] = in.text();
  }
  request.content_type = in.text();
  request.user = in.text();
  request.body = in.text(kBodyBytesMax);
  if (!in.ok() || !in.at_end()) return Error{Code::Corrupt, "a request from another node cannot be read"};
  return request;
}

Result<Response> response_from(std::string_view wire) {
  ByteReader in{as_bytes(wire)};
  Response response;
  response.status = static_cast<int>(in.u32());
  response.content_type = in.text();
  response.body = in.text(kBodyBytesMax);
  if (!in.ok() || !in.at_end()) return Error{Code::Corrupt, "an answer from another node cannot be read"};
  return response;
}

std::string target_of(const Request& request) {
  std::string target;
  encode(target, request.path, "/");
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    target += separator;
    encode(target, name, "");
    target += '=';
    encode(target, value, "");
    separator = '&';
  }
  return target;
}

}  // namespace safekit::api
