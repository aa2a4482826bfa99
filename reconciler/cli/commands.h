#pragma once

#include "reconciler/cli/session.h"

/// One function per command: arguments to requests, replies to output. Each gives the exit code.
namespace safekit::cli {

// commands_modules.cpp
/// Has one command carried out. Errors: Conflict with why it was refused; those of the call.
Status operate(Session& session, const std::string& module, const std::string& verb, const std::string& argument);
int loop(Session& session);       ///< incloop resetloop checkloop
int operation(Session& session);  ///< start stop stopstart restart prim second swap forcestop
int shutdown(Session& session);
int state(Session& session);
int wait(Session& session);
int wait_state(Session& session);  ///< waitstate waitstart waitstop
int why(Session& session);
int log(Session& session);         ///< log logview events
int switches(Session& session);    ///< checker failover boot
int errd(Session& session);
int kill(Session& session);
int print(Session& session);       ///< printi printw printe
int set_resource(Session& session);
int get_resource(Session& session);

// commands_scripts.cpp
/// A script of a module on a node; empty: this one.
struct Script {
  std::string module{};
  std::string what{};  ///< config confcheck state level start stop
  std::string node{};
};
/// Its last run, when that is over.
Result<doc::Node> await_script(Session& session, const Script& script);
Result<doc::Node> run_script(Session& session, const Script& script);
int module_script(Session& session);  ///< config confcheck
int level(Session& session);
int wrapper(Session& session);        ///< AM_start_wrapper, AM_stop_wrapper

// commands_drill.cpp
int drill(Session& session);
int preflight(Session& session);

// commands_lost.cpp
int lost_writes(Session& session);

// commands_sync.cpp
int rfs_sync(Session& session);
int second_force(Session& session);

// commands_verify.cpp
int rfs_verify(Session& session);
int rfs_diff(Session& session);

// commands_simulate.cpp
int simulate(Session& session);

// commands_objects.cpp
int apply(Session& session);
int diff(Session& session);
int get(Session& session);
int describe(Session& session);
int remove(Session& session);
int validate(Session& session);
int convert(Session& session);

// commands_cluster.cpp
int cluster(Session& session);
int version(Session& session);
int completion(Session& session);

}  // namespace safekit::cli
