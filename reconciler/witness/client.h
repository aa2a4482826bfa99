#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reconciler/witness/http.h"
#include "schema/port/loop.h"
#include "schema/port/witness.h"

namespace safekit::witness {

/// Real witnesses, over HTTP and HTTPS. Each question has a thread of its own, since names are looked up and connections made in it;
/// its answer comes by the loop, at `limit` at the latest. Several addresses are tried in turn, each with its share of the time.
/// A service; what is under way when it goes is ended, and its tasks do not run. Thread: the loop's.
class RemoteWitness final : public Witness {
 public:
  struct NodeAccess {
    std::vector<std::string> addresses{};
    std::uint16_t port{0};
    std::string token{};
    std::string authority_pem{};
  };
  /// How another node of the cluster is reached. Errors: NotFound when there is none of that name.
  using FindNode = std::function<Result<NodeAccess>(const std::string& name)>;
  RemoteWitness(Loop& loop, FindNode find_node);
  RemoteWitness(const RemoteWitness&) = delete;
  RemoteWitness& operator=(const RemoteWitness&) = delete;
  ~RemoteWitness() override;

  void acquire(const LeaseAsk& ask, Duration limit, std::function<void(Result<LeaseReply>)> task) override;
  void release(const LeaseAsk& ask, Duration limit, std::function<void(Status)> task) override;
  void probe(const WitnessPlace& place, Duration limit, std::function<void(Status)> task) override;

  static constexpr std::size_t kCallsMax = 64;  ///< under way; a witness that hangs must not collect threads without end
  static constexpr Duration kEndWait = seconds{1};

 private:
  struct Shared;
  struct Call;
  template <class T>
  using Work = std::function<Result<T>(const HttpTarget&, Duration, Stop&)>;
  template <class T>
  void start(const WitnessPlace& place, Duration limit, Work<T> work, std::function<void(Result<T>)> task);
  [[nodiscard]] Result<std::vector<HttpTarget>> targets_of(const WitnessPlace& place) const;

  Loop& loop_;
  FindNode find_node_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace safekit::witness
