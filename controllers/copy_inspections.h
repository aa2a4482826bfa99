#pragma once

#include <functional>
#include <list>
#include <string>

#include "controllers/replication/effect.h"
#include "reconciler/api/routes.h"
#include "reconciler/store/store.h"
#include "schema/port/loop.h"

namespace safekit {

/// How a look at the copies is shown: `state` is running, done or failed; paths as api::escaped writes them. Pure.
[[nodiscard]] doc::Node to_tree(const control::Inspection& inspection);

/// The API of verification and estimate, on the node that is primary.
///   POST   modules/NAME/inspections  {"kind": "verify" | "estimate"}     201 Inspection, running
///   GET    modules/NAME/inspections?number=N&wait=TIME                   the last one; waits for the end of number N
///   DELETE modules/NAME/inspections                                      ends it
/// A service. Thread: the loop's.
class CopyInspections {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    replication::ReplicationController& replication;
  };
  explicit CopyInspections(const Ports& ports);
  ~CopyInspections();
  CopyInspections(const CopyInspections&) = delete;
  CopyInspections& operator=(const CopyInspections&) = delete;

  void add_routes(api::Routes& routes);

 private:
  struct Waiter {
    std::string module{};
    std::uint64_t number{0};
    api::Respond respond{};
    TimerId timer{0};
  };
  [[nodiscard]] Status check_local(const std::string& module) const;
  api::Response begin(const api::Request& request, const std::string& module);
  void show(const api::Request& request, const std::string& module, const api::Respond& respond);
  [[nodiscard]] api::Response last(const std::string& module) const;
  [[nodiscard]] bool is_over(const std::string& module, std::uint64_t number) const;
  void changed(const std::string& module);

  Ports ports_;
  std::list<Waiter> waiters_{};
};

}  // namespace safekit
