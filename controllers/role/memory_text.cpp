#include "controllers/role/memory_text.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

#include "schema/base/bytes.h"
#include "schema/base/digest.h"

namespace safekit::role {
namespace {

constexpr std::uint32_t kVersion = 8;
/// Without what came in 4 (syncAt), 5 (the limit of actions), 6 (module checkers), 7 (leases) and 8 (fencing).
constexpr std::uint32_t kVersionOldest = 3;
constexpr std::uint32_t kCountMax = 10'000;

/// One description of the layout for both directions: `Writer` and `Reader` visit the same fields in the same order.
class Writer {
 public:
  void boolean(const bool& value) { out_.u8(value ? 1 : 0); }
  void number(const std::uint64_t& value) { out_.u64(value); }
  void number32(const std::uint32_t& value) { out_.u32(value); }
  void signed_number(const std::int64_t& value) { out_.i64(value); }
  void text(const std::string& value) { out_.text(value); }
  template <class E>
  void enumerator(const E& value, E) {
    out_.u8(static_cast<std::uint8_t>(value));
  }
  template <class C>
  std::uint32_t count(const C& container) {
    out_.u32(static_cast<std::uint32_t>(container.size()));
    return static_cast<std::uint32_t>(container.size());
  }
  static constexpr bool kReads = false;
  ByteWriter out_{};
};

class Reader {
 public:
  explicit Reader(BytesView bytes) : in_(bytes) {}
  void boolean(bool& value) { value = in_.u8() != 0; }
  void number(std::uint64_t& value) { value = in_.u64(); }
  void number32(std::uint32_t& value) { value = in_.u32(); }
  void signed_number(std::int64_t& value) { value = in_.i64(); }
  void text(std::string& value) { value = in_.text(); }
  template <class E>
  void enumerator(E& value, E last) {
    const std::uint8_t raw = in_.u8();
    if (raw > static_cast<std::uint8_t>(last)) bad_ = true;
    value = bad_ ? E{} : static_cast<E>(raw);
  }
  template <class C>
  std::uint32_t count(C& container) {
    container.clear();
    const std::uint32_t size = in_.u32();
    if (size > kCountMax) bad_ = true;
    return bad_ || !in_.ok() ? 0 : size;
  }
  [[nodiscard]] bool ok() const { return in_.ok() && in_.at_end() && !bad_; }
  static constexpr bool kReads = true;

 private:
  ByteReader in_;
  bool bad_{false};
};

template <class V>
void visit_classes(V& v, auto& classes) {
  const std::uint32_t size = v.count(classes);
  if constexpr (V::kReads) {
    for (std::uint32_t i = 0; i < size; ++i) {
      WatchClass one{};
      v.enumerator(one, WatchClass::Sec);
      classes.insert(one);
    }
  } else {
    for (const WatchClass one : classes) v.enumerator(one, WatchClass::Sec);
  }
}

template <class V>
void visit_texts(V& v, auto& texts) {
  const std::uint32_t size = v.count(texts);
  if constexpr (V::kReads) texts.resize(size);
  for (auto& text : texts) v.text(text);
}

template <class V>
void visit_order(V& v, auto& order) {
  v.enumerator(order.role, ReplicaOrder::Role::Secondary);
  v.boolean(order.may_be_alone);
  v.boolean(order.mark_out_of_date);
  v.number(order.pairing);
  v.boolean(order.force_up_to_date);
  v.boolean(order.full_resync);
}

template <class V>
void visit_order_of_leases(V& v, auto& order) {
  v.boolean(order.by_lease);
  v.boolean(order.peer_left);
}

template <class V>
void visit_limit(V& v, auto& duration) {
  std::int64_t ns = duration.count();
  v.signed_number(ns);
  if constexpr (V::kReads) duration = Duration{ns};
}

template <class V>
void visit_section(V& v, auto& s) {
  v.enumerator(s.role, Role::Up);
  v.enumerator(s.readiness, Readiness::Ready);
  v.signed_number(s.since.ns);
  v.text(s.reason);
  v.text(s.waiting_for);
  v.boolean(s.paired);
  v.boolean(s.in_service_hand_over);
  v.boolean(s.wants_primary);
  v.boolean(s.came_from_second);
  v.boolean(s.swap_requested);
  v.boolean(s.out_of_date_requested);
  v.number(s.asked_pairing);
  bool has_script = s.script.has_value();
  v.boolean(has_script);
  if (has_script) {
    if constexpr (V::kReads) s.script.emplace();
    v.number(s.script->run);
    v.text(s.script->name);
    visit_texts(v, s.script->arguments);
    visit_limit(v, s.script->time_limit);
  }
  visit_order(v, s.replica);
  v.boolean(s.addresses_wanted);
  visit_classes(v, s.watched);
  v.number32(s.loop_count);
}

template <class V>
struct StepFields {
  V& v;
  void operator()(auto& step) const {
    using T = std::remove_cvref_t<decltype(step)>;
    if constexpr (std::is_same_v<T, EnterState>) {
      v.enumerator(step.role, Role::Up);
      v.enumerator(step.readiness, Readiness::Ready);
    } else if constexpr (std::is_same_v<T, RunScript>) {
      v.text(step.name);
      visit_texts(v, step.arguments);
      visit_limit(v, step.limit);
    } else if constexpr (std::is_same_v<T, Watch>) {
      visit_classes(v, step.classes);
    } else if constexpr (std::is_same_v<T, OrderReplica>) {
      visit_order(v, step.order);
    } else {
      v.boolean(step.wanted);
    }
  }
};

Step empty_step(std::uint32_t index) {
  static const std::array<Step, std::variant_size_v<Step>> kEmpty{EnterState{}, RunScript{}, Watch{},
                                                                  OrderReplica{}, SetAddresses{}};
  return kEmpty[index];
}

template <class V>
void visit_steps(V& v, auto& steps) {
  const std::uint32_t size = v.count(steps);
  if constexpr (V::kReads) {
    for (std::uint32_t i = 0; i < size; ++i) {
      std::uint32_t index = 0;
      v.number32(index);
      if (index >= std::variant_size_v<Step>) return;  // the size that is left over makes the whole text Corrupt
      Step step = empty_step(index);
      std::visit(StepFields<V>{v}, step);
      steps.push_back(std::move(step));
    }
  } else {
    for (const Step& step : steps) {
      v.number32(static_cast<std::uint32_t>(step.index()));
      std::visit(StepFields<V>{v}, step);
    }
  }
}

template <class V>
void visit_memory(V& v, auto& m, std::uint32_t version) {
  visit_section(v, m.section);
  visit_steps(v, m.steps);
  v.boolean(m.started);
  v.boolean(m.stopping);
  v.boolean(m.start_again);
  v.enumerator(m.intent, Intent::PrimForce);
  v.boolean(m.full_resync);
  v.boolean(m.head_begun);
  v.boolean(m.last_primary);
  v.boolean(m.held_by_failover_off);
  v.boolean(m.newcomer);
  v.boolean(m.newcomer_was_primary);
  v.boolean(m.split_brain_noted);
  v.signed_number(m.doubted.ns);
  v.text(m.stop_word);
  v.number(m.runs);
  v.number(m.errd_seen);
  v.number(m.failover_seen);
  v.signed_number(m.loop_began.ns);
  v.boolean(m.stop_requested);
  v.boolean(m.stop_requested_again);
  v.boolean(m.forced);
  v.text(m.fault);
  if (version < 4) return;
  v.boolean(m.sync_due);
  v.signed_number(m.sync_looked.ns);
  if (version < 5) return;
  v.signed_number(m.loop_last.ns);
  v.boolean(m.loop_exceeded);
  v.boolean(m.reboot);
  visit_texts(v, m.section.evidence);
  if (version < 6) return;
  v.signed_number(m.section.serving_since.ns);
  if (version < 7) return;
  v.enumerator(m.section.lease, LeaseNeed::Needed);
  v.enumerator(m.alone_by, AloneBy::Hand);
  v.boolean(m.gives_way);
  v.boolean(m.section.lease_by_hand);
  visit_order_of_leases(v, m.section.replica);
  for (auto& step : m.steps) {
    if (auto* replica = std::get_if<OrderReplica>(&step)) visit_order_of_leases(v, replica->order);
  }
  if (version < 8) return;
  v.boolean(m.section.may_fence);
}

}  // namespace

std::string to_text(const Memory& memory) {
  Writer writer;
  visit_memory(writer, memory, kVersion);
  std::string text = fmt::format("{} {:08x} ", kVersion, checksum32(writer.out_.bytes()));
  for (const std::uint8_t byte : writer.out_.bytes()) text += fmt::format("{:02x}", byte);
  return text;
}

Result<Memory> memory_from_text(std::string_view text) {
  const Error corrupt{Code::Corrupt, "the stored state of the module is not one of this version"};
  std::uint32_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  const auto begin = static_cast<std::size_t>(end - text.data()) + 1;
  const bool known = error == std::errc{} && version >= kVersionOldest && version <= kVersion;
  if (!known || text.size() < begin + 9 || text[begin - 1] != ' ') return corrupt;
  const std::string_view sum = text.substr(begin, 8);
  const std::string_view digits = text.substr(begin + 9);
  const auto value_of = [](char digit) { return digit >= 'a' ? digit - 'a' + 10 : digit - '0'; };
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(value_of(digits[i]) * 16 + value_of(digits[i + 1])));
  }
  if (fmt::format("{:08x}", checksum32(bytes)) != sum) return corrupt;
  Reader reader{bytes};
  Memory memory;
  visit_memory(reader, memory, version);
  if (!reader.ok()) return corrupt;
  return memory;
}

}  // namespace safekit::role
