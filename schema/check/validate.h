#pragma once

#include <string>
#include <vector>

#include "schema/codec/decode.h"
#include "schema/doc/problem.h"
#include "schema/spec/cluster.h"
#include "schema/spec/defaults.h"
#include "schema/spec/module.h"

/// Every rule about a spec that can be judged from text alone: stages P and S of spec/config.md 6 (row
/// numbers in brackets below). What a decoder finds (1-10) is reported by codec; what needs the machine (C,
/// R) by who is on it.
///   validate.cpp             [11-20, 42, 45, 52, 54, 55] sections, networks, nodes, names, scripts
///   validate_cluster.cpp     [48]
///   validate_replication.cpp [27-31]
///   validate_vip.cpp         [36, 38-41]
///   validate_watch.cpp       [17, 21-25, 51, 52] checkers, errd, failover
/// Rules about the text of failover rules [26, 53] wait for the rule parser.
namespace safekit::check {

enum class Platform { Linux, Windows };

/// What a module is judged against. Looks at what it points to.
struct Surroundings {
  const spec::Cluster* cluster{nullptr};       ///< null: unknown, names of nodes and networks are not judged
  std::vector<const spec::Module*> others{};   ///< the other modules of the cluster
  spec::Dialect dialect{spec::Dialect::Ours};  ///< in XML name, id and nodes may come later, at the apply
  Platform platform{Platform::Linux};
};

void validate(const spec::Cluster& cluster, const codec::Positions& positions, doc::Problems& problems);
void validate(const spec::Module& module, const Surroundings& around, const codec::Positions& positions,
              doc::Problems& problems);

}  // namespace safekit::check
