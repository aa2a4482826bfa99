#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"
#include "schema/spec/boot.h"
#include "schema/spec/checker.h"
#include "schema/spec/errd.h"
#include "schema/spec/farm.h"
#include "schema/spec/heart.h"
#include "schema/spec/metadata.h"
#include "schema/spec/replication.h"
#include "schema/spec/script.h"
#include "schema/spec/vip.h"
#include "schema/spec/written_xml.h"

namespace safekit::spec {

enum class Mode { Mirror, Farm, Light };

/// An application module: what runs, where, and what is done when it fails. A value.
/// Plain defaults stand at the members; those that hang on another field are functions in defaults.h.
/// Source: spec/config.md 2.
struct Module {
  Metadata metadata{};
  Mode mode{Mode::Mirror};
  std::uint32_t id{0};            ///< ports derive from it; 0: not given (XML gets it at install)
  std::vector<NodeName> nodes{};  ///< mirror: two; empty: not given (XML gets them at apply)
  Boot boot{};
  bool failover{true};                   ///< mirror; false: the secondary does not take over
  std::string default_primary{"alone"};  ///< `alone`, `lastprim`, or a node
  std::uint32_t max_loop{3};             ///< this many corrective actions within loop_interval, then stop
  Duration loop_interval{hours{24}};     ///< 0: no limit
  bool automatic_reboot{false};
  std::optional<Heart> heart{};  ///< mirror
  std::optional<Farm> farm{};    ///< farm
  std::optional<Vip> vip{};
  std::optional<Replication> replication{};  ///< mirror
  std::optional<Scripts> scripts{};
  std::vector<VirtualHostname> virtual_hostnames{};
  std::optional<Errd> errd{};
  Checkers checkers{};
  std::optional<FailoverRules> failover_rules{};
  WrittenXml xml{};
  friend bool operator==(const Module&, const Module&) = default;
};

}  // namespace safekit::spec
