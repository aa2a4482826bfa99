#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "schema/spec/module.h"

/// The words of every enumeration of the spec, as all text forms write them.
namespace safekit::codec {

template <class E>
struct Words;

#define SK_WORDS(type, count, ...)                                                             \
  template <>                                                                                  \
  struct Words<type> {                                                                         \
    using E = type;                                                                            \
    static constexpr std::array<std::pair<std::string_view, type>, count> kAll{{__VA_ARGS__}}; \
  }

SK_WORDS(spec::Mode, 3, {"mirror", E::Mirror}, {"farm", E::Farm}, {"light", E::Light});
SK_WORDS(spec::BootPolicy, 4, {"on", E::On}, {"off", E::Off}, {"auto", E::Auto}, {"ignore", E::Ignore});
SK_WORDS(spec::Protocol, 3, {"tcp", E::Tcp}, {"udp", E::Udp}, {"arp", E::Arp});
SK_WORDS(spec::ClientKey, 3, {"on_addr", E::OnAddr}, {"on_port", E::OnPort}, {"on_ipid", E::OnIpid});
SK_WORDS(spec::Where, 3, {"alias", E::Alias}, {"one_side_alias", E::OneSideAlias}, {"one_side", E::OneSide});
SK_WORDS(spec::InterfaceType, 3, {"real", E::Real}, {"vmac_directed", E::VmacDirected},
         {"vmac_invisible", E::VmacInvisible});
SK_WORDS(spec::Durability, 3, {"barrier", E::Barrier}, {"fsync", E::Fsync}, {"write", E::Write});
SK_WORDS(spec::SecondaryAck, 2, {"received", E::Received}, {"durable", E::Durable});
SK_WORDS(spec::Snapshot, 3, {"auto", E::Auto}, {"always", E::Always}, {"never", E::Never});
SK_WORDS(spec::ReparsePoints, 2, {"cross", E::Cross}, {"nocross", E::NoCross});
SK_WORDS(spec::ScriptLogging, 2, {"userlog", E::UserLog}, {"none", E::None});
SK_WORDS(spec::HostnameWhen, 3, {"prim", E::Prim}, {"second", E::Second}, {"both", E::Both});
SK_WORDS(spec::When, 4, {"pre", E::Pre}, {"prim", E::Prim}, {"both", E::Both}, {"second", E::Second});
SK_WORDS(spec::CheckerAction, 5, {"noaction", E::NoAction}, {"wait", E::Wait}, {"restart", E::Restart},
         {"stopstart", E::StopStart}, {"stop", E::Stop});
#undef SK_WORDS

template <class E>
[[nodiscard]] constexpr std::string_view word(E value) {
  for (const auto& [text, known] : Words<E>::kAll) {
    if (known == value) return text;
  }
  return "?";
}

}  // namespace safekit::codec
