#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/base/time.h"

namespace safekit::spec {

/// `<proc>`: processes that must run, or must not. Resource `proc.<name>`. A value.
struct Process {
  std::string name{};  ///< command name (15 characters on Linux), or unit name with `service`
  bool service{false};
  std::string name_regex{};   ///< POSIX extended on the command name; `name` is then only a label
  std::string arg_regex{};    ///< the same on the whole command line
  std::string watch_class{};  ///< `pre prim both second sec` or the author's own; empty: by mode (defaults.h,
                              ///< class_of)
  std::string action{"stopstart"};  ///< `stopstart restart stop noaction` or a program of the module
  std::vector<std::string> restart_services{};  ///< in start order
  std::uint32_t start_after{0};                 ///< first look after (n - 1) polls; 0 and 1: at once
  std::int32_t at_least{1};                     ///< fewer: act; -1: no such limit
  std::int32_t at_most{-1};                     ///< more: act; -1: no such limit
  friend bool operator==(const Process&, const Process&) = default;
};

/// `<errd>`. A value.
struct Errd {
  Duration poll{seconds{30}};
  std::vector<Process> processes{};
  friend bool operator==(const Errd&, const Errd&) = default;
};

}  // namespace safekit::spec
