#include <sstream>

#include "controllers/checker/plan.h"
#include "schema/spec/defaults.h"

/// From the module to its checks.
namespace safekit::checker {
namespace {

status::WatchClass class_of(spec::When when) {
  switch (when) {
    case spec::When::Pre: return status::WatchClass::Pre;
    case spec::When::Prim: return status::WatchClass::Prim;
    case spec::When::Both: return status::WatchClass::Both;
    case spec::When::Second: return status::WatchClass::Second;
  }
  return status::WatchClass::Prim;
}

/// The program is called with the names of the module and of the resource before the author's words.
status::CheckerProgram program_of(const spec::Module& module, const spec::CustomChecker& custom) {
  status::CheckerProgram program{.exec = custom.exec,
                                 .arguments = {module.metadata.name, "custom." + custom.ident},
                                 .interval = custom.interval,
                                 .timeout = custom.timeout};
  std::istringstream words{custom.arg};
  for (std::string word; words >> word;) program.arguments.push_back(word);
  return program;
}

/// Of two with one name, which validation refuses, the first.
void put(Checks& checks, Check&& check) {
  std::string resource = resource_of(check);
  checks.emplace(std::move(resource), std::move(check));
}

/// This node's own address in the network of a virtual one, and that network.
const InterfaceAddress* own_address(const spec::VipInterface& wanted, const IpAddress& ip,
                                    const std::vector<Interface>& interfaces) {
  for (const Interface& interface : interfaces) {
    if (!wanted.name.empty() && interface.name != wanted.name) continue;
    for (const InterfaceAddress& address : interface.addresses) {
      const bool is_host = address.prefix_length == (address.ip.v6 ? 128 : 32);
      if (is_host || address.ip == ip || address.ip.v6 != ip.v6) continue;
      if (network_of(ip, address.prefix_length) == network_of(address.ip, address.prefix_length)) return &address;
    }
  }
  return nullptr;
}

}  // namespace

Checks checks_of(const spec::Module& module) {
  Checks checks;
  for (const spec::TcpChecker& tcp : module.checkers.tcp) {
    put(checks, {.kind = Kind::Tcp,
                 .ident = tcp.ident,
                 .address = tcp.address,
                 .port = tcp.port,
                 .interval = tcp.interval,
                 .timeout = tcp.timeout,
                 .watch_class = class_of(spec::when_of(module, tcp))});
  }
  for (const spec::PingChecker& ping : module.checkers.ping) {
    put(checks, {.kind = Kind::Ping,
                 .ident = ping.ident,
                 .address = ping.address,
                 .interval = ping.interval,
                 .timeout = ping.timeout,
                 .watch_class = class_of(ping.when)});
  }
  for (const spec::InterfaceChecker& link : module.checkers.interfaces) {
    put(checks, {.kind = Kind::Intf,
                 .ident = link.ident,
                 .address = link.local_address,
                 .watch_class = status::WatchClass::Pre});
  }
  std::vector<spec::IpChecker> ips = module.checkers.ip;
  // The address of a farm is its own controller's matter; nobody sets it here yet.
  if (module.mode == spec::Mode::Mirror) {
    for (const spec::IpChecker& made : spec::generated_ip_checkers(module)) ips.push_back(made);
  }
  for (const spec::IpChecker& ip : ips) {
    put(checks, {.kind = Kind::Ip,
                 .ident = ip.ident,
                 .address = ip.address,
                 .interval = ip.interval,
                 .watch_class = class_of(spec::when_of(module, ip))});
  }
  for (const spec::CustomChecker& custom : module.checkers.custom) {
    put(checks, {.kind = Kind::Custom,
                 .ident = custom.ident,
                 .watch_class = class_of(spec::when_of(module, custom)),
                 .program = program_of(module, custom)});
  }
  for (const spec::ModuleChecker& other : module.checkers.modules) {
    put(checks, {.kind = Kind::Module,
                 .ident = spec::ident_of(other),
                 .address = other.address,
                 .interval = other.interval,
                 .timeout = other.timeout,
                 .watch_class = status::WatchClass::Pre,
                 .module = other.name});
  }
  if (module.checkers.has_witness()) {
    const spec::SplitBrainChecker& witness = *module.checkers.split_brain;
    put(checks, {.kind = Kind::SplitBrain,
                 .ident = witness.ident,
                 .watch_class = status::WatchClass::Pre,
                 .witnesses = witness.witnesses,
                 .grants = witness_kind(witness.exec)});
  }
  return checks;
}

Checks link_checks(const spec::Module& module, const std::vector<Interface>& interfaces) {
  Checks checks;
  if (!module.vip || module.mode != spec::Mode::Mirror) return checks;
  for (const spec::VipInterface& wanted : module.vip->interfaces) {
    if (!wanted.check) continue;
    for (const spec::VirtualAddress& address : wanted.addresses) {
      const auto ip = parse_ip(address.address);
      const InterfaceAddress* own = ip ? own_address(wanted, *ip, interfaces) : nullptr;
      if (own == nullptr) continue;
      put(checks, {.kind = Kind::Intf,
                   .ident = to_string(network_of(own->ip, own->prefix_length)),
                   .address = to_string(own->ip),
                   .watch_class = status::WatchClass::Pre});
    }
  }
  return checks;
}

bool is_fine(const Check& check, const std::vector<Interface>& interfaces) {
  const auto ip = parse_ip(check.address);  // as written it may differ from how the kernel prints it
  if (!ip) return false;
  for (const Interface& interface : interfaces) {
    for (const InterfaceAddress& address : interface.addresses) {
      if (address.ip != *ip) continue;
      if (check.kind == Kind::Ip || (interface.up && interface.carrier)) return true;
    }
  }
  return false;
}

}  // namespace safekit::checker
