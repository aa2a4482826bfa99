#pragma once

#include <functional>
#include <string>

#include "reconciler/witness/http.h"
#include "schema/port/witness.h"

/// Leases of etcd v3 by its JSON gateway (etcd's docs: dev-guide/api_grpc_gateway; etcdserver/etcdserverpb/rpc.proto). The key is
/// the lease's name, its value the holder, and it is attached to a lease of etcd, which takes it away when it runs out. A second key,
/// NAME/last, keeps the holder until the lease is given back.
namespace safekit::witness::etcd {

/// POST of a body. Blocks.
using Call = std::function<Result<HttpReply>(const std::string& path, const std::string& body)>;

/// Errors: those of the call, Corrupt for what is no answer of etcd, Denied when it wants a log-in, Unavailable for its own failures.
[[nodiscard]] Result<LeaseReply> acquire(const Call& call, const LeaseAsk& ask);
[[nodiscard]] Status release(const Call& call, const LeaseAsk& ask);
/// A read that needs a majority of the members.
[[nodiscard]] Status probe(const Call& call);

}  // namespace safekit::witness::etcd
