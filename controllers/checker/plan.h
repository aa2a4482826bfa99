#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "schema/base/time.h"
#include "schema/port/interfaces.h"
#include "schema/port/witness.h"
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// The checkers of a module (spec/runtime.md 4). A checker whose class is not watched has the value `init`, so that a
/// stale `down` fires no failover rule. An answer costs what it changes: the checks wait in a queue by their next look, and
/// only new values are told.
namespace safekit::checker {

/// SplitBrain: of several witnesses one must answer. Custom: a program of the module, run by the script controller, says it.
/// Module: another module is in service.
enum class Kind { Tcp, Ping, Ip, Intf, Custom, SplitBrain, Module };

struct Check {
  Kind kind{Kind::Tcp};
  std::string ident{};
  std::string address{};
  std::uint16_t port{0};
  Duration interval{seconds{10}};
  Duration timeout{seconds{5}};
  status::WatchClass watch_class{status::WatchClass::Prim};
  std::vector<std::string> witnesses{};  ///< SplitBrain
  std::optional<WitnessPlace::Kind> grants{};  ///< SplitBrain: they are where one that grants leases is
  status::CheckerProgram program{};      ///< Custom
  ModuleName module{};                   ///< Module
  friend bool operator==(const Check&, const Check&) = default;
};
/// `tcp`, `ping`, `ip` ...: the class of its resource; it is set by `tcpcheck`, `pingcheck`, `ipcheck` ...
[[nodiscard]] std::string_view class_of(Kind kind);
/// `tcp.web`, `ip.10.0.0.9`
[[nodiscard]] std::string resource_of(const Check& check);
/// The value is found on this node's interfaces, without asking anybody.
[[nodiscard]] bool is_local(Kind kind);

/// By resource.
using Checks = std::map<std::string, Check>;
[[nodiscard]] Checks checks_of(const spec::Module& module);
/// The intf checks that the interfaces of virtual addresses make, as far as this node has their networks now.
[[nodiscard]] Checks link_checks(const spec::Module& module, const std::vector<Interface>& interfaces);
/// What the interfaces say of a local check.
[[nodiscard]] bool is_fine(const Check& check, const std::vector<Interface>& interfaces);

enum class Value { Init, Up, Down };

struct State {
  Value value{Value::Init};
  MonoTime enabled{};
  MonoTime due{};          ///< of the next look
  std::uint64_t asked{0};  ///< number of the probe under way; 0: none
  std::string instance{};  ///< Module, while up: which run of the other module that was
  friend bool operator==(const State&, const State&) = default;
};

struct Memory {
  std::uint64_t version{0};                ///< Desired::version that is taken up
  std::set<status::WatchClass> watched{};  ///< taken up
  std::map<std::string, State> states{};   ///< by resource; only what is watched
  std::set<std::pair<MonoTime, std::string>> queue{};  ///< what is to be looked at next, and when; not what is being asked
  std::set<std::string> awaited{};         ///< watched, and without a value yet
  std::set<std::string> resources{};       ///< told of, watched or not
  std::map<std::string, status::CheckerProgram> programs{};  ///< what shall run
  std::map<std::string, std::uint64_t> runs{};  ///< of programs with an interval: the last one judged
  std::uint64_t probes{0};                 ///< numbers of probes given out
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Desired {
  std::set<status::WatchClass> watched{};  ///< empty while checkers are suspended
  Checks checks{};
  std::uint64_t version{1};  ///< another one for each other content of `checks`
};

/// Since the last pass.
struct Observed {
  /// By resource: number of the probe, and whether it is fine; nothing when that could not be looked at.
  std::map<std::string, std::pair<std::uint64_t, std::optional<bool>>> answers{};
  bool interfaces_changed{false};  ///< some link or address of this node
  std::map<std::string, std::string> instances{};  ///< with an answer that is fine: ModuleState::instance
  std::map<std::string, std::string> set{};  ///< values that programs have set, of Memory::programs
  std::map<std::string, status::CheckerRun> runs{};
};

struct Ask {
  std::uint64_t number{0};
  Check check{};
  friend bool operator==(const Ask&, const Ask&) = default;
};
struct Line {
  char level{'E'};
  std::string component{};
  std::string text{};
  friend bool operator==(const Line&, const Line&) = default;
};
struct Plan {
  Memory memory{};
  std::vector<Ask> asks{};
  std::vector<Line> lines{};
  std::map<std::string, std::string> changed{};  ///< resources with their new values
  bool is_all{false};                            ///< `changed` has every resource there is, but those of programs that go on
  std::vector<std::string> gone{};               ///< resources of checks that there are no more
  bool stopstart{false};                         ///< a module that this one depends on was started anew
  bool awaited_changed{false};
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

/// Of one pass; the next follows after the gap. A burst of questions would overrun the socket that takes their answers.
inline constexpr std::size_t kAsksMax = 32;
inline constexpr Duration kAskGap = milliseconds{2};
/// An application may need a while after its start script until it answers: so often it is asked then,
/// without a verdict, for one interval of the checker.
inline constexpr Duration kStartingStep = milliseconds{500};
[[nodiscard]] Plan decide(const Desired& desired, const Observed& observed, Memory memory, MonoTime now);

}  // namespace safekit::checker
