#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::spec {

enum class When { Pre, Prim, Both, Second };
enum class CheckerAction { NoAction, Wait, Restart, StopStart, Stop };

/// `<tcp>`: resource `tcp.<ident>`, rule `t_<ident>`. Unset action: restart, with `pre` wait (defaults.h,
/// action_of).
struct TcpChecker {
  std::string ident{};
  std::optional<When> when{};  ///< unset: by mode (defaults.h, when_of)
  std::optional<CheckerAction> action{};
  std::string address{};
  std::uint16_t port{0};
  Duration interval{seconds{10}};
  Duration timeout{seconds{5}};
  friend bool operator==(const TcpChecker&, const TcpChecker&) = default;
};

/// `<ping>`: resource `ping.<ident>`, rule `p_<ident>`. Unset action: wait.
struct PingChecker {
  std::string ident{};
  When when{When::Pre};
  std::optional<CheckerAction> action{};
  std::string address{};
  Duration interval{seconds{10}};
  Duration timeout{seconds{5}};
  friend bool operator==(const PingChecker&, const PingChecker&) = default;
};

/// `<intf>`: the link of the interface that has `local_address`; rule `interface_failure`: wait.
struct InterfaceChecker {
  std::string ident{};
  std::string local_address{};
  friend bool operator==(const InterfaceChecker&, const InterfaceChecker&) = default;
};

/// `<ip>`: the address is set here; rule `ip_failure`: stopstart.
struct IpChecker {
  std::string ident{};
  std::optional<When> when{};  ///< unset: prim (mirror) or both (farm)
  std::string address{};
  Duration interval{seconds{10}};
  friend bool operator==(const IpChecker&, const IpChecker&) = default;
};

/// `<custom>`: a program of the module that sets `custom.<ident>` itself, for as long as it is watched; or, with an
/// interval, one that is run each time and tells by its exit code (0: up). Rule `c_<ident>` unless NoAction.
struct CustomChecker {
  std::string ident{};
  std::optional<When> when{};
  CheckerAction action{CheckerAction::NoAction};
  std::string exec{};
  std::string arg{};  ///< words, split at white space
  std::optional<Duration> interval{};
  Duration timeout{seconds{5}};  ///< of one run, with an interval: then it is ended and counts as down
  friend bool operator==(const CustomChecker&, const CustomChecker&) = default;
};

/// `<module>`: another module is in service; rule `module_failure`: wait; stopstart when the other one
/// restarted.
struct ModuleChecker {
  ModuleName name{};
  std::string ident{};  ///< empty: `<name>_<address>` (defaults.h, ident_of)
  std::string address{"127.0.0.1"};
  std::uint16_t port{9010};
  bool secure{false};
  Duration interval{seconds{10}};
  Duration timeout{seconds{5}};
  friend bool operator==(const ModuleChecker&, const ModuleChecker&) = default;
};

/// `<splitbrain>`: who cannot reach a witness when all heartbeats are lost does not become primary. `ping` (SafeKit's): a machine that
/// answers echoes. Ours grant a lease to one node at a time: `http` (safekit-witness, by URL), `node` (another node of the cluster, by
/// name), `etcd` (by URL); `fence` lets the node go on that has switched the other one off (a program and its arguments). docs/witness.md
struct SplitBrainChecker {
  std::string ident{};
  std::string exec{"ping"};
  std::vector<std::string> witnesses{};  ///< `arg`
  /// How long a lease holds without being renewed. Below the minimum no second try of a renewal fits in, and etcd grants no less than
  /// 2 s; above the maximum a node that dies with the lease keeps the other one waiting too long.
  Duration lease{seconds{10}};
  /// To one node at a time; `ping` only answers, and may answer both.
  [[nodiscard]] bool grants_leases() const { return exec != "ping"; }
  static constexpr Duration kLeaseMin = seconds{3};
  static constexpr Duration kLeaseMax = seconds{60};
  friend bool operator==(const SplitBrainChecker&, const SplitBrainChecker&) = default;
};

/// `<check>` without those that `vip` makes (defaults.h, generated_ip_checkers). A value.
struct Checkers {
  std::vector<TcpChecker> tcp{};
  std::vector<PingChecker> ping{};
  std::vector<InterfaceChecker> interfaces{};
  std::vector<IpChecker> ip{};
  std::vector<CustomChecker> custom{};
  std::vector<ModuleChecker> modules{};
  std::optional<SplitBrainChecker> split_brain{};
  [[nodiscard]] bool has_witness() const { return split_brain && !split_brain->witnesses.empty(); }
  /// Nothing is acknowledged without a right to (docs/leases.md).
  [[nodiscard]] bool has_leases() const { return has_witness() && split_brain->grants_leases(); }
  friend bool operator==(const Checkers&, const Checkers&) = default;
};

/// `<failover>`: the rules as text, one entry per CDATA section (classic, or Lua when it starts with `--Lua
/// Rules`).
struct FailoverRules {
  bool extends{true};  ///< false: they replace the default rules
  Duration period{milliseconds{5000}};
  Duration handle_time{milliseconds{15000}};  ///< a multiple of period
  std::vector<std::string> rules{};
  friend bool operator==(const FailoverRules&, const FailoverRules&) = default;
};

}  // namespace safekit::spec
