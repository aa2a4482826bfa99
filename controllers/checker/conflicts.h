#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"
#include "schema/port/interfaces.h"

namespace safekit::checker {

/// Who else has an address that this node has.
struct Conflict {
  MacAddress mac{};
  NodeName node{};  ///< the node of this cluster that it is; empty: a machine that nobody knows
  friend bool operator==(const Conflict&, const Conflict&) = default;
};

struct ConflictQuestion {
  IpAddress address{};
  int index{0};                    ///< the interface that has it
  std::vector<MacAddress> own{};   ///< of all interfaces of this node: with two in one network each answers for the other
  std::vector<std::pair<NodeName, IpAddress>> nodes{};  ///< other nodes, by their addresses in that network
};

/// How long one question waits for answers.
inline constexpr Duration kConflictWait = milliseconds{300};

/// Asks the network (ARP, neighbour solicitation) who has an address. One answer is none: the address is announced once more, as RFC
/// 5227 defends it, and asked for again. The task runs once, with nothing where nobody has it, or where it cannot be asked.
void find_conflict(Interfaces& interfaces, ConflictQuestion question, std::function<void(std::optional<Conflict>)> task);

/// What is asked about an address of this node; nothing where it is not set, or on an interface where nobody can be asked.
[[nodiscard]] std::optional<ConflictQuestion> conflict_question(const IpAddress& address, const std::vector<Interface>& interfaces,
                                                                const std::vector<std::pair<NodeName, IpAddress>>& other_nodes);

}  // namespace safekit::checker
