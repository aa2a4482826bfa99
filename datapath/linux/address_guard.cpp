#include "datapath/linux/address_guard.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <sstream>

#include <fmt/format.h>

#include "datapath/linux/fd.h"
#include "datapath/linux/files.h"
#include "datapath/linux/traffic_control.h"
#include "kmod/abi/address_guard.h"
#include "kmod/bpf/address_guard_object.h"

namespace safekit::linux_os {
namespace {

static_assert(sizeof(sk_guard_address) == 16 && sizeof(sk_guard_state) == 16);

// A filter's name says whose it is, and whether the discipline it hangs on was made for a guard, which then
// takes it away.
constexpr std::string_view kName = "safekit-guard:";
constexpr std::string_view kNameOnOwnHooks = "safekit-guard+qdisc:";
/// The first that no filter of another kind has: filters before ours may let a packet pass by it.
constexpr std::uint16_t kPriorityMax = 16;

bool is_of(const TrafficFilter& filter, std::string_view module) {
  std::string_view name = filter.name;
  if (name.starts_with(kName)) return name.substr(kName.size()) == module;
  return name.starts_with(kNameOnOwnHooks) && name.substr(kNameOnOwnHooks.size()) == module;
}

bool on_own_hooks(const TrafficFilter& filter) {
  return filter.name.starts_with(kNameOnOwnHooks);
}

/// Keeps a guard that goes from taking the discipline away between another's look at it and its filter. One
/// for each network namespace: the lock is on the namespace itself. Without /proc there is none, and no harm
/// but in that moment.
class HooksLock {
 public:
  explicit HooksLock(int operation) : file_(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) {
    held_ = file_ && ::flock(file_.get(), operation) == 0;
  }
  [[nodiscard]] bool is_held() const { return held_; }

 private:
  Fd file_;
  bool held_{false};
};

/// Removes the filters that `mine` names, and the disciplines that were made for guards and have nothing
/// left.
template <class Mine>
Status take_away(const Mine& mine) {
  SK_TRY(const auto indices, hooked_interfaces());
  for (const int index : indices) {
    SK_TRY(const auto before, filters_of(index));
    bool own_hooks = false;
    for (const TrafficFilter& filter : before) {
      if (!mine(filter)) continue;
      SK_TRY_VOID(remove_filter(filter));
      own_hooks = own_hooks || on_own_hooks(filter);
    }
    const HooksLock lock{LOCK_EX | LOCK_NB};
    if (!own_hooks || !lock.is_held())
      continue;  // somebody is about to set a filter: the discipline may stay
    SK_TRY(const auto after, filters_of(index));
    if (after.empty()) SK_TRY_VOID(remove_hooks(index));
  }
  return {};
}

sk_guard_address key_of(const IpAddress& ip) {
  sk_guard_address key{};
  if (ip.v6) {
    std::ranges::copy(ip.bytes, key.bytes);
    return key;
  }
  key.bytes[10] = key.bytes[11] = 0xff;
  std::copy_n(ip.bytes.begin(), 4, key.bytes + 12);
  return key;
}

/// How far this process's CLOCK_BOOTTIME is ahead of the kernel's: not at all, but in a time namespace
/// (time_namespaces(7)).
std::int64_t boot_time_offset() {
  const auto text = read_file("/proc/self/timens_offsets");
  if (!text) return 0;  // a kernel without them
  std::istringstream words{*text};
  for (std::string clock; words >> clock;) {
    std::int64_t whole = 0;
    std::int64_t rest = 0;
    words >> whole >> rest;
    if (clock == "boottime") return whole * 1'000'000'000 + rest;
  }
  return 0;
}

Error refusal(int error, std::string_view doing) {
  const bool forbidden = error == EPERM || error == EACCES;
  return Error{
      Code::Unsupported,
      fmt::format("{}: {}{}", doing, ::strerrordesc_np(error),
                  forbidden
                      ? "; it needs root's CAP_BPF and CAP_NET_ADMIN, and a kernel that is not locked down"
                      : "")};
}

/// What traffic control refuses is a kernel that forbids it, seen from here.
Status judged(Status status) {
  if (!status && status.error().code == Code::Denied) {
    return Error{Code::Unsupported, status.error().what + "; it needs root's CAP_NET_ADMIN"};
  }
  return status;
}

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};

}  // namespace

/// The loaded programs, their identifiers and the cell that they read.
struct AddressGuard::Program {
  std::unique_ptr<bpf_object, CloseObject> object{};
  sk_guard_state* state{nullptr};
  std::int64_t clock_offset{0};
  struct Half {
    int descriptor{-1};
    std::uint32_t id{0};
  };
  Half in{};
  Half out{};

  [[nodiscard]] const Half& half(Direction direction) const { return direction == Direction::In ? in : out; }
  [[nodiscard]] bool is(std::uint32_t id) const { return id == in.id || id == out.id; }

  static Result<std::unique_ptr<Program>> load(const std::vector<GuardedAddress>& addresses, MonoTime until);
  Result<Half> find(const char* name) const;
  void allow_until(MonoTime until) const;

  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (state != nullptr) ::munmap(state, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  }
};

Result<AddressGuard::Program::Half> AddressGuard::Program::find(const char* name) const {
  Half half{.descriptor = bpf_program__fd(bpf_object__find_program_by_name(object.get(), name))};
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(half.descriptor, &info, &size) != 0)
    return refusal(errno, "look at an eBPF program");
  half.id = info.id;
  return half;
}

Result<std::unique_ptr<AddressGuard::Program>> AddressGuard::Program::load(
    const std::vector<GuardedAddress>& addresses, MonoTime until) {
  libbpf_set_print(nullptr);  // what it has to say goes into our errors
  auto program = std::make_unique<Program>();
  const auto bytes = bpf::address_guard_object();
  program->object.reset(bpf_object__open_mem(bytes.data(), bytes.size(), nullptr));
  bpf_object* const object = program->object.get();
  if (object == nullptr) return refusal(errno, "read the eBPF program");
  bpf_map* const guarded = bpf_object__find_map_by_name(object, "guarded");
  bpf_map* const state = bpf_object__find_map_by_name(object, "state");
  SK_ASSERT(guarded != nullptr && state != nullptr);
  const auto size = static_cast<std::uint32_t>(std::max<std::size_t>(addresses.size(), 1));
  if (bpf_map__set_max_entries(guarded, size) != 0 || bpf_object__load(object) != 0) {
    return refusal(errno, "load the eBPF program");
  }
  for (const GuardedAddress& address : addresses) {
    const sk_guard_address key = key_of(address.ip);
    const std::uint8_t yes = 1;
    if (bpf_map__update_elem(guarded, &key, sizeof key, &yes, sizeof yes, BPF_ANY) != 0) {
      return refusal(errno, "fill an eBPF map");
    }
  }
  void* const cell = ::mmap(nullptr, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)),
                            PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(state), 0);
  if (cell == MAP_FAILED) return refusal(errno, "map an eBPF map");
  program->state = static_cast<sk_guard_state*>(cell);
  program->clock_offset = boot_time_offset();
  program->allow_until(until);
  SK_TRY(program->in, program->find("guard_ingress"));
  SK_TRY(program->out, program->find("guard_egress"));
  return program;
}

void AddressGuard::Program::allow_until(MonoTime until) const {
  std::uint64_t value = SK_GUARD_NO_END;
  if (until != kNoEnd) {
    const std::int64_t ns = until.ns - std::min(clock_offset, until.ns);
    value = ns > 0 ? static_cast<std::uint64_t>(ns) : SK_GUARD_NEVER;
  }
  std::atomic_ref<__u64>{state->until_ns}.store(value, std::memory_order_release);
}

AddressGuard::AddressGuard(std::string module, std::vector<std::string> interfaces,
                           std::unique_ptr<Program> program)
    : module_(std::move(module)), interfaces_(std::move(interfaces)), program_(std::move(program)) {}

AddressGuard::~AddressGuard() = default;

Result<std::unique_ptr<AddressGuard>> AddressGuard::attach(const std::string& module,
                                                           const std::vector<GuardedAddress>& addresses,
                                                           MonoTime until) {
  SK_TRY(const auto links, list_links());
  std::vector<std::string> interfaces;
  for (const GuardedAddress& address : addresses) {
    const auto link = std::ranges::find(links, address.interface, &FilteredLink::name);
    if (link == links.end())
      return Error{Code::NotFound, fmt::format("no interface '{}'", address.interface)};
    if (link->loopback) continue;
    if (!link->ethernet) {
      return Error{Code::Unsupported,
                   fmt::format("interface '{}' is not an Ethernet one: its addresses cannot be guarded",
                               address.interface)};
    }
    interfaces.push_back(address.interface);
  }
  std::ranges::sort(interfaces);
  interfaces.erase(std::unique(interfaces.begin(), interfaces.end()), interfaces.end());
  SK_TRY(auto program, Program::load(addresses, until));
  std::unique_ptr<AddressGuard> guard{new AddressGuard{module, std::move(interfaces), std::move(program)}};
  SK_TRY_VOID(judged(guard->place(Others::Replace)));
  SK_TRY_VOID(judged(take_away([&](const TrafficFilter& filter) {
    return is_of(filter, module) && !guard->program_->is(filter.program);
  })));
  return guard;
}

Status AddressGuard::place(Others others) {
  const HooksLock lock{LOCK_SH};  // waits for no longer than a few netlink calls of a guard that goes
  SK_TRY(const auto links, list_links());
  std::string missing;
  for (const std::string& name : interfaces_) {
    const auto link = std::ranges::find(links, name, &FilteredLink::name);
    if (link == links.end()) {
      missing = name;
      continue;
    }
    SK_TRY(const bool made, add_hooks(link->index));
    SK_TRY(const auto present, filters_of(link->index));
    const bool own_hooks = made || std::ranges::any_of(present, on_own_hooks);
    for (const Direction direction : {Direction::In, Direction::Out}) {
      const auto old = std::ranges::find_if(
          present, [&](const TrafficFilter& f) { return f.direction == direction && is_of(f, module_); });
      const Program::Half& half = program_->half(direction);
      if (old != present.end() && old->program == half.id) continue;
      if (old != present.end() && others == Others::Respect) {
        return Error{Code::Fenced, fmt::format("another process guards the addresses of '{}'", module_)};
      }
      TrafficFilter filter{.index = link->index,
                           .direction = direction,
                           .priority = old == present.end() ? std::uint16_t{1} : old->priority,
                           .handle = old == present.end() ? 0 : old->handle,
                           .name = std::string{own_hooks ? kNameOnOwnHooks : kName} + module_};
      Status put = put_filter(filter, half.descriptor);
      while (!put && put.error().code == Code::Conflict && filter.handle == 0 &&
             filter.priority < kPriorityMax) {
        ++filter.priority;
        put = put_filter(filter, half.descriptor);
      }
      if (!put) return put;
    }
  }
  if (!missing.empty()) return Error{Code::NotFound, fmt::format("no interface '{}'", missing)};
  return {};
}

void AddressGuard::allow_until(MonoTime until) {
  program_->allow_until(until);
}

Status AddressGuard::ensure() {
  return judged(place(Others::Respect));
}

Status AddressGuard::remove() {
  return judged(take_away([this](const TrafficFilter& filter) { return program_->is(filter.program); }));
}

std::uint64_t AddressGuard::dropped() const {
  return std::atomic_ref<__u64>{program_->state->dropped}.load(std::memory_order_relaxed);
}

Status AddressGuard::remove_leftovers(const std::string& module) {
  return judged(take_away([&](const TrafficFilter& filter) { return is_of(filter, module); }));
}

}  // namespace safekit::linux_os
