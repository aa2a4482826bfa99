#include "controllers/replication/client_link.h"

#include "datapath/control/client.h"

namespace safekit::replication {
namespace {

class ClientLink final : public ReplicaLink {
 public:
  explicit ClientLink(Loop& loop) : client_(loop) {}
  Status connect(const std::string& path, LinkTasks tasks) {
    return client_.connect(path, std::move(tasks.on_report),
                           [closed = std::move(tasks.on_closed)](const std::string&) { closed(); },
                           std::move(tasks.on_inspection));
  }
  Status send(const control::Configure& configure) override { return client_.send(configure); }
  Status send(const control::Lease& lease) override { return client_.send(lease); }
  Status send(const control::Want& want) override { return client_.send(want); }
  Status send(const control::Inspect& inspect) override { return client_.send(inspect); }

 private:
  control::Client client_;
};

}  // namespace

Connector client_connector(Loop& loop) {
  return [&loop](const std::string& path, LinkTasks tasks) -> Result<std::unique_ptr<ReplicaLink>> {
    auto link = std::make_unique<ClientLink>(loop);
    SK_TRY_VOID(link->connect(path, std::move(tasks)));
    return std::unique_ptr<ReplicaLink>{std::move(link)};
  };
}

}  // namespace safekit::replication
