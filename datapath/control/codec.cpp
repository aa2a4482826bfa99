#include "datapath/control/codec.h"

namespace safekit::control {

namespace {

enum class Type : std::uint8_t { Configure = 1, Want = 2, Report = 3, Inspect = 4, Inspection = 5, Lease = 6 };

void put_flags(ByteWriter& out, std::initializer_list<bool> flags) {
  for (const bool flag : flags) out.u8(flag ? 1 : 0);
}
void take_flags(ByteReader& in, std::initializer_list<bool*> flags) {
  for (bool* flag : flags) *flag = in.u8() != 0;
}
/// An enumerator not above `last`; a larger number is a broken message.
template <class Enum>
Enum take_enum(ByteReader& in, Enum last) {
  const std::uint8_t value = in.u8();
  if (value > static_cast<std::uint8_t>(last)) {
    (void)in.raw(SIZE_MAX);  // marks the reader as failed
    return Enum{};
  }
  return static_cast<Enum>(value);
}

void put(ByteWriter& out, const Configure& value) {
  for (const std::string* text : {&value.module, &value.node, &value.peer, &value.cluster_id, &value.listen_address,
                                  &value.peer_address, &value.certificate_file, &value.key_file, &value.authority_file}) {
    out.text(*text);
  }
  out.u16(value.port);
  out.u32(static_cast<std::uint32_t>(value.directories.size()));
  for (const ReplicaDirectory& directory : value.directories) {
    out.text(directory.path);
    out.u32(static_cast<std::uint32_t>(directory.must_exist.size()));
    for (const std::string& path : directory.must_exist) out.text(path);
    out.u32(static_cast<std::uint32_t>(directory.not_replicated.size()));
    for (const NotReplicated& rule : directory.not_replicated) {
      out.text(rule.path);
      out.text(rule.regex);
    }
  }
  out.u8(static_cast<std::uint8_t>(value.durability));
  out.u8(static_cast<std::uint8_t>(value.secondary_ack));
  for (const Duration time : {value.send_timeout, value.lock_timeout, value.resync_timeout}) out.i64(time.count());
  out.u32(value.zone_bytes);
  out.u32(value.resync_workers);
  out.u8(value.write_back ? 1 : 0);
  out.u64(value.lost_bytes_max);
  out.u8(value.verify_after_resync ? 1 : 0);
  out.u32(value.write_flags);
  out.u64(value.policy.number);
  out.u8(static_cast<std::uint8_t>(value.policy.mode));
  out.text(value.policy.uid);
  out.u8(value.policy.detect ? 1 : 0);
  out.i64(value.policy.chosen);
  out.i64(value.policy.setting);
  out.u64(value.resync_rate);
  put_flags(out, {value.uses_zones, value.resync_detail});
  out.u8(static_cast<std::uint8_t>(value.snapshot));
  out.u32(value.connections);
  out.i64(value.silence.count());
  out.u8(value.leased ? 1 : 0);
  out.i64(value.promise.count());
  out.u32(static_cast<std::uint32_t>(value.guarded.size()));
  for (const GuardedAddress& guarded : value.guarded) {
    out.text(guarded.address);
    out.text(guarded.interface);
  }
  out.u8(value.idle_poll ? 1 : 0);
}

Configure take_configure(ByteReader& in) {
  Configure value;
  for (std::string* text : {&value.module, &value.node, &value.peer, &value.cluster_id, &value.listen_address,
                            &value.peer_address, &value.certificate_file, &value.key_file, &value.authority_file}) {
    *text = in.text();
  }
  value.port = in.u16();
  const std::uint32_t directories = in.u32();
  for (std::uint32_t i = 0; i < directories && in.ok(); ++i) {
    ReplicaDirectory directory;
    directory.path = in.text();
    const std::uint32_t checks = in.u32();
    for (std::uint32_t k = 0; k < checks && in.ok(); ++k) directory.must_exist.push_back(in.text());
    const std::uint32_t rules = in.u32();
    for (std::uint32_t k = 0; k < rules && in.ok(); ++k) {
      NotReplicated rule;
      rule.path = in.text();
      rule.regex = in.text();
      directory.not_replicated.push_back(std::move(rule));
    }
    value.directories.push_back(std::move(directory));
  }
  value.durability = take_enum(in, Durability::Write);
  value.secondary_ack = take_enum(in, SecondaryAck::Durable);
  for (Duration* time : {&value.send_timeout, &value.lock_timeout, &value.resync_timeout}) *time = Duration{in.i64()};
  value.zone_bytes = in.u32();
  value.resync_workers = in.u32();
  value.write_back = in.u8() != 0;
  value.lost_bytes_max = in.u64();
  value.verify_after_resync = in.u8() != 0;
  value.write_flags = in.u32();
  value.policy.number = in.u64();
  value.policy.mode = take_enum(in, SyncPolicy::Mode::Date);
  value.policy.uid = in.text();
  value.policy.detect = in.u8() != 0;
  value.policy.chosen = in.i64();
  value.policy.setting = in.i64();
  value.resync_rate = in.u64();
  take_flags(in, {&value.uses_zones, &value.resync_detail});
  if (in.at_end()) return value;  // of the release before, as in take_report
  value.snapshot = take_enum(in, Snapshot::Always);
  value.connections = in.u32();
  if (in.at_end()) return value;
  value.silence = Duration{in.i64()};
  if (in.at_end()) return value;
  value.leased = in.u8() != 0;
  value.promise = Duration{in.i64()};
  const std::uint32_t guarded = in.u32();
  for (std::uint32_t i = 0; i < guarded && in.ok(); ++i) {
    GuardedAddress address;
    address.address = in.text();
    address.interface = in.text();
    value.guarded.push_back(std::move(address));
  }
  if (in.at_end()) return value;
  value.idle_poll = in.u8() != 0;
  return value;
}

void put(ByteWriter& out, const Want& value) {
  out.u64(value.order);
  out.u8(static_cast<std::uint8_t>(value.role));
  put_flags(out, {value.may_be_alone, value.mark_out_of_date, value.force_up_to_date, value.full_resync});
  out.u64(value.pairing);
  put_flags(out, {value.by_lease, value.peer_left});
}

Want take_want(ByteReader& in) {
  Want value;
  value.order = in.u64();
  value.role = take_enum(in, ReplicaRole::Secondary);
  take_flags(in, {&value.may_be_alone, &value.mark_out_of_date, &value.force_up_to_date, &value.full_resync});
  value.pairing = in.u64();
  if (in.at_end()) return value;
  take_flags(in, {&value.by_lease, &value.peer_left});
  return value;
}

void put(ByteWriter& out, const Lease& value) {
  out.i64(value.until.ns);
  out.u8(value.refused ? 1 : 0);
}

Lease take_lease(ByteReader& in) {
  Lease value;
  value.until.ns = in.i64();
  value.refused = in.u8() != 0;
  return value;
}

void put(ByteWriter& out, const Report& value) {
  out.u64(value.order);
  out.u8(static_cast<std::uint8_t>(value.role));
  put_flags(out, {value.settled, value.configured, value.up_to_date, value.inconsistent, value.ever_synchronised,
                  value.has_data, value.last_primary, value.connected, value.peer_synchronised, value.waiting_for_alone,
                  value.diverged, value.fatal, value.replaceable, value.full_wanted, value.unverified});
  out.u8(static_cast<std::uint8_t>(value.phase));
  for (const std::uint64_t number : {value.files_total, value.files_done, value.bytes_copied, value.zones_dirty,
                                     value.generation.value, value.pairing, value.bytes_compared, value.policy}) {
    out.u64(number);
  }
  for (const std::string* text : {&value.problem, &value.policy_refused, &value.backup}) out.text(*text);
  out.u64(value.outside_writes);
  out.text(value.outside_last);
  for (const std::uint64_t number : {value.traffic.written, value.traffic.received, value.traffic.sent, value.directories_total,
                                     value.directories_done, value.bytes_total, value.bytes_done}) {
    out.u64(number);
  }
  put_flags(out, {value.scanning, value.restorable, value.frozen});
}

Report take_report(ByteReader& in) {
  Report value;
  value.order = in.u64();
  value.role = take_enum(in, ReplicaRole::Secondary);
  take_flags(in, {&value.settled, &value.configured, &value.up_to_date, &value.inconsistent, &value.ever_synchronised,
                  &value.has_data, &value.last_primary, &value.connected, &value.peer_synchronised,
                  &value.waiting_for_alone, &value.diverged, &value.fatal, &value.replaceable, &value.full_wanted,
                  &value.unverified});
  value.phase = take_enum(in, SyncPhase::Done);
  for (std::uint64_t* number : {&value.files_total, &value.files_done, &value.bytes_copied, &value.zones_dirty,
                                &value.generation.value, &value.pairing, &value.bytes_compared, &value.policy}) {
    *number = in.u64();
  }
  for (std::string* text : {&value.problem, &value.policy_refused, &value.backup}) *text = in.text();
  value.outside_writes = in.u64();
  value.outside_last = in.text();
  if (in.at_end()) return value;  // of the release before: a replica outlives the daemon that started it
  for (std::uint64_t* number : {&value.traffic.written, &value.traffic.received, &value.traffic.sent, &value.directories_total,
                                &value.directories_done, &value.bytes_total, &value.bytes_done}) {
    *number = in.u64();
  }
  take_flags(in, {&value.scanning, &value.restorable});
  if (in.at_end()) return value;
  take_flags(in, {&value.frozen});
  return value;
}

void put(ByteWriter& out, const Inspect& value) {
  out.u64(value.number);
  out.u8(static_cast<std::uint8_t>(value.kind));
  out.u8(static_cast<std::uint8_t>(value.cause));
  out.u64(value.bytes_per_second);
}

Inspect take_inspect(ByteReader& in) {
  Inspect value;
  value.number = in.u64();
  value.kind = take_enum(in, Inspect::Kind::Stop);
  value.cause = take_enum(in, Inspect::Cause::Resync);
  value.bytes_per_second = in.u64();
  return value;
}

void put(ByteWriter& out, const Inspection& value) {
  out.u64(value.number);
  out.u8(static_cast<std::uint8_t>(value.kind));
  out.u8(static_cast<std::uint8_t>(value.cause));
  out.u8(static_cast<std::uint8_t>(value.state));
  out.text(value.reason);
  for (const std::uint64_t number : {value.files, value.directories, value.bytes, value.compared_bytes, value.bytes_per_second}) {
    out.u64(number);
  }
  put_flags(out, {value.ended_early, value.everything, value.compares_more});
  out.u32(static_cast<std::uint32_t>(value.differences.size()));
  for (const CopyDifference& difference : value.differences) {
    out.text(difference.path);
    out.text(difference.what);
  }
}

Inspection take_inspection(ByteReader& in) {
  Inspection value;
  value.number = in.u64();
  value.kind = take_enum(in, Inspect::Kind::Stop);
  value.cause = take_enum(in, Inspect::Cause::Resync);
  value.state = take_enum(in, Inspection::State::Failed);
  value.reason = in.text();
  for (std::uint64_t* number :
       {&value.files, &value.directories, &value.bytes, &value.compared_bytes, &value.bytes_per_second}) {
    *number = in.u64();
  }
  take_flags(in, {&value.ended_early, &value.everything, &value.compares_more});
  const std::uint32_t differences = in.u32();
  for (std::uint32_t i = 0; i < differences && in.ok(); ++i) {
    CopyDifference difference;
    difference.path = in.text();
    difference.what = in.text();
    value.differences.push_back(std::move(difference));
  }
  return value;
}

}  // namespace

Bytes encode(const Message& message) {
  ByteWriter body;
  if (const auto* configure = std::get_if<Configure>(&message)) {
    body.u8(static_cast<std::uint8_t>(Type::Configure));
    put(body, *configure);
  } else if (const auto* want = std::get_if<Want>(&message)) {
    body.u8(static_cast<std::uint8_t>(Type::Want));
    put(body, *want);
  } else if (const auto* inspect = std::get_if<Inspect>(&message)) {
    body.u8(static_cast<std::uint8_t>(Type::Inspect));
    put(body, *inspect);
  } else if (const auto* inspection = std::get_if<Inspection>(&message)) {
    body.u8(static_cast<std::uint8_t>(Type::Inspection));
    put(body, *inspection);
  } else if (const auto* lease = std::get_if<Lease>(&message)) {
    body.u8(static_cast<std::uint8_t>(Type::Lease));
    put(body, *lease);
  } else {
    body.u8(static_cast<std::uint8_t>(Type::Report));
    put(body, std::get<Report>(message));
  }
  ByteWriter out;
  out.blob(body.bytes());
  return out.take();
}

Result<std::optional<Message>> take_message(Bytes& buffer) {
  std::optional<Message> message;
  while (!message && buffer.size() >= 4) {
    ByteReader head{buffer};
    const std::size_t size = head.u32();
    if (size == 0 || size > kMessageBytesMax) return Error{Code::Corrupt, "control message of a wrong length"};
    if (head.rest().size() < size) break;
    ByteReader in{head.raw(size)};
    switch (static_cast<Type>(in.u8())) {
      case Type::Configure: message = take_configure(in); break;
      case Type::Want: message = take_want(in); break;
      case Type::Report: message = take_report(in); break;
      case Type::Inspect: message = take_inspect(in); break;
      case Type::Inspection: message = take_inspection(in); break;
      case Type::Lease: message = take_lease(in); break;
      default: break;  // of a later release
    }
    // What is left was appended by a later release.
    if (!in.ok()) return Error{Code::Corrupt, "control message that cannot be read"};
    buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(4 + size));
  }
  return message;
}

}  // namespace safekit::control
