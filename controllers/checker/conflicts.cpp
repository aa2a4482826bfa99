#include "controllers/checker/conflicts.h"

#include <algorithm>

namespace safekit::checker {
namespace {

struct Search : std::enable_shared_from_this<Search> {
  Search(Interfaces& of, ConflictQuestion asked, std::function<void(std::optional<Conflict>)> then)
      : interfaces(of), question(std::move(asked)), task(std::move(then)) {}

  Interfaces& interfaces;
  ConflictQuestion question;
  std::function<void(std::optional<Conflict>)> task;
  std::size_t next_node{0};

  void probe(const IpAddress& address, std::function<void(std::optional<MacAddress>)> then) const {
    if (!interfaces.probe(question.index, address, kConflictWait, then)) then(std::nullopt);
  }
  [[nodiscard]] bool is_foreign(const std::optional<MacAddress>& owner) const {
    return owner && std::ranges::find(question.own, *owner) == question.own.end();
  }
  void first() {
    probe(question.address, [self = shared_from_this()](const std::optional<MacAddress>& owner) {
      if (!self->is_foreign(owner)) return self->task(std::nullopt);
      (void)self->interfaces.announce(self->question.index, self->question.address);  // who does not heed it answers again
      self->second();
    });
  }
  void second() {
    probe(question.address, [self = shared_from_this()](const std::optional<MacAddress>& owner) {
      if (!self->is_foreign(owner)) return self->task(std::nullopt);
      self->look_for_node(*owner);
    });
  }
  void look_for_node(const MacAddress& owner) {
    if (next_node == question.nodes.size()) return task(Conflict{.mac = owner});
    const auto& [node, address] = question.nodes[next_node++];
    probe(address, [self = shared_from_this(), owner, name = node](const std::optional<MacAddress>& at) {
      if (at == owner) return self->task(Conflict{.mac = owner, .node = name});
      self->look_for_node(owner);
    });
  }
};

}  // namespace

void find_conflict(Interfaces& interfaces, ConflictQuestion question, std::function<void(std::optional<Conflict>)> task) {
  std::make_shared<Search>(interfaces, std::move(question), std::move(task))->first();
}

std::optional<ConflictQuestion> conflict_question(const IpAddress& address, const std::vector<Interface>& interfaces,
                                                  const std::vector<std::pair<NodeName, IpAddress>>& other_nodes) {
  ConflictQuestion question{.address = address};
  const Interface* holder = nullptr;
  for (const Interface& interface : interfaces) {
    question.own.push_back(interface.mac);
    if (std::ranges::find(interface.addresses, address, &InterfaceAddress::ip) != interface.addresses.end()) holder = &interface;
  }
  if (holder == nullptr || holder->loopback || !holder->up) return std::nullopt;
  question.index = holder->index;
  for (const auto& [node, ip] : other_nodes) {
    const bool is_near = std::ranges::any_of(holder->addresses, [&, at = ip](const InterfaceAddress& own) {
      return own.ip.v6 == at.v6 && network_of(own.ip, own.prefix_length) == network_of(at, own.prefix_length);
    });
    if (is_near) question.nodes.emplace_back(node, ip);
  }
  return question;
}

}  // namespace safekit::checker
