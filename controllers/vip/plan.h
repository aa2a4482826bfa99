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
#include "schema/spec/module.h"
#include "schema/status/module.h"

/// Virtual addresses of a module: on their interface while the role wants them, and announced to the network;
/// probed for another owner while the module starts. An address that somebody takes off a working interface
/// is not put back: that is the ip checker's matter. An interface that was away and is back gets its
/// addresses again.
namespace safekit::vip {

struct AddressWish {
  IpAddress ip{};
  std::string interface {};              ///< empty: the one whose network holds the address
  std::optional<std::uint8_t> prefix{};  ///< empty: that of the network
  bool announce_on{false};               ///< `arpreroute`: every `announce_interval` for `announce_elapse`
  Duration announce_interval{seconds{60}};
  Duration announce_elapse{seconds{1200}};
  friend bool operator==(const AddressWish&, const AddressWish&) = default;
};

struct Desired {
  std::vector<AddressWish> addresses{};
  bool wanted{false};
  bool starting{false};     ///< the role is WAIT Transient: find out whether somebody else has the addresses
  bool stopped{false};      ///< the role is STOP: what was found out is forgotten
  bool peer_serves{false};  ///< the peer has them, rightly
  bool tcp_reset{true};
  std::string problem{};  ///< an address that cannot be used as it is written
  friend bool operator==(const Desired&, const Desired&) = default;
};

/// An address that this module has set.
struct Held {
  int index{0};
  InterfaceAddress address{};
  MonoTime since{};
  std::uint32_t announced{0};
  bool lost{false};  ///< its interface is or was away since it was last seen set
  friend bool operator==(const Held&, const Held&) = default;
};

struct Probe {
  enum class State { Asked, Free, Taken };
  State state{State::Asked};
  std::string owner{};  ///< MAC address
  MonoTime at{};
  friend bool operator==(const Probe&, const Probe&) = default;
};

struct Memory {
  std::vector<Held> held{};             ///< kept over a restart of safekitd
  std::map<IpAddress, Probe> probes{};  ///< not kept
  std::set<IpAddress> unheard{};        ///< last announced while nothing left the interface; not kept
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct AddAddress {
  int index{0};
  InterfaceAddress address{};
  friend bool operator==(const AddAddress&, const AddAddress&) = default;
};
struct RemoveAddress {
  int index{0};
  InterfaceAddress address{};
  bool reset_connections{false};  ///< first
  friend bool operator==(const RemoveAddress&, const RemoveAddress&) = default;
};
struct Announce {
  int index{0};
  IpAddress ip{};
  friend bool operator==(const Announce&, const Announce&) = default;
};
struct AskOwner {
  int index{0};
  IpAddress ip{};
  friend bool operator==(const AskOwner&, const AskOwner&) = default;
};
using Action = std::variant<AddAddress, RemoveAddress, Announce, AskOwner>;

struct Plan {
  Memory memory{};  ///< to be stored before the actions are done
  std::vector<Action> actions{};
  status::AddressSection section{};  ///< as it is before the actions
  std::optional<Duration> recheck_after{};
  friend bool operator==(const Plan&, const Plan&) = default;
};

inline constexpr Duration kAnnounceAgain = milliseconds{100};  ///< while nothing leaves the interface
inline constexpr Duration kProbeWait = milliseconds{300};
inline constexpr Duration kProbeAgain = seconds{10};  ///< while another machine has an address

[[nodiscard]] Plan decide(const Desired& desired, const std::vector<Interface>& interfaces,
                          const Memory& memory, MonoTime now);

/// Where an address belongs. Errors: NotFound, with what to write, when no interface fits.
struct Place {
  int index{0};
  std::uint8_t prefix{0};
  friend bool operator==(const Place&, const Place&) = default;
};
[[nodiscard]] Result<Place> place_of(const AddressWish& wish, const std::vector<Interface>& interfaces);

/// The addresses of a mirror module; those of a farm are the farm controller's.
struct Wishes {
  std::vector<AddressWish> addresses{};
  std::string problem{};
};
[[nodiscard]] Wishes wishes_of(const spec::Module& module);

[[nodiscard]] std::string encode(const std::vector<Held>& held);
[[nodiscard]] std::vector<Held> decode(const std::string& text);  ///< what cannot be read is left out

}  // namespace safekit::vip
