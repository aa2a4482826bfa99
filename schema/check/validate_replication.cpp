#include <fmt/format.h>

#include "schema/base/crontab.h"
#include "schema/check/judge.h"

namespace safekit::check {
namespace {

using spec::Module;
using spec::ReplicatedDirectory;
using spec::Replication;

constexpr std::uint64_t kZoneBytesMin = 4096;
constexpr Duration kVerifyEveryMin = hours{1};

bool is_absolute(std::string_view path, Platform platform) {
  if (platform == Platform::Linux) return path.starts_with('/');
  const bool drive = path.size() > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
  return drive || path.starts_with("\\\\");
}

/// With one `/` between the parts and none at the end, so that equal directories are equal texts.
std::string normal(std::string_view path) {
  std::string out;
  for (char c : path) {
    if (c == '\\') c = '/';
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

bool overlap(std::string_view a, std::string_view b) {
  const std::string first = normal(a) + "/";
  const std::string second = normal(b) + "/";
  return first.starts_with(second) || second.starts_with(first);
}

bool leaves_its_directory(std::string_view path) {
  const std::string parts = "/" + normal(path) + "/";
  return path.starts_with('/') || (path.size() > 1 && path[1] == ':') ||
         parts.find("/../") != std::string::npos;
}

void judge_inner_path(const Judge& judge, const std::string& at, std::string_view tag,
                      const std::string& path) {
  if (!leaves_its_directory(path)) return;
  judge.error(at, "relative-path",
              fmt::format("path '{}' of <{}> must stay inside the replicated directory", path, tag),
              "write it relative to the directory, without '..'");
}

void judge_directory(const Judge& judge, const ReplicatedDirectory& directory, const std::string& at,
                     Platform platform) {
  if (directory.path.empty()) return;  // reported as missing
  if (!is_absolute(directory.path, platform)) {
    judge.error(at + ".path", "absolute-path",
                fmt::format("replicated dir must be an absolute path, '{}' is not", directory.path));
  }
  if (platform == Platform::Linux && normal(directory.path) == "/") {
    judge.error(at + ".path", "root-directory", "/ is the root of a file system",
                "name a directory below it");
  }
  if (platform == Platform::Linux && directory.path.find_first_of(" \t\n") != std::string::npos) {
    judge.error(at + ".path", "space-in-path",
                fmt::format("replicated dir '{}' contains a space", directory.path), "rename the directory");
  }
  for (std::size_t i = 0; i < directory.not_replicated.size(); ++i) {
    const spec::NotReplicated& entry = directory.not_replicated[i];
    const std::string path = fmt::format("{}.notReplicated[{}]", at, i);
    if (entry.path.empty() == entry.regex.empty()) {
      judge.error(path, "not-replicated", "<notreplicated> needs either path or regexpath");
    }
    judge_inner_path(judge, path, "notreplicated", entry.path);
    judge_regex(judge, path, "notreplicated", entry.regex);
  }
  for (std::size_t i = 0; i < directory.to_check.size(); ++i) {
    judge_inner_path(judge, fmt::format("{}.toCheck[{}]", at, i), "tocheck", directory.to_check[i]);
  }
}

void judge_sizes(const Judge& judge, const Replication& replication) {
  if (replication.packet_size && replication.resync_packet_size &&
      *replication.resync_packet_size > *replication.packet_size) {
    judge.error("spec.replication.resyncPacketSize", "packet-size",
                "reipacketsize must not exceed packetsize");
  }
  const std::uint64_t packet = replication.resync_packet_size.value_or(0);
  if (replication.zone_size && packet != 0 && *replication.zone_size % packet != 0) {
    judge.error("spec.replication.zoneSize", "zone-size",
                "ruzone_blocksize must be a multiple of reipacketsize");
  }
  const std::uint64_t zone = zone_size_of(replication);
  if (zone < kZoneBytesMin || (zone & (zone - 1)) != 0) {
    judge.warning("spec.replication.zoneSize", "zone-size",
                  fmt::format("a zone of {} bytes is rounded up to a power of two of at least {}", zone,
                              kZoneBytesMin));
  }
  if (replication.write_back && replication.durability == spec::Durability::Write) {
    judge.error("spec.replication.writeBack", "durability",
                "with durability: write each call waits for the peer, with writeBack: true none reaches it; choose one");
  }
  if (replication.lost_writes_max == 0) {
    judge.warning("spec.replication.lostWritesMax", "lost-writes",
                  "with 0, what one node wrote alone is only named, not kept, when the other node's copy replaces it");
  }
  if (replication.snapshot == spec::Snapshot::Always) {
    judge.warning("spec.replication.snapshot", "snapshot",
                  "where the file system cannot share blocks, the secondary needs room for all data twice during a synchronisation");
  }
  if (replication.verify_every != Duration{} && replication.verify_every < kVerifyEveryMin) {
    judge.warning("spec.replication.verifyEvery", "verify-often",
                  "each verification reads all data on both nodes: more often than once an hour is a lot", "168h is once a week");
  }
  if (replication.write_flags != 0 && replication.write_flags != 0x10 && replication.write_flags != 0x10000) {
    judge.error("spec.replication.writeFlags", "invalid-value",
                fmt::format("invalid value '0x{:x}' for the attribute roflags (expected: 0x10|0x10000|0)", replication.write_flags));
  }
  if (replication.connections == 0) {
    judge.error("spec.replication.connections", "invalid-value", "nbremconn must be 1 or more");
  }
  if (replication.resync_threads == 0) {
    judge.error("spec.replication.resyncThreads", "invalid-value", "nbrei must be 1 or more");
  }
  if (replication.namespace_policy > 4 || replication.namespace_policy == 2) {
    judge.error("spec.replication.namespacePolicy", "invalid-value",
                fmt::format("invalid value '{}' for the attribute namespacepolicy (expected: 0|1|3|4)",
                            replication.namespace_policy));
  }
}

void judge_platform(const Judge& judge, const Replication& replication, Platform platform) {
  const Replication usual;
  const auto warn = [&](bool changed, std::string_view field, std::string_view attribute) {
    if (!changed) return;
    judge.warning(fmt::format("spec.replication.{}", field), "no-effect",
                  fmt::format("attribute {} has no effect on this system", attribute));
  };
  if (platform == Platform::Linux) {
    warn(replication.io_timeout != usual.io_timeout, "ioTimeout", "iotimeout");
    warn(replication.preallocate_gb != usual.preallocate_gb, "preallocateGb", "allocthreshold");
    warn(replication.reparse_points != usual.reparse_points, "reparsePoints", "nfsbox_options");
    const bool windows_policy = replication.namespace_policy == 1 || replication.namespace_policy == 3;
    if (windows_policy) {
      judge.warning(
          "spec.replication.namespacePolicy", "no-effect",
          fmt::format("namespacepolicy {} is for Windows: 4 is taken", replication.namespace_policy));
    }
    return;
  }
  warn(replication.packet_size.has_value(), "packetSize", "packetsize");
  warn(replication.resync_commit != usual.resync_commit, "resyncCommit", "reicommit");
  warn(replication.check_timeout != usual.check_timeout, "checkTimeout", "checktime");
  warn(replication.check_interval != usual.check_interval, "checkInterval", "checkintv");
  warn(replication.mount_over_suffix != usual.mount_over_suffix, "mountOverSuffix", "mountoversuffix");
}

void judge_schedule(const Judge& judge, const std::string& sync_at, Platform platform) {
  if (sync_at.empty()) return;
  if (platform == Platform::Linux) {
    const auto crontab = Crontab::parse(sync_at);
    if (crontab) return;
    judge.warning("spec.replication.syncAt", "syncat", fmt::format("syncat names no date, {}", crontab.error().what),
                  "minute hour day month weekday, as in '30 1 * * *'");
  } else if (sync_at.find("/SC") == std::string::npos) {
    judge.warning("spec.replication.syncAt", "syncat", "syncat has no /SC option of schtasks");
  }
}

void judge_others(const Judge& judge, const Module& module, const Surroundings& around,
                  const ReplicatedDirectory& directory, const std::string& at) {
  for (const Module* other : around.others) {
    if (!other->replication || other->metadata.name == module.metadata.name || !share_a_node(module, *other))
      continue;
    for (const ReplicatedDirectory& used : other->replication->directories) {
      if (!overlap(directory.path, used.path)) continue;
      judge.error(at + ".path", "directory-in-use",
                  fmt::format("{} already replicated by module {}", directory.path, other->metadata.name));
    }
  }
}

}  // namespace

void judge_replication(const Judge& judge, const Module& module, const Surroundings& around) {
  if (!module.replication) return;
  const Replication& replication = *module.replication;
  if (replication.directories.empty()) {
    judge.error("spec.replication", "no-directory", "at least one <replicated> required in <rfs>");
  }
  for (std::size_t i = 0; i < replication.directories.size(); ++i) {
    const ReplicatedDirectory& directory = replication.directories[i];
    const std::string at = fmt::format("spec.replication.directories[{}]", i);
    judge_directory(judge, directory, at, around.platform);
    for (std::size_t k = 0; k < i; ++k) {
      const std::string& before = replication.directories[k].path;
      if (directory.path.empty() || !overlap(directory.path, before)) continue;
      judge.error(at + ".path", "directories-overlap",
                  fmt::format("{} and {} overlap", before, directory.path));
    }
    if (!directory.path.empty()) judge_others(judge, module, around, directory, at);
  }
  judge_sizes(judge, replication);
  judge_platform(judge, replication, around.platform);
  judge_schedule(judge, replication.sync_at, around.platform);
}

}  // namespace safekit::check
