#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "e2e/sandbox/state.h"
#include "schema/base/result.h"

namespace safekit::sandbox {

struct UpOptions {
  std::string name{"sandbox"};
  std::filesystem::path directory{};  ///< empty: /var/lib/safekit-sandbox/<name>
  std::optional<std::size_t> node_count{};
  std::vector<std::string> networks{};       ///< empty: default and replication
  std::filesystem::path cluster_file{};      ///< empty: made from the counts above
  std::vector<std::string> private_paths{};  ///< empty: /srv
  std::filesystem::path daemon{};            ///< empty: `safekitd` beside this program
  bool bare{false};
};

struct CutOptions {
  std::string network{};  ///< empty: every network (heal only)
  std::string node{};     ///< empty: every member
  bool silent{false};
};

/// Where a sandbox tells people what it is doing.
using Progress = std::function<void(const std::string&)>;

/// Makes a sandbox, or completes one that is there: what runs stays as it is, what does not run is started.
/// When a new one cannot be made, what was made of it is taken away again. Errors: Conflict when it exists
/// with another shape; Io with what the system refused.
[[nodiscard]] Status up(const UpOptions& options, const Progress& progress);
/// Ends and removes all that was made. A sandbox that does not exist is fine. `purge`: the nodes' files too.
[[nodiscard]] Status down(const std::string& name, bool purge);
/// Power off: cables first, then every process at once.
[[nodiscard]] Status kill_node(const std::string& name, const std::string& node);
/// Power on, with the files that it had.
[[nodiscard]] Status start_node(const std::string& name, const std::string& node);
[[nodiscard]] Status cut(const std::string& name, const CutOptions& options);
[[nodiscard]] Status heal(const std::string& name, const CutOptions& options);
/// Exit code of the program run in the node.
[[nodiscard]] Result<int> execute(const std::string& name, const std::string& node,
                                  const std::vector<std::string>& argv);
[[nodiscard]] Result<std::string> status_text(const std::string& name, bool as_json);

}  // namespace safekit::sandbox
