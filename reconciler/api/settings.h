#pragma once

#include "reconciler/store/store.h"

/// Maintenance switches of a module on this node (spec/operations.md 1.8): `errd`, `checker`, `failover`,
/// `boot`. They survive restarts and end with the opposite command or a new apply.
namespace safekit::api {

/// Errors: Invalid for another name.
Status change_setting(store::Store& store, const ModuleName& module, const std::string& name, bool on);
/// Back to what the spec says.
Status reset_settings(store::Store& store, const ModuleName& module);
/// At start: the status of each local module gets what was set.
void restore_settings(store::Store& store);

}  // namespace safekit::api
