// What others write to the copy of a secondary.
#include "datapath/role_driver_roles.h"

namespace safekit {
namespace {

constexpr const char* kLog = "replicad";

}  // namespace

void RoleDriver::watch_secondary(SecondaryRole& role, const control::Configure& configure, const replica::Exclusions& exclusions) {
  const bool watched = configure.write_flags != 0;
  if (watched && outside_ == nullptr) {
    outside_ = std::make_shared<replica::OutsideChanges>(replica::OutsideChanges::Options{}, ports_.clock, ports_.log);
  }
  role.secondary->expect(outside_);
  if (!watched) return;
  role.stops_for_writes = (configure.write_flags & control::kStopsForWrites) != 0;
  replica::Secondary& secondary = *role.secondary;
  role.watch = std::make_unique<replica::OutsideWatch>(
      replica::OutsideWatch::Options{.roots = role.applier->root_descriptors(),
                                     .paths = role.paths,
                                     .exclusions = exclusions,
                                     .compares = !role.stops_for_writes},
      outside_, journal_, ports_.clock, ports_.log,
      replica::OutsideWatch::Tasks{.changed = changed_, .compare = [&secondary] { return secondary.meet_again(); }});
  if (const Status started = role.watch->start(); !started) {
    ports_.log.write(LogLevel::Warning, kLog, fmt::format("watch=off reason='{}': what others write to this copy is found by rfsverify "
                                                          "and at the next start only", started.error().what));
    role.watch.reset();
    return;
  }
  role.secondary->expect(outside_, [watch = role.watch.get()] { watch->drain(); });
}

void RoleDriver::report_writes(const SecondaryRole& role, control::Report& report) {
  if (!role.watch) return;
  const replica::OutsideWrites found = role.watch->found();
  report.outside_writes = found.count;
  report.outside_last = found.last;
  if (found.count == 0 || !role.stops_for_writes) return;
  report.fatal = true;
  report.problem = fmt::format("{} changed this copy, which only the replication may do (roflags=0x10000); keep others away from it, then "
                               "start the module again", found.last);
}

}  // namespace safekit
