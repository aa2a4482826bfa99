#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schema/base/ids.h"
#include "schema/base/time.h"

namespace safekit::spec {

/// When a writer on the primary goes on (design.md 7). XML has no word for it: there it is Barrier.
enum class Durability { Barrier, Fsync, Write };
/// When the secondary answers: it has the data (`async="second"`), or its disk has (`async="none"`).
enum class SecondaryAck { Received, Durable };
/// Is the last consistent copy of a secondary kept while a synchronisation changes it? Auto: where the file system can share blocks.
enum class Snapshot { Auto, Always, Never };
enum class ReparsePoints { Cross, NoCross };

/// `<notreplicated>`: exactly one of the two is set.
struct NotReplicated {
  std::string path{};   ///< relative to the directory
  std::string regex{};  ///< POSIX extended, searched in a name; a leading `!` replicates only what matches
  friend bool operator==(const NotReplicated&, const NotReplicated&) = default;
};

/// `<replicated>`: one directory, the same path on both nodes. The secondary's copy is read-only.
struct ReplicatedDirectory {
  std::string path{};
  std::vector<NotReplicated> not_replicated{};
  std::vector<std::string> to_check{};  ///< relative paths that must exist before replication starts
  friend bool operator==(const ReplicatedDirectory&, const ReplicatedDirectory&) = default;
};

inline constexpr std::uint32_t kConnectionsMax = 16;  ///< that are used (datapath/linux/bundle.h)

/// `<rfs>`, mirror only. A value. `secondary_ack` here is the default of YAML and JSON; XML keeps SafeKit's
/// Received. Source: spec/config.md 2.8 and 4.2; the XML name is given where ours differs.
struct Replication {
  std::vector<ReplicatedDirectory> directories{};
  Durability durability{Durability::Barrier};
  SecondaryAck secondary_ack{SecondaryAck::Durable};  ///< async
  bool write_back{false};                             ///< no name in XML; lets writes stay in the page cache until fsync or close
  bool idle_poll{true};                               ///< no name in XML; processors do not sleep while calls come one after another
  std::uint64_t lost_writes_max{4ULL << 30};          ///< no name in XML; bytes on a node of what was written there alone and overwritten
  Snapshot snapshot{Snapshot::Auto};                  ///< no name in XML
  bool verify_after_resync{false};                    ///< verify; the secondary is Ready when a verification has followed
  Duration verify_every{};                            ///< verifyevery, ours; both copies are compared so often; 0: only when asked for
  std::uint32_t verify_rate_kb{20'000};               ///< verifybw, ours; KB/s read for that on each node; 0: no limit
  LanName lan{};                                      ///< flow; empty: see defaults.h, flow_lan
  std::vector<std::string> legacy_flow_servers{};     ///< flow/server
  std::string mount_over_suffix{"_For_SafeKit_Replication"};
  bool acl{false};
  std::optional<std::uint64_t> packet_size{};         ///< bytes
  std::optional<std::uint64_t> resync_packet_size{};  ///< reipacketsize, bytes
  std::optional<std::uint64_t> zone_size{};           ///< ruzone_blocksize, bytes (defaults.h, zone_size_of)
  Duration lock_timeout{seconds{100}};
  Duration send_timeout{seconds{30}};
  std::uint32_t resync_threads{6};                     ///< nbrei
  std::uint32_t namespace_policy{4};                   ///< 0: whole files, else zones
  Duration resync_timeout{seconds{150}};               ///< reitimeout
  std::uint32_t resync_commit{0};                      ///< reicommit, blocks of resync_packet_size
  bool resync_detail{false};                           ///< reidetail
  std::uint32_t connections{1};                        ///< nbremconn
  Duration check_timeout{milliseconds{220000}};        ///< checktime
  Duration check_interval{seconds{120}};               ///< checkintv
  bool callbacks{false};                               ///< scripts
  std::optional<std::uint64_t> resync_bandwidth_kb{};  ///< reiallowedbw, KB/s; unset: no limit
  Duration sync_delta{};                               ///< up to one minute: ignored
  std::string sync_at{};                               ///< crontab fields; empty: a continuous secondary
  std::uint32_t write_flags{0x10};                     ///< roflags; 0x10000: stops the secondary; 0, ours: it is not watched
  Duration io_timeout{seconds{300}};                   ///< Windows only, as are the next two
  std::uint32_t preallocate_gb{0};                     ///< allocthreshold
  ReparsePoints reparse_points{ReparsePoints::Cross};  ///< nfsbox_options
  friend bool operator==(const Replication&, const Replication&) = default;
};

}  // namespace safekit::spec
