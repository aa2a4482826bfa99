#pragma once

#include "reconciler/store/store.h"
#include "schema/doc/node.h"

/// What the API shows of stored things: plain trees.
namespace safekit::api {

/// `apiVersion`, `kind`, `metadata` (with generation and resourceVersion), `spec`, and `status`: who applied
/// it, and what a module of this node does.
[[nodiscard]] doc::Node object_view(const store::Store& store, const store::Object& object);
/// A list as Kubernetes shapes it; its `metadata.resourceVersion` is the point from which a watch of this
/// node misses nothing; that of an object names its revision on every node (store::version_of).
[[nodiscard]] doc::Node list_view(const store::Store& store, store::Kind kind);
/// `status` of a module, with the conflicts of its revisions among the conditions.
[[nodiscard]] doc::Node module_status_view(const store::Store& store, const ModuleName& name);
[[nodiscard]] doc::Node operation_view(const store::Operation& operation);
[[nodiscard]] std::string_view plural(store::Kind kind);    ///< `modules`, `clusters`
[[nodiscard]] std::string_view singular(store::Kind kind);  ///< `module`, `cluster`
/// Serving and stable: what a load balancer asks for.
[[nodiscard]] bool is_ready(const status::Module& module);

}  // namespace safekit::api
