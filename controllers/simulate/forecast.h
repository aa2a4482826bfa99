#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/interfaces.h"
#include "schema/spec/cluster.h"
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// What would happen to a mirror module on the cluster as it is now: the real store, engine and controllers of both nodes, brought to
/// the present state in a calm simulated world, and then something fails. A script takes a second there, a synchronisation next to nothing.
namespace safekit::sim {

/// One node of the module, as it is now. A value.
struct NodeNow {
  NodeName name{};
  bool up{false};  ///< safekitd answers there
  status::Role role{status::Role::Stop};
  status::Readiness readiness{status::Readiness::NotReady};
  bool up_to_date{false};
  bool last_primary{false};
  status::Settings settings{};
  std::vector<std::string> down{};         ///< resources of checkers
  std::vector<LanName> silent{};           ///< networks on which the other node is not heard
  std::vector<Interface> interfaces{};     ///< without the module's virtual addresses
  friend bool operator==(const NodeNow&, const NodeNow&);
};
[[nodiscard]] NodeNow node_now(const spec::Module& spec, const NodeName& node, const status::Module& status,
                               const std::vector<Interface>& interfaces);

struct Situation {
  spec::Cluster cluster{};
  spec::Module module{};
  std::array<NodeNow, 2> nodes{};
};

struct Happening {
  enum class Kind {
    Node,       ///< `name` loses its power
    Network,    ///< `name` is cut, or `all`
    Process,    ///< `name` is killed on `node`: one that the module watches, `replica`, or `safekitd` (which is started again)
    Checker,    ///< resource `name` (`tcp.web`) goes down on `node`
    Witness,    ///< no witness of the split-brain checker answers any more
    Command,    ///< `name` on `node`
    Apply,      ///< `spec`
  };
  Kind kind{Kind::Node};
  std::string name{};
  NodeName node{};
  std::optional<spec::Module> spec{};
};
/// Errors: Invalid, with the words there are.
[[nodiscard]] Result<Happening::Kind> parse_happening(const std::string& word);

struct Step {
  Duration at{};
  NodeName node{};
  bool is_state{false};
  std::string text{};  ///< as the module's log has it
  friend bool operator==(const Step&, const Step&) = default;
};
struct Forecast {
  std::vector<Step> steps{};
  std::array<std::string, 2> end{};  ///< `PRIM Ready`, or `off`
  std::optional<Duration> outage{};  ///< without service in all, where there was one before; nothing: there was none
  bool serves{false};                ///< at the end
  std::vector<std::string> notes{};  ///< what is not played
};

/// Pure, for the seed is its own. Takes tens of milliseconds. Errors: Conflict for a state that is on its way or cannot be brought
/// about, Invalid for what cannot happen to this module.
[[nodiscard]] Result<Forecast> forecast(const Situation& situation, const Happening& happening);

/// Steps are looked for until nothing has happened for so long, and at most for kHorizon.
inline constexpr Duration kQuiet = seconds{20};
inline constexpr Duration kHorizon = seconds{180};

}  // namespace safekit::sim
