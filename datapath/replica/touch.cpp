#include "datapath/replica/touch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>

namespace safekit::replica {

namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // Clang 14, of the fuzzer, does not find it by itself

}  // namespace

Touch touch_of(const wire::Operation& operation) {
  constexpr auto what = [](int bits) { return static_cast<std::uint8_t>(bits); };
  return std::visit(
      Overloaded{
          [](const wire::Bind&) { return Touch{}; },
          [&](const wire::Create& op) {
            return Touch{.what = what(Touch::kEntries | Touch::kWhole), .id = op.id, .parent = op.parent};
          },
          [&](const wire::Link& op) {
            return Touch{.what = what(Touch::kEntries | Touch::kWhole), .id = op.id, .parent = op.parent};
          },
          [&](const wire::Remove& op) { return Touch{.what = Touch::kEntries, .parent = op.parent}; },
          [&](const wire::Rename& op) {
            const int exchange = (op.flags & RENAME_EXCHANGE) != 0 ? Touch::kBothWhole : 0;
            return Touch{.what = what(Touch::kEntries | Touch::kWhole | exchange),
                         .id = op.id,
                         .parent = op.parent,
                         .new_parent = op.new_parent};
          },
          [&](const wire::Write& op) {
            return Touch{.what = Touch::kContent, .id = op.id, .offset = op.offset, .size = op.size};
          },
          [&](const wire::Fallocate& op) {
            // Collapsing or inserting moves all that is behind it.
            const bool moves = (op.mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0;
            return Touch{.what = what(Touch::kContent | Touch::kAttributes),
                         .id = op.id,
                         .offset = op.offset,
                         .size = moves ? UINT64_MAX : op.length};
          },
          [&](const wire::SetAttributes& op) {
            const bool cut = (op.mask & wire::SetAttributes::kSize) != 0;
            // What lay behind a new, smaller end is gone; grown again later it must read as zeros on the peer too.
            return Touch{.what = what(Touch::kAttributes | (cut ? Touch::kContent : 0)),
                         .id = op.id,
                         .offset = op.attributes.size,
                         .size = cut ? UINT64_MAX : 0};
          },
          [&](const wire::SetXattr& op) { return Touch{.what = Touch::kAttributes, .id = op.id}; },
          [](const wire::Sync&) { return Touch{}; },
          [](const wire::Forget& op) { return Touch{.what = Touch::kForget, .id = op.id}; },
      },
      operation);
}

std::array<InodeId, 2> needed_ids(const wire::Operation& operation) {
  using Ids = std::array<InodeId, 2>;
  return std::visit(Overloaded{
                        [](const wire::Bind&) { return Ids{}; },
                        [](const wire::Create& op) { return Ids{op.parent, {}}; },
                        [](const wire::Link& op) { return Ids{op.id, op.parent}; },
                        [](const wire::Remove& op) { return Ids{op.parent, {}}; },
                        [](const wire::Rename& op) { return Ids{op.parent, op.new_parent}; },
                        [](const wire::Forget&) { return Ids{}; },
                        [](const auto& op) { return Ids{op.id, {}}; },
                    },
                    operation);
}

bool changes_names(const wire::Operation& operation) {
  return std::holds_alternative<wire::Create>(operation) || std::holds_alternative<wire::Link>(operation) ||
         std::holds_alternative<wire::Remove>(operation) || std::holds_alternative<wire::Rename>(operation);
}

}  // namespace safekit::replica
