#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/doc/node.h"
#include "schema/doc/problem.h"

/// The API's questions and answers as plain data: no socket, no library.
namespace safekit::api {

inline constexpr std::string_view kVersion = "0.1.0";
inline constexpr std::string_view kRoot = "/apis/safekit/v1";
inline constexpr std::size_t kBodyBytesMax = 16U << 20;
inline constexpr std::uint16_t kHttpsPort = 9453;
inline constexpr std::uint16_t kProbePort = 9010;
inline constexpr std::string_view kSocketFile = "/run/safekit/safekitd.sock";
/// An apply with what belongs to the file: `{"file", "text", "format", "name", "scripts": {"start_prim":
/// "..."}}`.
inline constexpr std::string_view kSourceType = "application/vnd.safekit.source+json";

enum class Method { Get, Post, Put, Patch, Delete };
[[nodiscard]] std::string_view to_string(Method method);

/// Where a request came in. Probe: plain HTTP, for load balancers, without log-in. Plain: Https without the TLS, of a witness only.
enum class Door { Local, Https, Probe, Peer, Plain };

/// A value. `user` is who asks, as logs show it: `root`, `admin@10.0.0.7`, or as `passed_on` says; empty: nobody has logged
/// in.
struct Request {
  Method method{Method::Get};
  std::string path{};  ///< decoded, without the query
  std::map<std::string, std::string> query{};
  std::string content_type{};
  std::string body{};
  std::string user{};
  Door door{Door::Local};
  friend bool operator==(const Request&, const Request&) = default;
};

struct Response {
  int status{200};
  std::string content_type{"application/json"};
  std::string body{};
  friend bool operator==(const Response&, const Response&) = default;
};
/// Called exactly once.
using Respond = std::function<void(Response)>;

[[nodiscard]] Response json(int status, const doc::Node& tree);
[[nodiscard]] Response text(int status, std::string body);
/// Kubernetes' `Status` object: `reason` is the code's name, `details.problems` has each problem with its
/// position.
[[nodiscard]] Response failure(const Error& error, const std::vector<doc::Problem>& problems = {});
[[nodiscard]] doc::Node to_tree(const doc::Problem& problem);
[[nodiscard]] doc::Problem problem_from(const doc::Node& tree);

/// The error that a failed response speaks of; fine for 2xx.
[[nodiscard]] Status status_of(const Response& response);
/// The body of a good response as a tree. Errors: those of the response; Corrupt for a body that is no JSON.
[[nodiscard]] Result<doc::Node> tree_of(const Response& response);

/// The body of a request as a tree. Errors: Invalid for what is not one JSON object.
[[nodiscard]] Result<doc::Node> object_in(const Request& request);

/// Text of a scalar below `tree`, empty when it is not there.
[[nodiscard]] std::string text_at(const doc::Node& tree, std::initializer_list<std::string_view> path);

/// Who asks, when `node` passes it on: `admin@10.0.0.77vianode1` (spec/operations.md 1.1); a local user has no address yet.
[[nodiscard]] std::string passed_on(const std::string& user, const NodeName& node);
/// Between nodes, as peer/links carries it. Errors: Corrupt.
[[nodiscard]] std::string to_wire(const Request& request);
[[nodiscard]] std::string to_wire(const Response& response);
[[nodiscard]] Result<Request> request_from(std::string_view wire);
[[nodiscard]] Result<Response> response_from(std::string_view wire);

/// `path?a=b` for a client, percent-encoded.
[[nodiscard]] std::string target_of(const Request& request);

}  // namespace safekit::api
