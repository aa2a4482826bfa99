#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "schema/base/time.h"

namespace safekit::spec {

enum class ScriptLogging { UserLog, None };

/// `<var>`: in the environment of every script.
struct Variable {
  std::string name{};
  std::string value{};
  friend bool operator==(const Variable&, const Variable&) = default;
};

/// `<user>` and the scripts themselves. A value. A module without it runs no script.
struct Scripts {
  bool enabled{
      true};  ///< false: an archive brought scripts, but its XML has no `<user>`: they are kept, not run
  std::string directory{};  ///< folder beside the file, whose files the reader puts into `files`; empty once
                            ///< that is done
  std::map<std::string, std::string> files{};  ///< `start_prim` to its text
  Duration nice_stop_timeout{seconds{300}};
  Duration force_stop_timeout{seconds{300}};
  ScriptLogging logging{ScriptLogging::UserLog};
  std::uint32_t log_size_kb{2048};
  std::vector<Variable> environment{};
  friend bool operator==(const Scripts&, const Scripts&) = default;
};

enum class HostnameWhen { Prim, Second, Both };

/// `<virtualhostname>`: the name that applications see in place of the host's.
struct VirtualHostname {
  std::string name{};
  std::string env_file{};
  HostnameWhen when{HostnameWhen::Prim};
  friend bool operator==(const VirtualHostname&, const VirtualHostname&) = default;
};

}  // namespace safekit::spec
