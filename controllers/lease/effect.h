#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controllers/lease/plan.h"
#include "reconciler/engine/controller.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/network.h"
#include "schema/port/witness.h"

namespace safekit::lease {

/// Asks the witnesses of modules while their roles want that; writes LeaseSection and the resource `splitbrain.uptodate`. The verdict of
/// a witness that only answers is in the fact `lease/<module>`: a safekitd that starts does not ask anew; that the other node was heard in
/// this boot, in `met/<module>`. A service.
class LeaseController final : public engine::Controller {
 public:
  using Wake = std::function<void(const engine::Request&)>;
  struct Ports {
    store::Store& store;
    const Clock& clock;
    Witness& witness;
    EchoProbe& echo;
    std::function<void(const std::string& module)> heard{};  ///< the other node is: Fencing::note_heard
  };
  /// `cluster_id`: empty while the node belongs to no cluster. `boot`: another one with each boot.
  LeaseController(const Ports& ports, std::function<std::string()> cluster_id, std::string boot, Wake wake);
  [[nodiscard]] std::string_view name() const override { return "lease"; }
  [[nodiscard]] std::optional<engine::Request> wants(const store::Change& change) const override;
  Result<engine::Outcome> reconcile(const engine::Request& request) override;

 private:
  struct Live {
    Memory memory{};
    std::vector<Answer> answers{};  ///< gathered for the next pass
    bool loaded{false};
    std::string met{};  ///< the node that was heard, and in which boot of this one
  };
  void load(const std::string& module, const Desired& desired, Live& live);
  Hearing hear(const ModuleName& module, const spec::Module* spec, Live& live);
  void forget(const ModuleName& module);
  void remember(const std::string& module, const Memory& memory);
  void ask(const std::string& module, const Desired& desired, const Memory& memory, const Ask& question);
  void publish(const ModuleName& name, const Desired& desired, const Memory& memory);
  void told(const std::string& module, Answer answer);

  Ports ports_;
  std::function<std::string()> cluster_id_;
  std::string boot_;
  Wake wake_;
  std::map<std::string, Live> modules_{};
  std::uint64_t lives_{0};
};

}  // namespace safekit::lease
