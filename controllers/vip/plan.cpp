#include "controllers/vip/plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <sstream>

#include <fmt/format.h>

namespace safekit::vip {
namespace {

/// After an address was set: at once, and again for whoever lost the first ones.
constexpr std::array<Duration, 3> kAnnounceAt{Duration{0}, milliseconds{100}, seconds{1}};

bool in_network(const IpAddress& ip, const InterfaceAddress& network) {
  if (ip.v6 != network.ip.v6) return false;
  const unsigned whole = network.prefix_length / 8U;
  const unsigned rest = network.prefix_length % 8U;
  const std::size_t size = ip.v6 ? 16 : 4;
  for (std::size_t i = 0; i < whole && i < size; ++i) {
    if (ip.bytes[i] != network.ip.bytes[i]) return false;
  }
  if (rest == 0 || whole >= size) return true;
  const auto mask = static_cast<std::uint8_t>(0xFFU << (8U - rest));
  return (ip.bytes[whole] & mask) == (network.ip.bytes[whole] & mask);
}

std::uint8_t host_prefix(const IpAddress& ip) {
  return ip.v6 ? 128 : 32;
}

/// The network of an interface that holds the address, not counting the address itself.
const InterfaceAddress* network_of(const Interface& interface, const IpAddress& ip) {
  for (const InterfaceAddress& address : interface.addresses) {
    if (address.ip == ip || address.prefix_length == host_prefix(address.ip)) continue;
    if (in_network(ip, address)) return &address;
  }
  return nullptr;
}

/// Where the address is set now.
std::optional<std::pair<int, InterfaceAddress>> find_set(const std::vector<Interface>& interfaces,
                                                         const IpAddress& ip) {
  for (const Interface& interface : interfaces) {
    for (const InterfaceAddress& address : interface.addresses) {
      if (address.ip == ip) return std::pair{interface.index, address};
    }
  }
  return std::nullopt;
}

/// Where the address is, or belongs; also on an interface that is down: it may come up with the address. Empty: nowhere.
std::string interface_of(const AddressWish& wish, const std::vector<Interface>& interfaces) {
  const auto name = [&](int index) { return std::ranges::find(interfaces, index, &Interface::index)->name; };
  if (const auto there = find_set(interfaces, wish.ip)) return name(there->first);
  if (const auto place = place_of(wish, interfaces)) return name(place->index);
  for (const Interface& interface : interfaces) {
    const bool fits = wish.interface.empty() ? !interface.loopback && network_of(interface, wish.ip) != nullptr
                                             : interface.name == wish.interface;
    if (fits) return interface.name;
  }
  return {};
}

bool is_up(const std::vector<Interface>& interfaces, int index) {
  return std::ranges::any_of(interfaces, [&](const Interface& i) { return i.index == index && i.up; });
}

std::optional<Duration> announce_time(const AddressWish& wish, std::uint32_t count) {
  if (count < kAnnounceAt.size()) return kAnnounceAt[count];
  if (!wish.announce_on || wish.announce_interval <= Duration{0}) return std::nullopt;
  const Duration at = wish.announce_interval * (count - kAnnounceAt.size() + 1);
  return at <= wish.announce_elapse ? std::optional{at} : std::nullopt;
}

void sooner(std::optional<Duration>& recheck, Duration after) {
  if (!recheck || after < *recheck) recheck = after;
}

/// One pass of `decide`; the members are its inputs and its result.
struct Pass {
  const Desired& desired;
  const std::vector<Interface>& interfaces;
  MonoTime now;
  Plan plan{};

  void problem(const std::string& text) {
    if (plan.section.problem.empty()) plan.section.problem = text;
  }

  Held* held(const IpAddress& ip) {
    const auto found =
        std::ranges::find_if(plan.memory.held, [&](const Held& h) { return h.address.ip == ip; });
    return found == plan.memory.held.end() ? nullptr : &*found;
  }

  void announce(const AddressWish& wish, Held& held) {
    while (const auto at = announce_time(wish, held.announced)) {
      const MonoTime due = held.since + *at;
      if (due > now) {
        sooner(plan.recheck_after, due - now);
        return;
      }
      plan.actions.push_back(Announce{held.index, wish.ip});
      // Late by more than one turn: one announcement stands for those missed.
      do {
        ++held.announced;
        const auto next = announce_time(wish, held.announced);
        if (!next || held.since + *next > now) break;
      } while (true);
    }
  }

  void set(const AddressWish& wish) {
    Held* known = held(wish.ip);
    if (const auto there = find_set(interfaces, wish.ip)) {
      if (known == nullptr) {  // a safekitd before us set it, or a person did: it is ours now, and the
                               // network knows it
        plan.memory.held.push_back(
            {.index = there->first, .address = there->second, .since = now, .announced = kAnnounceAt.size()});
        known = &plan.memory.held.back();
      }
      known->index = there->first;
      known->address = there->second;
      known->lost = false;
      announce(wish, *known);
      const Action again = Announce{known->index, wish.ip};
      if (plan.memory.unheard.contains(wish.ip) && std::ranges::find(plan.actions, again) == plan.actions.end()) {
        plan.actions.push_back(again);
      }
      return;
    }
    plan.section.all_set = false;
    if (known != nullptr && !is_up(interfaces, known->index)) known->lost = true;
    if (known != nullptr && !known->lost && known->announced > 0) {
      return problem(
          fmt::format("virtual address {} was taken off its interface by somebody else", to_string(wish.ip)));
    }
    const auto place = place_of(wish, interfaces);
    if (!place) return problem(place.error().what);
    const Held fresh{
        .index = place->index, .address = {.ip = wish.ip, .prefix_length = place->prefix}, .since = now};
    if (known == nullptr)
      plan.memory.held.push_back(fresh);
    else
      *known = fresh;
    plan.actions.push_back(AddAddress{fresh.index, fresh.address});
  }

  /// Takes down what this module has set and does not want, or no longer names.
  void unset() {
    const auto is_wanted = [&](const Held& h) {
      return desired.wanted && std::ranges::any_of(desired.addresses, [&](const AddressWish& w) {
               return w.ip == h.address.ip;
             });
    };
    std::erase_if(plan.memory.held, [&](const Held& h) {
      return !is_wanted(h) && !find_set(interfaces, h.address.ip).has_value();
    });
    std::erase_if(plan.memory.unheard, [&](const IpAddress& ip) {
      const Held* known = held(ip);
      return known == nullptr || !is_wanted(*known);
    });
    for (const Held& h : plan.memory.held) {
      plan.section.all_unset = false;
      if (is_wanted(h)) continue;
      const auto there = find_set(interfaces, h.address.ip);
      plan.actions.push_back(RemoveAddress{there->first, there->second, desired.tcp_reset});
    }
  }

  void probe(const AddressWish& wish) {
    if (find_set(interfaces, wish.ip)) return;
    const auto known = plan.memory.probes.find(wish.ip);
    const bool again = known != plan.memory.probes.end() && known->second.state == Probe::State::Taken;
    if (known != plan.memory.probes.end() && !again) {
      if (known->second.state == Probe::State::Asked) plan.section.probed = false;
      return;
    }
    const MonoTime next = again ? known->second.at + kProbeAgain : now;
    if (next > now) return sooner(plan.recheck_after, next - now);
    const auto place = place_of(wish, interfaces);
    if (!place) return problem(place.error().what);
    if (!again) {  // asked a second time, the first answer stands until there is another
      plan.memory.probes[wish.ip] = Probe{.state = Probe::State::Asked, .owner = {}, .at = now};
      plan.section.probed = false;
    } else {
      known->second.at = now;
    }
    plan.actions.push_back(AskOwner{place->index, wish.ip});
  }
};

}  // namespace

Result<Place> place_of(const AddressWish& wish, const std::vector<Interface>& interfaces) {
  const std::string ip = to_string(wish.ip);
  if (!wish.interface.empty()) {
    const auto named = std::ranges::find(interfaces, wish.interface, &Interface::name);
    if (named == interfaces.end()) {
      return Error{Code::NotFound,
                   fmt::format("virtual address {}: there is no interface '{}'", ip, wish.interface)};
    }
    if (!named->up) {
      return Error{Code::NotFound,
                   fmt::format("virtual address {}: interface '{}' is down", ip, wish.interface)};
    }
    const InterfaceAddress* network = network_of(*named, wish.ip);
    const std::uint8_t prefix = network == nullptr ? host_prefix(wish.ip) : network->prefix_length;
    return Place{.index = named->index, .prefix = wish.prefix.value_or(prefix)};
  }
  for (const Interface& interface : interfaces) {
    if (interface.loopback || !interface.up) continue;
    if (const InterfaceAddress* network = network_of(interface, wish.ip)) {
      return Place{.index = interface.index, .prefix = wish.prefix.value_or(network->prefix_length)};
    }
  }
  return Error{
      Code::NotFound,
      fmt::format("virtual address {}: no interface that is up has an address in its network; set one up, or "
                  "name the interface in the module",
                  ip)};
}

Plan decide(const Desired& desired, const std::vector<Interface>& interfaces, const Memory& memory,
            MonoTime now) {
  Pass pass{.desired = desired, .interfaces = interfaces, .now = now};
  Plan& plan = pass.plan;
  plan.memory = memory;
  if (desired.stopped) plan.memory.probes.clear();
  plan.section = status::AddressSection{};
  plan.section.problem = desired.problem;
  plan.section.all_set = desired.wanted;
  for (const AddressWish& wish : desired.addresses) {
    const std::string interface = interface_of(wish, interfaces);
    if (!interface.empty()) plan.section.places.push_back({.address = to_string(wish.ip), .interface = interface});
  }
  pass.unset();
  if (desired.wanted) {
    for (const AddressWish& wish : desired.addresses) pass.set(wish);
    if (!desired.addresses.empty()) plan.section.all_unset = false;
  }
  plan.section.probed = !desired.stopped;
  if (desired.starting && !desired.wanted) {
    for (const AddressWish& wish : desired.addresses) pass.probe(wish);
  }
  for (const auto& [ip, probe] : plan.memory.probes) {
    if (probe.state != Probe::State::Taken || desired.peer_serves || desired.wanted) continue;
    plan.section.in_use_elsewhere = true;
    pass.problem(
        fmt::format("virtual address {} is in use by the machine with MAC address {}: stop it there, or give "
                    "the module another address",
                    to_string(ip), probe.owner));
  }
  return plan;
}

Wishes wishes_of(const spec::Module& module) {
  Wishes wishes;
  if (module.mode != spec::Mode::Mirror || !module.vip) return wishes;
  for (const spec::VipInterface& interface : module.vip->interfaces) {
    for (const spec::VirtualAddress& address : interface.addresses) {
      const auto ip = parse_ip(address.address);
      if (!ip) {
        wishes.problem = fmt::format("virtual address '{}' is no IP address; names are not looked up here",
                                     address.address);
        continue;
      }
      AddressWish wish{.ip = *ip,
                       .interface = interface.name,
                       .prefix = {},
                       .announce_on = interface.arp_reroute,
                       .announce_interval = interface.arp_interval,
                       .announce_elapse = interface.arp_elapse};
      if (const auto mask = parse_ip(address.netmask); mask && !mask->v6) {
        int bits = 0;
        for (std::size_t i = 0; i < 4; ++i) bits += std::popcount(mask->bytes[i]);
        wish.prefix = static_cast<std::uint8_t>(bits);
      }
      wishes.addresses.push_back(wish);
    }
  }
  return wishes;
}

std::string encode(const std::vector<Held>& held) {
  std::string text;
  for (const Held& h : held) {
    text += fmt::format("{} {} {} {} {} {}\n", to_string(h.address.ip), h.address.prefix_length, h.index,
                        h.since.ns, h.announced, static_cast<int>(h.lost));
  }
  return text;
}

std::vector<Held> decode(const std::string& text) {
  std::vector<Held> result;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in{line};
    std::string ip;
    unsigned prefix = 0;
    int lost = 0;
    Held held;
    in >> ip >> prefix >> held.index >> held.since.ns >> held.announced >> lost;
    const auto parsed = parse_ip(ip);
    if (!in || !parsed || prefix > host_prefix(*parsed)) continue;
    held.address = {.ip = *parsed, .prefix_length = static_cast<std::uint8_t>(prefix)};
    held.lost = lost != 0;
    result.push_back(held);
  }
  return result;
}

}  // namespace safekit::vip
