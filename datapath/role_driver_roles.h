#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datapath/linux/tls_stream.h"
#include "datapath/replica/applier.h"
#include "datapath/replica/outside_watch.h"
#include "datapath/role_driver.h"

/// What the parts of RoleDriver share. Only role_driver*.cpp include this.
namespace safekit {

struct RoleDriver::PrimaryRole {
  std::vector<std::string> paths{};
  replica::TreeOrder order{};
  std::unique_ptr<StreamSource> source{};
  std::unique_ptr<replica::Primary> primary{};
  std::unique_ptr<fuse::MountedTrees> trees{};  // before primary in destruction: it calls the sink
};

struct RoleDriver::SecondaryRole {
  std::vector<std::string> paths{};
  std::unique_ptr<StreamSource> source{};
  std::unique_ptr<replica::Applier> applier{};
  std::unique_ptr<replica::OutsideWatch> watch{};  ///< none where nothing is watched
  bool stops_for_writes{false};                    ///< by others
  std::unique_ptr<replica::Secondary> secondary{};
  ~SecondaryRole() {
    if (watch) watch->stop();  // it calls secondary, which calls it
  }
};

/// `paths`: of the replicated directories. Pure.
[[nodiscard]] control::Inspection to_control(const replica::Inspection& from, const std::vector<std::string>& paths);

inline std::vector<std::string> paths_of(const control::Configure& configure) {
  std::vector<std::string> paths;
  for (const auto& directory : configure.directories) paths.push_back(directory.path);
  return paths;
}

inline TlsPeer tls_peer(const control::Configure& configure) {
  return {.certificate_file = configure.certificate_file,
          .key_file = configure.key_file,
          .authority_file = configure.authority_file,
          .peer = configure.peer,
          .silence_max = configure.send_timeout,
          .connections = configure.connections};
}

}  // namespace safekit
