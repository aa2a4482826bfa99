#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controllers/boot/effect.h"
#include "controllers/errd/effect.h"
#include "controllers/failover/effect.h"
#include "controllers/lease/effect.h"
#include "controllers/lease/fencing.h"
#include "controllers/checker/effect.h"
#include "controllers/membership/effect.h"
#include "controllers/replication/effect.h"
#include "controllers/role/effect.h"
#include "controllers/script/effect.h"
#include "controllers/vip/effect.h"
#include "controllers/simulate/heartbeats.h"
#include "controllers/simulate/replica.h"
#include "controllers/simulate/transport.h"
#include "reconciler/engine/engine.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/store.h"
#include "schema/fake/fixed_interfaces.h"
#include "schema/fake/fixed_units.h"

namespace safekit::sim {

/// The virtual address of every module, and the machine's own. Probes find whoever has an address.
class SimInterfaces final : public Interfaces {
 public:
  SimInterfaces(World& world, std::vector<Interface> own);
  Result<std::vector<Interface>> list() override { return fixed_.list(); }
  Status add_address(int index, const InterfaceAddress& address) override { return fixed_.add_address(index, address); }
  Status remove_address(int index, const InterfaceAddress& address) override;
  Status announce(int, const IpAddress&) override { return {}; }
  Status probe(int index, const IpAddress& address, Duration wait, std::function<void(std::optional<MacAddress>)> task) override;
  Status reset_connections(const IpAddress&) override { return {}; }
  void on_change(std::function<void()> task) override { fixed_.on_change(std::move(task)); }
  [[nodiscard]] bool has(const IpAddress& address);
  void lose_power();
  void set_loop(SimLoop* loop);
  bool keeps_addresses{false};  ///< Defect::AddressStays
  std::function<bool(const IpAddress&)> elsewhere{};

 private:
  World& world_;
  std::vector<Interface> own_;
  SimLoop* loop_{nullptr};
  fake::FixedInterfaces fixed_{};
};

/// What witnesses have granted: one book for all of a world's nodes. A value.
struct SimLeases {
  struct Lease {
    std::string holder{};
    std::uint64_t id{0};
    std::int64_t until{0};  ///< ns of the world
  };
  std::map<std::string, Lease> leases{};
  LeaseReply acquire(const LeaseAsk& ask, std::int64_t now);
  std::uint64_t last_id{0};
  std::int64_t drift_ppm{0};  ///< of its clock
  Defect defect{Defect::None};
};

/// Whoever `answers` says is there answers at once; of any other one nothing is heard. A witness is asked as an echo of its place.
class SimProbes final : public TcpProbe, public EchoProbe, public Witness {
 public:
  using Answers = std::function<bool(const std::string& host, std::uint16_t port)>;
  SimProbes(World& world, Answers answers, std::shared_ptr<SimLeases> leases)
      : world_(world), answers_(std::move(answers)), leases_(std::move(leases)) {}
  void connect(const std::string& host, std::uint16_t port, Duration timeout, std::function<void(Status)> task) override;
  void echo(const std::string& host, Duration timeout, std::function<void(Status)> task) override { connect(host, 0, timeout, std::move(task)); }
  void acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) override;
  void release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) override;
  void probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) override;
  void set_loop(SimLoop* loop) { loop_ = loop; }

 private:
  [[nodiscard]] bool has_witness(const WitnessPlace& place) const;
  void answer(bool there, Duration limit, std::function<void(bool)> task);

  World& world_;
  Answers answers_;
  std::shared_ptr<SimLeases> leases_;
  SimLoop* loop_{nullptr};
};

/// A process of the application, by its command name. While it is not `always` there it comes with start_prim and ends with stop_prim.
struct Program {
  std::string command{};
  bool always{false};
};

struct Module {
  std::string name{};
  std::string spec{};
  std::vector<Program> programs{};
};

/// One node: what its disks hold, what runs on it, and one safekitd after the other made of the real store, engine and
/// controllers.
class Node {
 public:
  struct Ports {
    World& world;
    NodeName name{};
    std::vector<Interface> interfaces{};  ///< as they are after a boot
    std::string cluster{};
    std::vector<Module> modules{};
    Defect defect{Defect::None};
    std::int64_t drift_ppm{0};
    SimHeartbeats::Carry carry{};
    SimTransport::Reach reach{};
    std::function<Replica*(const Node&, const std::string& module)> peer_replica{};
    std::function<std::uint32_t()> next_write{};
    std::function<void(const Node&, const std::string& module, std::uint32_t)> acknowledged{};
    std::function<void(const Node&, const std::string& module, bool forced)> promoting{};
    std::function<bool(const Node&, const IpAddress&)> address_elsewhere{};
    SimProbes::Answers answers{[](const std::string&, std::uint16_t) { return true; }};  ///< port 0: an echo
    std::shared_ptr<SimLeases> leases{std::make_shared<SimLeases>()};
    /// Of that node a program has begun which is to switch another one off; it ends with end_program. Its last two words: which one, and
    /// what the node is that began it.
    std::function<void(Node&, ProcessIdentity, const std::vector<std::string>& argv)> fence{};
    std::function<void(const Node&, const status::Event&)> told{};  ///< of each line of a log
  };
  explicit Node(Ports ports);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void boot();
  void crash();
  void restart_daemon();
  void kill_replica(const std::string& module);
  void pause_daemon(Duration how_long);
  void pause_replica(const std::string& module, Duration how_long);
  /// All processes; the kernel goes on, and what it has of the addresses.
  void pause(Duration how_long);
  void command(const std::string& module, const std::string& verb);
  /// A new revision of the module, made here.
  void apply(const std::string& module, const std::string& spec);
  /// Switches of a module; they hold from the next start of safekitd on as well.
  void set_switches(const std::string& module, const status::Settings& settings);
  /// As `safekit set` does.
  void set_resource(const std::string& module, const std::string& name, const std::string& value);
  /// One of Ports::fence; one that is gone does nothing more.
  [[nodiscard]] bool is_running(ProcessIdentity program) const { return processes_.is_running(program); }
  void end_program(ProcessIdentity program, int code) { processes_.end(program, {.code = code}); }
  /// Whether there was one.
  bool kill_program(const std::string& module, const std::string& command);
  void jump_clock(Duration by) { clock_.jump(by); }
  void fill_disk(bool full) { backend_.fill(full); }

  [[nodiscard]] bool is_up() const { return up_; }
  [[nodiscard]] const NodeName& name() const { return ports_.name; }
  [[nodiscard]] Replica* replica(const std::string& module) const;
  [[nodiscard]] const Copy& copy(const std::string& module) const { return disks_.at(module); }
  [[nodiscard]] const status::Module* status(const std::string& module) const;
  [[nodiscard]] bool has_address(const IpAddress& address) { return interfaces_.has(address); }
  /// It has the address of that module, and lets packets through.
  [[nodiscard]] bool answers_at(const std::string& module, const IpAddress& address);
  /// Between the end of start_prim and the begin of stop_prim.
  [[nodiscard]] bool is_application_up(const std::string& module) const;
  [[nodiscard]] SimHeartbeats* heartbeats() const { return daemon_ ? daemon_->heartbeats.get() : nullptr; }
  [[nodiscard]] SimTransport* transport() const { return daemon_ ? daemon_->transport.get() : nullptr; }
  [[nodiscard]] const store::Store* store() const { return daemon_ ? daemon_->store.get() : nullptr; }

 private:
  struct Daemon {
    std::unique_ptr<SimLoop> loop{};
    std::unique_ptr<store::Store> store{};
    std::unique_ptr<engine::Engine> engine{};
    std::unique_ptr<SimHeartbeats> heartbeats{};
    std::unique_ptr<SimTransport> transport{};
    std::unique_ptr<peer::Peers> peers{};
    std::unique_ptr<lease::Fencing> fencing{};
    std::unique_ptr<role::RoleController> role{};
    std::vector<std::unique_ptr<engine::Controller>> controllers{};
  };
  struct Script {
    std::string module{};
    std::string name{};
    std::string status_path{};
    ProcessIdentity script{};
  };
  struct Running {  ///< a replica's process
    std::string module{};
    std::unique_ptr<Replica> replica{};
  };

  void start_daemon();
  void wire(Daemon& daemon);
  void begin(ProcessIdentity process, const ProcessSpec& spec);
  void begin_replica(ProcessIdentity process, const std::string& module, bool take_over);
  void begin_programs(const std::string& module, bool always);
  void end_programs(const std::string& module);
  void begin_script(ProcessIdentity runner, const ProcessSpec& spec);
  void end_script(ProcessIdentity runner, const std::string& how);
  void script_tick(ProcessIdentity runner, std::int64_t ends);
  void signalled(ProcessIdentity process, int number);
  void write_tick();
  Result<std::unique_ptr<replication::ReplicaLink>> connect(const std::string& socket, replication::LinkTasks tasks);

  Ports ports_;
  SimClock clock_;
  SimFiles files_;
  SimBackend backend_;
  SimProcesses processes_;
  SimInterfaces interfaces_;
  fake::FixedUnits units_{};
  WorldRandom random_;
  NoLog log_{};
  NoPower power_{};
  bool up_{false};
  std::uint64_t boots_{0};
  std::map<std::string, Copy> disks_{};
  std::map<std::string, LeftMount> left_{};
  std::map<std::string, bool> application_{};
  std::map<std::string, MonoTime> guards_{};  ///< until when addresses of a module answer; none: without end
  std::map<std::string, status::Settings> switches_{};
  std::map<std::string, std::vector<std::pair<Program, ProcessIdentity>>> programs_{};
  std::map<std::int32_t, Running> replicas_{};
  std::map<std::int32_t, Script> scripts_{};
  std::unique_ptr<Daemon> daemon_{};
  SimProbes probes_;
  std::unique_ptr<checker::ModuleProbe> modules_{};
};

}  // namespace safekit::sim
