#pragma once

#include <functional>
#include <memory>
#include <string>

#include "datapath/control/message.h"
#include "schema/base/result.h"

namespace safekit::replication {

/// One connection to a replica's control socket. Thread: the loop's. Closed by its destructor, after which no
/// task runs.
class ReplicaLink {
 public:
  virtual ~ReplicaLink() = default;
  virtual Status send(const control::Configure& configure) = 0;
  virtual Status send(const control::Want& want) = 0;
  virtual Status send(const control::Lease& lease) = 0;
  virtual Status send(const control::Inspect& inspect) = 0;
};

struct LinkTasks {
  std::function<void(const control::Report&)> on_report{};
  std::function<void(control::Inspection&&)> on_inspection{};
  std::function<void()> on_closed{};  ///< runs once; the connection is of no more use
};

/// Connects at once or not at all (a local socket). Errors: Unavailable when nobody listens.
using Connector =
    std::function<Result<std::unique_ptr<ReplicaLink>>(const std::string& socket_path, LinkTasks tasks)>;

}  // namespace safekit::replication
