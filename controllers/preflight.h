#pragma once

#include <memory>
#include <string>
#include <thread>

#include "reconciler/api/preflight.h"
#include "reconciler/api/routes.h"
#include "reconciler/peer/links.h"
#include "reconciler/store/store.h"
#include "schema/port/clock.h"
#include "schema/port/loop.h"
#include "schema/port/network.h"

namespace safekit {

/// The API of `safekit preflight`, by which a node measures itself and its way to the others.
///   POST preflight?module=NAME        the whole report of the node that is asked; without a module of all nodes of the cluster
///   GET  preflight/self?module=NAME   what a node says of itself
///   GET  preflight/ping               its wall clock
///   POST preflight/sink               takes what is sent
/// A service. Thread: the loop's; a disk is measured by a thread of its own, one at a time.
class Preflight {
 public:
  struct Ports {
    store::Store& store;
    Loop& loop;
    const Clock& clock;
    peer::Peers& peers;
    TcpProbe& tcp;
    EchoProbe& echo;
  };
  explicit Preflight(const Ports& ports) : ports_(ports) {}
  void add_routes(api::Routes& routes);

 private:
  struct Job;
  using Shared = std::shared_ptr<Job>;
  void begin(const api::Request& request, const api::Respond& respond);
  void next_peer(const Shared& job);
  void give_up(const Shared& job, const Error& error);
  void ping(const Shared& job);
  void send(const Shared& job);
  void ask_self(const Shared& job);
  void look_at_lan(const Shared& job, std::size_t index);
  void echo(const Shared& job, std::size_t index, int left);
  void finish(const Shared& job);
  void measure_self(const std::string& module, std::function<void(Result<doc::Node>)> done);
  /// A request to the job's node.
  void call(const Shared& job, api::Method method, const std::string& path, std::string body, std::function<void(Result<api::Response>)> then);

  Ports ports_;
  bool is_measuring_{false};
  std::jthread worker_{};
};

}  // namespace safekit
