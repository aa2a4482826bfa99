#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "schema/port/interfaces.h"

namespace safekit::fake {

/// Interfaces as a test lays them out; what is done to them can be looked at.
class FixedInterfaces final : public Interfaces {
 public:
  struct Probe {
    int index{0};
    IpAddress address{};
    std::function<void(std::optional<MacAddress>)> answer{};
  };
  std::vector<Interface> interfaces{};
  std::vector<Probe> probes{};
  std::vector<std::pair<int, IpAddress>> announced{};
  bool guarded{false};  ///< no announcement gets out
  std::vector<IpAddress> reset{};
  std::vector<std::function<void()>> on_changes{};

  Result<std::vector<Interface>> list() override { return interfaces; }
  Status add_address(int index, const InterfaceAddress& address) override {
    Interface* interface = find(index);
    if (interface == nullptr) return Error{Code::NotFound, "no interface '" + std::to_string(index) + "'"};
    if (std::ranges::find(interface->addresses, address) == interface->addresses.end()) {
      interface->addresses.push_back(address);
    }
    return {};
  }
  Status remove_address(int index, const InterfaceAddress& address) override {
    if (Interface* interface = find(index); interface != nullptr) std::erase(interface->addresses, address);
    return {};
  }
  Status announce(int index, const IpAddress& address) override {
    if (guarded) return Error{Code::Unavailable, "the address is guarded"};
    announced.emplace_back(index, address);
    return {};
  }
  Status probe(int index, const IpAddress& address, Duration,
               std::function<void(std::optional<MacAddress>)> task) override {
    probes.push_back({index, address, std::move(task)});
    return {};
  }
  Status reset_connections(const IpAddress& address) override {
    reset.push_back(address);
    return {};
  }
  void on_change(std::function<void()> task) override { on_changes.push_back(std::move(task)); }
  void tell() const {
    for (const auto& task : on_changes) task();
  }

  Interface* find(int index) {
    const auto found = std::ranges::find(interfaces, index, &Interface::index);
    return found == interfaces.end() ? nullptr : &*found;
  }
};

}  // namespace safekit::fake
