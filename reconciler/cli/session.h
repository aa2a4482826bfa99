#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "reconciler/api/client.h"
#include "reconciler/cli/output.h"

namespace safekit::cli {

/// Everything a command line may say, whatever the command. A value.
struct Arguments {
  std::string command{};
  std::string hosts{};  ///< -H
  std::string server{};
  std::string token_file{};
  std::string authority_file{};
  std::string socket{};
  std::string module{};              ///< -m
  std::vector<std::string> words{};  ///< what stands without an option
  std::vector<std::string> files{};  ///< -f
  std::string form{};                ///< -o
  std::string to{};
  std::string node{};
  std::string take{};
  std::string identity{};  ///< -i
  std::string user{};      ///< -u
  std::string resource{};  ///< -r
  std::string value{};     ///< -v of set
  std::string wanted{};    ///< --for
  std::string into{};
  std::string date{};     ///< -d of secondforce
  std::string argument_regex{};  ///< of kill
  std::string level{};
  std::string timeout{};
  std::string name{};
  std::size_t last{300};  ///< -s
  bool verbose{false};
  bool quiet{false};
  bool force_log{false};
  bool no_log{false};
  bool all_levels{false};  ///< -A
  bool follow{false};      ///< -w
  bool dry_run{false};
  bool force{false};
  bool no_wait{false};
  bool blind{false};  ///< -d of rfssync
};

inline constexpr int kFine = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

/// What a command works with. Looks at it.
struct Session {
  api::Client& client;
  Output& output;
  const Arguments& args;
  const std::map<std::string, std::string>& environment;
  [[nodiscard]] bool colours() const { return output.is_terminal() && !environment.contains("NO_COLOR"); }
};

/// `Error: what`; gives kFailed, or kUsage for a command line that says nothing sensible.
int fail(Session& session, const Error& error);
/// With every problem that the response lists, each with its place.
int fail(Session& session, const api::Response& response);
int usage(Session& session, const std::string& what);

/// A request below the API's root.
[[nodiscard]] api::Request request(api::Method method, const std::string& path,
                                   std::map<std::string, std::string> query = {},
                                   const doc::Node* body = nullptr);
/// Asks and reads the answer. Errors: those of the call and of the response.
Result<doc::Node> ask(Session& session, const api::Request& request);
/// `-m`, else the one of `words` (what the command itself did not use), else $SAFEMODULE. Errors: Invalid.
[[nodiscard]] Result<std::string> module_of(const Session& session, const std::vector<std::string>& words);
/// Of a list view.
[[nodiscard]] std::vector<doc::Node> items_of(const doc::Node& list);

}  // namespace safekit::cli
