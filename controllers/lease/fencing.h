#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controllers/lease/plan.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/files.h"
#include "schema/port/loop.h"
#include "schema/port/process.h"
#include "schema/port/witness.h"

namespace safekit::lease {

/// A witness that is no machine: a program which switches the other node off (`exec: fence`, docs/witness.md). What it has ended with 0
/// for is granted without an end, until it is given back or this node is booted. Once the other node is heard it is granted only to who
/// asks for its own: before this node begins anything without it, it is to be off anew. Both are kept in the fact `fenced/<module>`. All
/// other kinds are passed on. A service. Thread: the loop's.
/// A program that cannot be started, fails or is late is a no, and is not tried again for kAgain. It is ended when the other node is heard
/// while it runs, which makes the question one without an answer (Unavailable), and when safekitd was started anew beside it.
class Fencing final : public Witness {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    Processes& processes;
    Files& files;
  };
  /// `boot`: another one with each boot. The last output of each module's program is `<state_dir>/fence/<module>.output`.
  Fencing(const Ports& ports, Witness& others, std::string state_dir, std::string boot);
  /// `limit` is not that of the program, which has kFenceLimit.
  void acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) override;
  void release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) override;
  void probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) override;
  /// The other node of a module is heard: it may be complete from now on.
  void note_heard(const std::string& module);

  static constexpr Duration kAgain = seconds{10};

 private:
  struct Run {
    std::string node{};  ///< that is switched off
    std::vector<std::function<void(Result<LeaseReply>)>> waiting{};
    ProcessIdentity process{};
    TimerId limit{0};
    bool late{false};
    bool runs{false};
    bool heard{false};  ///< the other node, since it began
    std::optional<MonoTime> failed{};
    std::string failure{};
  };
  [[nodiscard]] std::string proof_of(const LeaseAsk& ask) const;
  [[nodiscard]] std::string& proof_in(const std::string& module);
  void end_left_over(const std::string& module);
  Status keep(const std::string& module, const std::string& proof);
  void start(const LeaseAsk& ask, Run& run);
  void ended(const LeaseAsk& ask, const ExitStatus& status);
  void conclude(const LeaseAsk& ask, Run& run, const Status& status);
  [[nodiscard]] std::string output_of(const std::string& module) const;

  Ports ports_;
  Witness& others_;
  std::string state_dir_;
  std::string boot_;
  std::map<std::string, Run> runs_{};  ///< the last one, by module
  std::map<std::string, std::string> proofs_{};  ///< by module; as the facts, also where those cannot be written
};

}  // namespace safekit::lease
