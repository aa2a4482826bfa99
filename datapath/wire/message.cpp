#include "datapath/wire/message.h"

#include "datapath/wire/fields.h"

namespace safekit::wire {

namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // Clang 14, of the fuzzer, does not find it by itself

/// Numbers of the operations on the wire (docs/wire.md).
enum class OperationType : std::uint8_t {
  Bind = 1, Create, Link, Remove, Rename, Write, Fallocate, SetAttributes, SetXattr, Sync, Forget,
};

void put(ByteWriter& out, const Operation& operation) {
  const auto type = [&](OperationType value) { out.u8(static_cast<std::uint8_t>(value)); };
  std::visit(Overloaded{
                 [&](const Bind& op) {
                   type(OperationType::Bind);
                   out.u64(op.id.value);
                   put(out, op.at);
                   out.u64(op.identity);
                 },
                 [&](const Create& op) {
                   type(OperationType::Create);
                   out.u64(op.parent.value);
                   out.text(op.name);
                   out.u64(op.id.value);
                   put(out, op.attributes);
                   out.text(op.link_target);
                   out.u64(op.identity);
                 },
                 [&](const Link& op) {
                   type(OperationType::Link);
                   out.u64(op.id.value);
                   out.u64(op.parent.value);
                   out.text(op.name);
                 },
                 [&](const Remove& op) {
                   type(OperationType::Remove);
                   out.u64(op.parent.value);
                   out.text(op.name);
                   out.u8(op.directory ? 1 : 0);
                 },
                 [&](const Rename& op) {
                   type(OperationType::Rename);
                   out.u64(op.id.value);
                   out.u64(op.parent.value);
                   out.text(op.name);
                   out.u64(op.new_parent.value);
                   out.text(op.new_name);
                   out.u32(op.flags);
                 },
                 [&](const Write& op) {
                   type(OperationType::Write);
                   out.u64(op.id.value);
                   out.u64(op.offset);
                   out.u32(op.size);
                 },
                 [&](const Fallocate& op) {
                   type(OperationType::Fallocate);
                   out.u64(op.id.value);
                   out.u32(op.mode);
                   out.u64(op.offset);
                   out.u64(op.length);
                 },
                 [&](const SetAttributes& op) {
                   type(OperationType::SetAttributes);
                   out.u64(op.id.value);
                   out.u32(op.mask);
                   put(out, op.attributes);
                 },
                 [&](const SetXattr& op) {
                   type(OperationType::SetXattr);
                   out.u64(op.id.value);
                   out.text(op.name);
                   out.text(op.value);
                   out.u8(op.remove ? 1 : 0);
                 },
                 [&](const Sync& op) {
                   type(OperationType::Sync);
                   out.u64(op.id.value);
                   out.u8(op.data_only ? 1 : 0);
                 },
                 [&](const Forget& op) {
                   type(OperationType::Forget);
                   out.u64(op.id.value);
                 },
             },
             operation);
}

Result<Operation> take_operation(ByteReader& in, BytesView& data) {
  const auto type = static_cast<OperationType>(in.u8());
  switch (type) {
    case OperationType::Bind: {
      Bind op;
      op.id = take_id(in);
      op.at = take_path(in);
      op.identity = in.u64();
      return Operation{std::move(op)};
    }
    case OperationType::Create: {
      Create op;
      op.parent = take_id(in);
      op.name = take_name(in);
      op.id = take_id(in);
      op.attributes = take_attributes(in);
      op.link_target = in.text(kPathBytesMax);
      op.identity = in.u64();
      return Operation{std::move(op)};
    }
    case OperationType::Link: {
      Link op;
      op.id = take_id(in);
      op.parent = take_id(in);
      op.name = take_name(in);
      return Operation{std::move(op)};
    }
    case OperationType::Remove: {
      Remove op;
      op.parent = take_id(in);
      op.name = take_name(in);
      op.directory = in.u8() != 0;
      return Operation{std::move(op)};
    }
    case OperationType::Rename: {
      Rename op;
      op.id = take_id(in);
      op.parent = take_id(in);
      op.name = take_name(in);
      op.new_parent = take_id(in);
      op.new_name = take_name(in);
      op.flags = in.u32();
      return Operation{std::move(op)};
    }
    case OperationType::Write: {
      Write op;
      op.id = take_id(in);
      op.offset = in.u64();
      op.size = in.u32();
      data = in.raw(op.size);
      return Operation{op};
    }
    case OperationType::Fallocate: {
      Fallocate op;
      op.id = take_id(in);
      op.mode = in.u32();
      op.offset = in.u64();
      op.length = in.u64();
      return Operation{op};
    }
    case OperationType::SetAttributes: {
      SetAttributes op;
      op.id = take_id(in);
      op.mask = in.u32();
      op.attributes = take_attributes(in);
      return Operation{op};
    }
    case OperationType::SetXattr: {
      SetXattr op;
      op.id = take_id(in);
      op.name = in.text(kNameBytesMax);
      op.value = in.text(kXattrBytesMax);
      op.remove = in.u8() != 0;
      return Operation{std::move(op)};
    }
    case OperationType::Sync: {
      Sync op;
      op.id = take_id(in);
      op.data_only = in.u8() != 0;
      return Operation{op};
    }
    case OperationType::Forget: return Operation{Forget{.id = take_id(in)}};
  }
  return Error{Code::Corrupt, fmt::format("operation of unknown type {}", static_cast<int>(type))};
}

void put_generations(ByteWriter& out, const std::vector<DataGeneration>& list) {
  out.u32(static_cast<std::uint32_t>(list.size()));
  for (const DataGeneration& generation : list) out.u64(generation.value);
}

std::vector<DataGeneration> take_generations(ByteReader& in) {
  std::vector<DataGeneration> list(take_count(in, 8));
  for (DataGeneration& generation : list) generation.value = in.u64();
  return list;
}

void put(ByteWriter& out, const LogPoint& point) {
  out.u64(point.id);
  out.u64(point.checkpoint);
}

LogPoint take_log_point(ByteReader& in) {
  LogPoint point;
  point.id = in.u64();
  point.checkpoint = in.u64();
  return point;
}

void put(ByteWriter& out, const Hello& value) {
  out.u32(value.protocol);
  out.u32(value.oldest);
  out.text(value.cluster_id);
  out.text(value.module);
  out.text(value.node);
  out.u8(value.primary ? 1 : 0);
  out.u64(value.current.value);
  out.u64(value.base.value);
  put_generations(out, value.history);
  out.u8(value.exact ? 1 : 0);
  out.u8(value.up_to_date ? 1 : 0);
  out.u8(value.inconsistent ? 1 : 0);
  out.u8(value.full_wanted ? 1 : 0);
  out.u8(value.sync_durable ? 1 : 0);
  out.u32(value.zone_bytes);
  out.u32(value.root_count);
  put(out, value.base_log);
  put(out, value.own_log);
  out.u8(static_cast<std::uint8_t>(value.outside));
  out.i64(value.since);
}

constexpr std::uint32_t kFirstWithOldest = 3;  ///< protocol whose Hello says what it speaks at least

Hello take_hello(ByteReader& in) {
  Hello value;
  value.protocol = in.u32();
  value.oldest = value.protocol >= kFirstWithOldest ? in.u32() : value.protocol;
  if (value.protocol < kFirstWithOldest || value.oldest > kProtocolVersion) {
    // Of such a one only these numbers are promised to be readable; the caller refuses the peer by them.
    (void)in.raw(in.rest().size());
    return value;
  }
  value.cluster_id = in.text();
  value.module = in.text();
  value.node = in.text();
  value.primary = in.u8() != 0;
  value.current.value = in.u64();
  value.base.value = in.u64();
  value.history = take_generations(in);
  value.exact = in.u8() != 0;
  value.up_to_date = in.u8() != 0;
  value.inconsistent = in.u8() != 0;
  value.full_wanted = in.u8() != 0;
  value.sync_durable = in.u8() != 0;
  value.zone_bytes = in.u32();
  value.root_count = in.u32();
  value.base_log = take_log_point(in);
  value.own_log = take_log_point(in);
  const std::uint8_t outside = in.u8();
  value.outside = outside <= static_cast<std::uint8_t>(Outside::Unknown) ? static_cast<Outside>(outside) : Outside::Unknown;
  value.since = in.i64();
  if (value.protocol > kProtocolVersion) (void)in.raw(in.rest().size());  // what a later release has appended
  return value;
}

void put(ByteWriter& out, const InodeState& value) {
  out.u64(value.id.value);
  put(out, value.attributes);
  put_xattrs(out, value.xattrs);
  out.u8(value.with_content ? 1 : 0);
}

InodeState take_inode_state(ByteReader& in, BytesView& data) {
  InodeState value;
  value.id = take_id(in);
  value.attributes = take_attributes(in);
  value.xattrs = take_xattrs(in);
  value.with_content = in.u8() != 0;
  if (value.with_content) data = in.raw(value.attributes.size);
  return value;
}

void put(ByteWriter& out, const ZoneDigests& value) {
  out.u64(value.id.value);
  out.u64(value.first);
  put_digests(out, value.digests);
}

ZoneDigests take_zone_digests(ByteReader& in) {
  ZoneDigests value;
  value.id = take_id(in);
  value.first = in.u64();
  value.digests = take_digests(in);
  return value;
}

ListingAnswer take_listing_answer(ByteReader& in) {
  ListingAnswer value;
  value.sequence = take_sequence(in);
  value.fates.resize(take_count(in, 1));
  for (EntryFate& fate : value.fates) {
    const std::uint8_t number = in.u8();
    // An unknown fate is the careful one: compare.
    fate = number <= static_cast<std::uint8_t>(EntryFate::Alike) ? static_cast<EntryFate>(number) : EntryFate::Compare;
  }
  return value;
}

Result<Message> take(FrameType type, ByteReader& in, BytesView& data) {
  switch (type) {
    case FrameType::Hello: return Message{take_hello(in)};
    case FrameType::Refuse: return Message{Refuse{.reason = in.text()}};
    case FrameType::Heartbeat: return Message{Heartbeat{}};
    case FrameType::Change: {
      SK_TRY(auto operation, take_operation(in, data));
      return Message{std::move(operation)};
    }
    case FrameType::ResyncBegin: {
      const std::uint8_t mode = in.u8();
      if (mode > static_cast<std::uint8_t>(ResyncMode::Chosen)) return Error{Code::Corrupt, "unknown way to synchronise"};
      return Message{ResyncBegin{.mode = static_cast<ResyncMode>(mode)}};
    }
    case FrameType::Listing: return Message{take_listing(in)};
    case FrameType::InodeState: return Message{take_inode_state(in, data)};
    case FrameType::ZoneDigests: return Message{take_zone_digests(in)};
    case FrameType::ResyncEnd: {
      ResyncEnd value;
      value.current.value = in.u64();
      value.history = take_generations(in);
      value.log = take_log_point(in);
      value.verify = in.u8() != 0;
      return Message{std::move(value)};
    }
    case FrameType::Detach: return Message{Detach{}};
    case FrameType::SyncAll: return Message{SyncAll{}};
    case FrameType::Checkpoint: return Message{Checkpoint{.log = take_log_point(in)}};
    case FrameType::Active: return Message{take_active(in)};
    case FrameType::VerifyNames: return Message{take_verify_names(in)};
    case FrameType::VerifyState: return Message{take_verify_state(in)};
    case FrameType::VerifyZones: return Message{take_verify_zones(in)};
    case FrameType::VerifyAnswer: return Message{take_verify_answer(in)};
    case FrameType::Verified: return Message{Verified{.fault = in.text()}};
    case FrameType::Question: return Message{Question{.number = in.u64()}};
    case FrameType::Promise: {
      Promise value;
      value.heard = in.i64();
      value.answered = in.u64();
      value.answered_at = in.i64();
      value.length = in.i64();
      return Message{value};
    }
    case FrameType::Confirm: return Message{Confirm{}};
    case FrameType::Received: return Message{Received{.sequence = take_sequence(in)}};
    case FrameType::Acknowledge: return Message{Acknowledge{.received = take_sequence(in)}};
    case FrameType::Durable: return Message{Durable{.sequence = take_sequence(in)}};
    case FrameType::ListingAnswer: return Message{take_listing_answer(in)};
    case FrameType::ZonesWanted: {
      ZonesWanted value;
      value.sequence = take_sequence(in);
      value.wanted.resize(take_count(in, 4));
      for (std::uint32_t& position : value.wanted) position = in.u32();
      return Message{std::move(value)};
    }
    case FrameType::ResyncEndAnswer: {
      ResyncEndAnswer value;
      value.sequence = take_sequence(in);
      value.leftovers.resize(take_count(in, 8));
      for (InodeId& id : value.leftovers) id = take_id(in);
      return Message{std::move(value)};
    }
    case FrameType::Failed: return Message{Failed{.reason = in.text()}};
  }
  return Error{Code::Corrupt, "frame of unknown type"};
}

}  // namespace

std::string_view name_of(ResyncMode mode) {
  switch (mode) {
    case ResyncMode::None: return "nothing";
    case ResyncMode::Zones: return "zones";
    case ResyncMode::Full: return "full";
    case ResyncMode::Chosen: return "chosen";
  }
  return "unknown";
}

FrameType type_of(const Message& message) {
  constexpr std::array kTypes{
      FrameType::Hello,       FrameType::Refuse,      FrameType::Heartbeat,   FrameType::Change,
      FrameType::ResyncBegin, FrameType::Listing,     FrameType::InodeState,  FrameType::ZoneDigests,
      FrameType::ResyncEnd,   FrameType::Detach,      FrameType::SyncAll,     FrameType::Acknowledge, FrameType::Durable,
      FrameType::ListingAnswer, FrameType::ZonesWanted, FrameType::ResyncEndAnswer, FrameType::Failed,
      FrameType::Checkpoint,  FrameType::Active,      FrameType::VerifyNames, FrameType::VerifyState,
      FrameType::VerifyZones, FrameType::VerifyAnswer, FrameType::Verified,    FrameType::Question, FrameType::Promise,
      FrameType::Confirm,     FrameType::Received};
  static_assert(kTypes.size() == std::variant_size_v<Message>);
  return kTypes[message.index()];
}

Bytes encode(const Operation& operation) {
  ByteWriter out;
  put(out, operation);
  return out.take();
}

void append_message(Bytes& out, const Message& message, BytesView data) {
  ByteWriter body;
  std::visit(Overloaded{
                 [&](const Hello& value) { put(body, value); },
                 [&](const Refuse& value) { body.text(value.reason); },
                 [&](const Heartbeat&) {},
                 [&](const Operation& value) { put(body, value); },
                 [&](const ResyncBegin& value) { body.u8(static_cast<std::uint8_t>(value.mode)); },
                 [&](const Listing& value) { put(body, value); },
                 [&](const InodeState& value) { put(body, value); },
                 [&](const ZoneDigests& value) { put(body, value); },
                 [&](const ResyncEnd& value) {
                   body.u64(value.current.value);
                   put_generations(body, value.history);
                   put(body, value.log);
                   body.u8(value.verify ? 1 : 0);
                 },
                 [&](const Detach&) {},
                 [&](const SyncAll&) {},
                 [&](const Acknowledge& value) { body.u64(value.received.value); },
                 [&](const Durable& value) { body.u64(value.sequence.value); },
                 [&](const ListingAnswer& value) {
                   body.u64(value.sequence.value);
                   body.u32(static_cast<std::uint32_t>(value.fates.size()));
                   for (const EntryFate fate : value.fates) body.u8(static_cast<std::uint8_t>(fate));
                 },
                 [&](const ZonesWanted& value) {
                   body.u64(value.sequence.value);
                   body.u32(static_cast<std::uint32_t>(value.wanted.size()));
                   for (const std::uint32_t position : value.wanted) body.u32(position);
                 },
                 [&](const ResyncEndAnswer& value) {
                   body.u64(value.sequence.value);
                   body.u32(static_cast<std::uint32_t>(value.leftovers.size()));
                   for (const InodeId id : value.leftovers) body.u64(id.value);
                 },
                 [&](const Failed& value) { body.text(value.reason); },
                 [&](const Checkpoint& value) { put(body, value.log); },
                 [&](const Active& value) { put(body, value); },
                 [&](const VerifyNames& value) { put(body, value); },
                 [&](const VerifyState& value) { put(body, value); },
                 [&](const VerifyZones& value) { put(body, value); },
                 [&](const VerifyAnswer& value) { put(body, value); },
                 [&](const Verified& value) { body.text(value.fault); },
                 [&](const Question& value) { body.u64(value.number); },
                 [&](const Promise& value) {
                   body.i64(value.heard);
                   body.u64(value.answered);
                   body.i64(value.answered_at);
                   body.i64(value.length);
                 },
                 [&](const Confirm&) {},
                 [&](const Received& value) { body.u64(value.sequence.value); },
             },
             message);
  append_frame(out, type_of(message), body.bytes(), data);
}

Result<Message> decode(const FrameView& frame, BytesView& data) {
  ByteReader in{frame.payload};
  data = {};
  SK_TRY(auto message, take(frame.type, in, data));
  if (!in.ok() || !in.at_end()) {
    return Error{Code::Corrupt, fmt::format("frame of type {} with a wrong length", static_cast<int>(frame.type))};
  }
  return message;
}

}  // namespace safekit::wire
