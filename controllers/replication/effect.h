#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controllers/replication/link.h"
#include "controllers/replication/meter.h"
#include "controllers/replication/plan.h"
#include "controllers/replication/policy.h"
#include "controllers/replication/probe.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"

namespace safekit::replication {

struct Paths {
  std::string state_dir{};
  std::string program_dir{};  ///< where safekit-replicad is
};

/// Starts, instructs and stops the replica of each mirror module; writes ReplicationSection and the class
/// `rfs` of the resource values. Does nothing for a module whose role controller has not spoken yet
/// (RoleSection::since): after a restart of safekitd the replica goes on as it is until then. A service.
class ReplicationController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  using IdentitySource = std::function<Result<ClusterIdentity>()>;
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Processes& processes;
    Files& files;
    /// The sets of lost writes of a module, as they lie on the disk.
    std::function<std::vector<lost::Summary>(const std::string& module)> lost_sets{};
  };
  ReplicationController(const Ports& ports, Connector connect, IdentitySource identity, Wake wake,
                        Paths paths);
  [[nodiscard]] std::string_view name() const override { return "replication"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

  /// Asks the replica for a look at the copies; gives the number that its Inspection will carry. Errors: Unavailable; Conflict
  /// while there is one.
  Result<std::uint64_t> inspect(const std::string& module, control::Inspect::Kind kind);
  /// The last one of this life of the replica.
  [[nodiscard]] std::optional<control::Inspection> inspection(const std::string& module) const;
  /// After each change of one, with the module.
  void on_inspection(std::function<void(const std::string&)> task) { inspected_ = std::move(task); }

 private:
  struct Live {
    bool loaded{false};
    Memory memory{};
    Policy policy{};
    Probe probe{};
    Meter meter{};
    std::unique_ptr<ReplicaLink> link{};
    std::uint64_t link_number{0};  ///< tasks of an older connection are not listened to
    Observed observed{};
    std::uint64_t watch{0};
    std::optional<control::Inspection> inspection{};
    std::optional<MonoTime> verify_failed{};  ///< when one of the schedule was given up
    std::optional<control::Configure> configure{};  ///< last one made; holds while the specs do not give one
  };

  void load(const std::string& module, Live& live);
  [[nodiscard]] Desired desire(const std::string& module, Live& live) const;
  void observe(const std::string& module, Live& live);
  void note_last_words(const std::string& module, Live& live);
  Status apply(const std::string& module, Live& live, const Action& action);
  Status start(const std::string& module, Live& live, bool take_over);
  Status let_go(const std::string& module);
  [[nodiscard]] Result<std::optional<ProcessIdentity>> find_process(const std::string& module) const;
  [[nodiscard]] Result<std::optional<ProcessIdentity>> find_by(std::string_view command,
                                                               const std::string& arguments) const;
  [[nodiscard]] bool is_gone(const std::string& module) const;
  Status forget(const std::string& module);
  Result<bool> bury(const std::string& module);
  Status forget_namesake(const std::string& module, Live& live);
  Status connect(const std::string& module, Live& live);
  void disconnect(const std::string& module, Live& live);
  void publish(const std::string& module, const Desired& desired, Live& live);
  void publish_resources(const ModuleName& name, const status::ReplicationSection& section, const Meter& meter);
  void tell_of_lost_writes(const std::string& module);
  void tell_of_differences(const std::string& module, const Live& live);
  void set_condition(const ModuleName& name, const std::string& type, std::optional<status::Condition> condition);
  Result<std::uint64_t> begin_inspection(Live& live, control::Inspect inspect);
  std::optional<Duration> keep_verified(const std::string& module, Live& live);
  void take_inspection(const std::string& module, control::Inspection&& inspection);
  void note_verified(const std::string& module, Live& live);
  void lose_inspection(const std::string& module, Live& live);
  /// Gives when to look again.
  std::optional<Duration> probe_mount(const std::string& module, Live& live);
  // What a person chose (choices.cpp).
  static std::string policy_key(const std::string& module);
  Status take_choices(const std::string& module, Live& live);
  Status settle_choice(const std::string& module, Live& live);
  Status save(const std::string& module, Live& live, Policy policy);
  static std::string verify_key(const std::string& module);
  static std::string schedule_key(const std::string& module);
  Status save(const std::string& module, const Memory& memory);

  Ports ports_;
  Connector connect_;
  IdentitySource identity_;
  Wake wake_;
  Paths paths_;
  std::map<std::string, Live> modules_{};
  std::function<void(const std::string&)> inspected_{};
};

}  // namespace safekit::replication
