#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "datapath/wire/frame.h"
#include "datapath/wire/operation.h"
#include "schema/base/digest.h"
#include "schema/base/ids.h"

namespace safekit::wire {

/// A moment in a log of activity (datapath/journal/activity_log.h); id 0: none.
struct LogPoint {
  std::uint64_t id{0};
  std::uint64_t checkpoint{0};
  friend bool operator==(const LogPoint&, const LogPoint&) = default;
};

/// What others changed in a secondary's copy while it was not served.
enum class Outside : std::uint8_t {
  Nothing,
  Listed,   ///< in Active, behind the Hello
  Unknown,  ///< it cannot be told: everything may differ
};

/// First frame of each side. Who I am and what my copy is (datapath/journal/data_generations.h).
struct Hello {
  std::uint32_t protocol{kProtocolVersion};
  std::uint32_t oldest{kProtocolOldest};
  std::string cluster_id{};
  std::string module{};
  std::string node{};
  bool primary{false};
  DataGeneration current{};
  DataGeneration base{};
  std::vector<DataGeneration> history{};
  bool exact{false};         ///< this copy holds exactly what its generation says (orderly end, or never left the stream)
  bool up_to_date{false};
  bool inconsistent{false};
  bool full_wanted{false};   ///< the next synchronisation must compare everything
  bool sync_durable{false};  ///< Sync is answered when it is on disk (`secondaryAck: durable`); the primary's wish
  std::uint32_t zone_bytes{0};
  std::uint32_t root_count{0};
  LogPoint base_log{};  ///< this copy differs from that moment of the peer's log by what the logs say; none: not known
  LogPoint own_log{};   ///< what it did as a primary is in this log; a secondary sends it behind its Hello (Active)
  Outside outside{Outside::Nothing};
  std::int64_t since{0};  ///< of a secondary: only files that were changed since, ns of 1970, are to be looked into; 0: all
  friend bool operator==(const Hello&, const Hello&) = default;
};
/// What a secondary has touched as a primary, or others in its copy, in one or more frames behind its Hello.
struct ActiveEntry {
  TreePath at{};
  bool outside{false};  ///< by others, while it was not served
  bool attributes{false};
  bool names{false};  ///< of a directory: entries; what is not a directory in it is to be compared
  std::uint64_t groups_from{UINT64_MAX};  ///< of 64 zones each: all of these, to the end
  std::vector<std::pair<std::uint64_t, std::uint64_t>> groups{};  ///< words of 64: number and bits
  std::vector<std::string> trees{};  ///< of a directory: entries under which everything is to be compared
  friend bool operator==(const ActiveEntry&, const ActiveEntry&) = default;
};
struct Active {
  bool last{true};
  std::vector<ActiveEntry> entries{};
  friend bool operator==(const Active&, const Active&) = default;
};
struct Refuse {
  std::string reason{};
  friend bool operator==(const Refuse&, const Refuse&) = default;
};
struct Heartbeat {
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

/// A primary that may acknowledge only as long as it is promised to asks now and then, so that both clocks can be compared.
struct Question {
  std::uint64_t number{0};  ///< from 1 on each connection
  friend bool operator==(const Question&, const Question&) = default;
};
/// The secondary will not act as primary before `heard` + `length`. All in ns, of its own clock that counts from its boot.
struct Promise {
  std::int64_t heard{0};        ///< it read something of the primary last; the present while it works on that
  std::uint64_t answered{0};    ///< the last Question that it has read,
  std::int64_t answered_at{0};  ///< and when
  std::int64_t length{0};
  friend bool operator==(const Promise&, const Promise&) = default;
};

enum class ResyncMode : std::uint8_t {
  None,
  Zones,
  Full,
  Chosen,  ///< all names and attributes; content of what the primary picks, and of what is not Alike
};
[[nodiscard]] std::string_view name_of(ResyncMode mode);
/// The secondary marks itself inconsistent and out of date on disk (not for None), then answers Durable.
struct ResyncBegin {
  ResyncMode mode{ResyncMode::None};
  friend bool operator==(const ResyncBegin&, const ResyncBegin&) = default;
};
struct ListingEntry {
  std::string name{};
  InodeId id{};
  std::uint64_t identity{0};
  std::uint32_t mode{0};
  std::uint64_t device{0};
  std::uint32_t links{1};  ///< how many names the inode has
  std::string link_target{};
  std::uint64_t size{0};
  TimeSpec mtime{};
  friend bool operator==(const ListingEntry&, const ListingEntry&) = default;
};
/// The entries that a directory has at this point of the stream. `complete`: all of them, over frames up to `last`; what
/// is not named is removed. Not complete: only that these entries are there.
struct Listing {
  InodeId directory{};
  bool complete{true};
  bool last{true};
  std::vector<ListingEntry> entries{};
  friend bool operator==(const Listing&, const Listing&) = default;
};
/// What an inode is at this point of the stream, but for its entries. Xattrs not named are removed. Of a small regular file also
/// the content: `attributes.size` bytes behind the frame.
struct InodeState {
  InodeId id{};
  Attributes attributes{};
  bool with_content{false};
  std::vector<std::pair<std::string, std::string>> xattrs{};
  friend bool operator==(const InodeState&, const InodeState&) = default;
};
struct ZoneDigests {
  InodeId id{};
  std::uint64_t first{0};  ///< zone index of digests[0]
  std::vector<Digest128> digests{};
  friend bool operator==(const ZoneDigests&, const ZoneDigests&) = default;
};
/// Everything has been sent. Answered by ResyncEndAnswer; without leftovers the secondary is then up to date, on disk.
struct ResyncEnd {
  DataGeneration current{};
  std::vector<DataGeneration> history{};
  LogPoint log{};  ///< of the primary: what it touches from now on is in it
  bool verify{false};  ///< the primary compares the copies next; Verified says how that ends
  friend bool operator==(const ResyncEnd&, const ResyncEnd&) = default;
};
/// The primary leaves in order. Answered by Durable when all is on disk and noted.
struct Detach {
  friend bool operator==(const Detach&, const Detach&) = default;
};
/// Everything applied so far is to be put on disk, beside the stream. Answered by Durable.
struct SyncAll {
  friend bool operator==(const SyncAll&, const SyncAll&) = default;
};

/// As SyncAll; when all is on disk the secondary notes, on disk, that this checkpoint of the primary's log is behind it.
struct Checkpoint {
  LogPoint log{};
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

/// Verification: what the primary has at this point of the stream. The secondary looks at what it has there, changes nothing and
/// answers each (of the names the last frame) by VerifyAnswer. By path, so that no id is bound to what may not be there.
enum Differs : std::uint16_t {
  kMissing = 1,     ///< not there on the secondary
  kAdditional = 2,  ///< only there
  kKind = 4,        ///< another type of inode
  kMode = 8,
  kOwner = 16,
  kSize = 32,
  kMtime = 64,
  kTarget = 128,  ///< of a symbolic link
  kDevice = 256,
  kXattrs = 512,
  kContent = 1024,
  kUnreadable = 2048,  ///< the secondary cannot read it
};
struct VerifyNames {
  TreePath at{};
  bool last{true};  ///< the names may come in several frames
  std::vector<std::pair<std::string, std::uint32_t>> entries{};  ///< name and type (S_IFMT)
  friend bool operator==(const VerifyNames&, const VerifyNames&) = default;
};
struct VerifyState {
  TreePath at{};
  bool with_mtime{true};
  Attributes attributes{};
  std::string link_target{};
  std::vector<std::pair<std::string, std::string>> xattrs{};  ///< sorted
  friend bool operator==(const VerifyState&, const VerifyState&) = default;
};
struct VerifyZones {
  TreePath at{};
  bool exact{false};  ///< as it is at this point of the stream, else at some time after it
  std::uint64_t first{0};
  std::vector<Digest128> digests{};
  friend bool operator==(const VerifyZones&, const VerifyZones&) = default;
};
struct VerifyAnswer {
  SequenceNumber sequence{};
  std::uint16_t differs{0};  ///< Differs, of the inode itself
  std::vector<std::uint32_t> zones{};  ///< positions in the digests
  std::vector<std::pair<std::string, std::uint16_t>> names{};  ///< of a directory, with Differs; kVerifyNamesMax at most
  bool more_names{false};
  friend bool operator==(const VerifyAnswer&, const VerifyAnswer&) = default;
};

/// The end of the verification that ResyncEnd announced.
struct Verified {
  std::string fault{};  ///< this copy must not be used; empty: it may
  friend bool operator==(const Verified&, const Verified&) = default;
};

/// A call waits for what was sent before this. Answered by Received, where that is not applied yet.
struct Confirm {
  friend bool operator==(const Confirm&, const Confirm&) = default;
};
/// All up to `sequence` is here, and is going to be applied whatever becomes of the connection; or this copy is marked out of date.
struct Received {
  SequenceNumber sequence{};
  friend bool operator==(const Received&, const Received&) = default;
};
/// All up to `received` is applied.
struct Acknowledge {
  SequenceNumber received{};
  friend bool operator==(const Acknowledge&, const Acknowledge&) = default;
};
/// What frame `sequence` asked for is on disk.
struct Durable {
  SequenceNumber sequence{};
  friend bool operator==(const Durable&, const Durable&) = default;
};
enum class EntryFate : std::uint8_t {
  Kept,     ///< was there already
  Fresh,    ///< newly made, empty
  Compare,  ///< taken from somewhere else: its content is unknown
  Alike,    ///< was there already, with the size and time of change that the listing says; only in ResyncMode::Chosen
};
struct ListingAnswer {
  SequenceNumber sequence{};  ///< of the last frame of the listing
  std::vector<EntryFate> fates{};
  friend bool operator==(const ListingAnswer&, const ListingAnswer&) = default;
};
struct ZonesWanted {
  SequenceNumber sequence{};  ///< of the ZoneDigests frame
  std::vector<std::uint32_t> wanted{};  ///< positions in its digests
  friend bool operator==(const ZonesWanted&, const ZonesWanted&) = default;
};
/// Inodes on which operations could not be applied before they were synchronised, and which still need it.
struct ResyncEndAnswer {
  SequenceNumber sequence{};
  std::vector<InodeId> leftovers{};
  friend bool operator==(const ResyncEndAnswer&, const ResyncEndAnswer&) = default;
};
/// The secondary could not apply the stream; it is marked out of date on disk. The connection ends.
struct Failed {
  std::string reason{};
  friend bool operator==(const Failed&, const Failed&) = default;
};

inline constexpr std::size_t kActiveEntriesMax = 500'000;  ///< of all frames together
inline constexpr std::size_t kListingEntriesMax = 4096;
inline constexpr std::size_t kZoneDigestsMax = 4096;
inline constexpr std::size_t kVerifyNamesMax = 1000;

using Message = std::variant<Hello, Refuse, Heartbeat, Operation, ResyncBegin, Listing, InodeState, ZoneDigests, ResyncEnd,
                             Detach, SyncAll, Acknowledge, Durable, ListingAnswer, ZonesWanted, ResyncEndAnswer, Failed,
                             Checkpoint, Active, VerifyNames, VerifyState, VerifyZones, VerifyAnswer, Verified, Question, Promise,
                             Confirm, Received>;

[[nodiscard]] FrameType type_of(const Message& message);
[[nodiscard]] Bytes encode(const Operation& operation);
/// Appends the message as a frame; `data` only with a Write, and an InodeState with its content.
void append_message(Bytes& out, const Message& message, BytesView data = {});
/// `data` is set to the bytes behind a Write or an InodeState. Errors: Corrupt.
Result<Message> decode(const FrameView& frame, BytesView& data);

}  // namespace safekit::wire
