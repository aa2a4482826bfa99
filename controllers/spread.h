#pragma once

#include <memory>
#include <string>

#include "reconciler/api/routes.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/loop.h"

namespace safekit {

/// `GET modules/NAME/spread?wait=3s`: which of the module's nodes have the revision that this one has. It answers as soon as
/// every node that can be reached has it, at the latest after the wait, so that a command given to the other node right
/// after an apply finds the module there. A service. Thread: the loop's.
class Spread {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    peer::Peers& peers;
  };
  explicit Spread(const Ports& ports) : ports_(ports) {}
  void answer(const api::Request& request, const std::string& module, const api::Respond& respond);

 private:
  struct Question;
  void ask(const std::shared_ptr<Question>& question, const NodeName& node);
  void heard(const std::shared_ptr<Question>& question, const NodeName& node, const Result<std::string>& reply);
  void finish(const std::shared_ptr<Question>& question);

  Ports ports_;
};

}  // namespace safekit
