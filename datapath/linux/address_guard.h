#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "schema/base/result.h"
#include "schema/base/time.h"
#include "schema/port/interfaces.h"

namespace safekit::linux_os {

struct GuardedAddress {
  IpAddress ip{};
  std::string interface {};
  friend bool operator==(const GuardedAddress&, const GuardedAddress&) = default;
};

/// Keeps the virtual addresses of a module silent from a moment on: an eBPF filter (kmod/bpf/address_guard.bpf.c) on their
/// interfaces, each of which is guarded for all of them. It needs no process to be awake, and **stays in the kernel when
/// its process ends or is killed**; `remove` takes it away. A service.
/// Modules: one does not disturb another on the same interface. Of one module, the last to attach is in force: what an
/// earlier one allows or removes no longer matters.
/// Errors: NotFound for an interface; Unsupported when the kernel has no eBPF, forbids it to this process, or the interface is
/// not an Ethernet one; Conflict with other packet filters; Io.
/// Thread: `allow_until` and `dropped` any, the rest one at a time.
class AddressGuard {
 public:
  /// Silent from `until` on, with the first packet. Takes the place of what a process before it left, in one step on each
  /// interface, and takes its filters off interfaces that are no longer named. Loopback is not guarded.
  /// With an error, what is in place stays in force, as old or as new: attach again, or `remove_leftovers`.
  [[nodiscard]] static Result<std::unique_ptr<AddressGuard>> attach(const std::string& module,
                                                                    const std::vector<GuardedAddress>& addresses,
                                                                    MonoTime until);
  /// Takes away what any process left for the module. Fine when there is nothing.
  [[nodiscard]] static Status remove_leftovers(const std::string& module);

  ~AddressGuard();
  AddressGuard(const AddressGuard&) = delete;
  AddressGuard& operator=(const AddressGuard&) = delete;

  /// A store to memory, no system call. `MonoTime{}`: silent at once; `kNoEnd`: never.
  void allow_until(MonoTime until);

  /// After a change of the interfaces: one that went took its filters along, and gets them again. Cheap when nothing is missing.
  /// Interfaces that are there are guarded even if another one is NotFound. Errors, besides: Fenced when a later process
  /// guards the module.
  [[nodiscard]] Status ensure();
  /// What this one has attached. Fine when it is gone, with its interface or by a later process.
  [[nodiscard]] Status remove();
  /// Packets that were kept back since `attach`.
  [[nodiscard]] std::uint64_t dropped() const;

 private:
  struct Program;
  AddressGuard(std::string module, std::vector<std::string> interfaces, std::unique_ptr<Program> program);
  enum class Others { Replace, Respect };
  Status place(Others others);

  std::string module_;
  std::vector<std::string> interfaces_;  ///< sorted, without loopback
  std::unique_ptr<Program> program_;
};

}  // namespace safekit::linux_os
