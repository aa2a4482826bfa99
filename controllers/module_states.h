#pragma once

#include <memory>

#include "controllers/checker/module_probe.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit {

/// States of modules: of this node from its store, of other nodes by the authenticated links between them. A service. Thread: the loop's.
class ModuleStates final : public checker::ModuleProbe {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    peer::Peers& peers;
  };
  explicit ModuleStates(const Ports& ports) : ports_(ports) {}
  void ask(const ModuleName& module, const std::string& address, Duration timeout,
           std::function<void(Result<checker::ModuleState>)> task) override;

 private:
  struct Question;
  [[nodiscard]] Result<std::vector<NodeName>> nodes_at(const ModuleName& module, const std::string& address) const;
  [[nodiscard]] Result<checker::ModuleState> here(const ModuleName& module) const;
  void ask_node(const std::shared_ptr<Question>& question, const NodeName& node);
  void heard(const std::shared_ptr<Question>& question, const Result<checker::ModuleState>& state);

  Ports ports_;
};

}  // namespace safekit
