#include "controllers/lease/plan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace safekit::lease {
namespace {

using Section = status::LeaseSection;
using Need = status::LeaseNeed;

struct Pass {
  const Desired& desired;
  MonoTime now{};
  Plan plan{};

  Memory& memory() { return plan.memory; }
  Section& section() { return plan.memory.section; }
  [[nodiscard]] bool is_fence() const { return grants() && desired.lease.place.kind == WitnessPlace::Kind::Fence; }
  [[nodiscard]] bool grants() const { return desired.witness == Section::Witness::Grants; }
  /// What was said so far counts.
  [[nodiscard]] bool is_open() const { return desired.need >= Need::Stands; }
  /// It is asked, and renewed.
  [[nodiscard]] bool asks() const { return desired.need == Need::Wanted || desired.need == Need::Needed; }

  void close();
  void hear(const Answer& answer);
  void hear_of_giving_back(const Answer& answer);
  void give_back();
  void take(const LeaseReply& reply, MonoTime asked);
  void fail(const std::string& why);
  void look_at_time();
  void look_at_hearing();
  void ask();
  void recheck_at(MonoTime moment) {
    const Duration after = std::max(moment - now, Duration{});
    if (!plan.recheck_after || after < *plan.recheck_after) plan.recheck_after = after;
  }
};

bool is_for(const LeaseAsk& a, const LeaseAsk& b) { return a.place == b.place && a.name == b.name && a.holder == b.holder; }

/// Nothing is asked, and what was said counts no more.
void Pass::close() {
  if (section().answer != Section::Answer::NotAsked) {
    memory().under_way = 0;  // a lease that is not renewed is not believed in again, whatever an answer says
    memory().next = {};
  }
  memory().held = {};
  memory().last_error.clear();
  section() = Section{.witness = desired.witness};
}

void Pass::hear(const Answer& answer) {
  if (answer.number != memory().under_way) return;
  memory().under_way = 0;
  if (grants() && !is_for(memory().asked_for, desired.lease)) return;  // of the witness before; it is believed no longer than it was
  if (desired.need == Need::GivenBack) return hear_of_giving_back(answer);
  if (!answer.reply) return fail(answer.reply.error().what);
  take(*answer.reply, memory().asked);
}

/// By its id, which a witness knows again: a message that comes late takes no later lease away.
void Pass::hear_of_giving_back(const Answer& answer) {
  LeaseAsk& giving = memory().giving_back;
  if (!answer.reply) {
    giving = {};
    memory().next = now + kGiveBackAgain;
  } else if (!giving.id.empty() || !answer.reply->granted) {
    giving = {};
    memory().next = now + kLookAgain;
  } else {
    giving = desired.lease;
    giving.id = answer.reply->id;
  }
}

void Pass::give_back() {
  if (!grants()) return;
  if (memory().under_way == 0 && now >= memory().next) {
    memory().under_way = ++memory().asks;
    memory().asked_for = desired.lease;
    memory().asked_for.only_mine = true;
    const Ask ask{.number = memory().under_way, .limit = kAskLimit};
    (memory().giving_back.id.empty() ? plan.ask : plan.release) = ask;
  }
  if (memory().under_way == 0) recheck_at(memory().next);
}

void Pass::take(const LeaseReply& reply, MonoTime asked) {
  if (!reply.granted) {
    memory().held = {};
    memory().next = now + kAskLater;
    section().until = {};
    section().answer = reply.holder.empty() ? Section::Answer::Silent : Section::Answer::Refused;
    section().detail = reply.detail;
    return;
  }
  if (!grants()) {
    section() = Section{.witness = desired.witness, .answer = Section::Answer::Granted};
    return;
  }
  const MonoTime until = asked + reply.length - reply.length / kDriftParts;
  memory().held = desired.lease;
  memory().held.id = reply.id;
  if (until <= now) return fail("its answer came when the lease was over");
  memory().next = asked + reply.length / 3;
  memory().last_error.clear();
  // Who asked for its own may have been told of what it had before the other node was heard.
  const bool spent = is_fence() && (section().spent || memory().asked_for.only_mine);
  section() = Section{.witness = desired.witness, .answer = Section::Answer::Granted, .until = until, .spent = spent};
}

void Pass::fail(const std::string& why) {
  memory().last_error = why;
  const bool known = section().answer == Section::Answer::Silent || section().answer == Section::Answer::Refused;
  memory().next = now + (known ? kAskLater : kAskAgain);
  if (known) section() = Section{.witness = desired.witness, .answer = Section::Answer::Silent, .detail = why};
}

/// What runs out.
void Pass::look_at_time() {
  const auto silent = [this](const std::string& what) {
    section() = Section{.witness = desired.witness, .answer = Section::Answer::Silent, .detail = what};
  };
  const std::string& why = memory().last_error;
  if (section().answer == Section::Answer::Granted && grants()) {
    if (now < section().until) return;
    if (!why.empty() || !asks()) return silent(fmt::format("the lease ran out: {}", why.empty() ? "it was not renewed" : why));
    // This process was stopped for so long: what may need the lease knows that it has ended, and it may well be had again.
    section() = Section{.witness = desired.witness, .answer = Section::Answer::Asked};
    memory().first_asked = now;
  } else if (section().answer == Section::Answer::Asked) {
    if (now >= memory().first_asked + desired.patience) silent(why.empty() ? "no answer yet" : why);
  }
}

/// A node that was switched off and is heard again may become complete, and then may not be passed over: before this one goes on without
/// it anew, it is to be switched off anew. What was said to a question for its own only says nothing of whether that can be done.
void Pass::look_at_hearing() {
  if (!is_fence()) return;
  const bool is_granted = section().answer == Section::Answer::Granted;
  const bool is_no = section().answer == Section::Answer::Silent || section().answer == Section::Answer::Refused;
  if (is_granted && desired.hearing == Hearing::Now) section().spent = true;
  const bool holds_too_little = (is_granted && section().spent) || (is_no && memory().asked_for.only_mine);
  if (!holds_too_little || desired.lease.only_mine) return;
  memory().held = {};
  memory().next = memory().first_asked = now;
  section() = Section{.witness = desired.witness, .answer = Section::Answer::Asked};
}

void Pass::ask() {
  const bool is_open = section().answer == Section::Answer::NotAsked || section().answer == Section::Answer::Asked;
  if (!grants() && !is_open) return;  // the verdict stands
  if (section().answer == Section::Answer::NotAsked) {
    section() = Section{.witness = desired.witness, .answer = Section::Answer::Asked};
    memory().first_asked = now;
    memory().next = now;
    memory().under_way = 0;  // one that was about giving back
  }
  if (memory().under_way == 0 && now >= memory().next) {
    memory().under_way = ++memory().asks;
    memory().asked = now;
    memory().asked_for = desired.lease;
    if (is_for(memory().held, desired.lease)) memory().asked_for.id = memory().held.id;
    const Duration limit = grants() ? std::min(kAskLimit, desired.lease.length / 4) : kEchoLimit;
    plan.ask = Ask{.number = memory().under_way, .limit = limit};
  }
  if (memory().under_way == 0) recheck_at(memory().next);
  if (section().answer == Section::Answer::Asked) recheck_at(memory().first_asked + desired.patience);
  if (section().answer == Section::Answer::Granted) recheck_at(section().until);
}

}  // namespace

std::string other_node(const spec::Module& module, const std::string& node) {
  const auto found = std::ranges::find_if(module.nodes, [&](const NodeName& one) { return one.str() != node; });
  return found == module.nodes.end() ? "" : found->str();
}

Desired desire(const spec::Module* module, const status::RoleSection& role, const std::string& node, const std::string& cluster_id,
               Hearing hearing) {
  Desired desired{.need = role.lease, .hearing = hearing};
  const auto replicates = [&] { return module->replication && !module->replication->directories.empty(); };
  if (module == nullptr || !module->checkers.has_witness()) return desired;
  const spec::SplitBrainChecker& witness = *module->checkers.split_brain;
  if (const auto kind = witness_kind(witness.exec)) {
    desired.witness = Section::Witness::Grants;
    desired.lease = {.place = {.kind = *kind, .addresses = witness.witnesses},
                     .name = fmt::format("safekit/{}/{}", cluster_id, module->metadata.name),
                     .holder = node,
                     .length = witness.lease,
                     .succeeds = role.lease_by_hand || !replicates()};
    if (*kind == WitnessPlace::Kind::Fence) {
      desired.lease.place.other_node = other_node(*module, node);
      desired.lease.serves = status::is_serving(role.role);
      // A node that was stopped in order, or is heard, is not switched off.
      desired.lease.only_mine = desired.need != Need::Needed || hearing != Hearing::Lost || !role.may_fence;
      // Of a no nothing follows while the other one is heard.
      if (hearing == Hearing::Now && desired.need == Need::Needed) desired.need = Need::Wanted;
      desired.patience = kFenceLimit + seconds{5};
    }
  } else {
    desired.witness = Section::Witness::Reachable;
    desired.echoes = witness.witnesses;
  }
  return desired;
}

Plan decide(const Desired& desired, const std::optional<Answer>& answer, Memory memory, MonoTime now) {
  Pass pass{.desired = desired, .now = now};
  pass.plan.memory = std::move(memory);
  Section& section = pass.section();
  if (section.witness != desired.witness || !pass.is_open()) pass.close();
  if (answer) pass.hear(*answer);
  if (desired.need == Need::GivenBack) pass.give_back();
  if (desired.need != Need::GivenBack) pass.memory().giving_back = {};
  if (pass.is_open() && desired.witness != Section::Witness::None) {
    // Another witness: the lease of the old one is good while it lasts, and the new one is asked at once.
    if (!pass.memory().held.id.empty() && !is_for(pass.memory().held, desired.lease)) {
      pass.memory().held = {};
      pass.memory().next = now;
    }
    pass.look_at_time();
    pass.look_at_hearing();
    if (pass.asks()) pass.ask();
  }
  const std::string_view after = value_of(section, desired.need);
  const std::string before = std::exchange(pass.memory().told, std::string{after});
  if (before != after && after != "init") {
    const bool up = after == "up";
    pass.plan.lines.push_back({up ? 'I' : 'E', fmt::format("Resource splitbrain.uptodate set to {} by splitbraincheck", after)});
    if (!up) pass.plan.lines.push_back({'E', fmt::format("The witness does not let this node go on alone: {}", section.detail)});
  }
  return std::move(pass.plan);
}

std::string_view value_of(const Section& section, Need need) {
  const bool matters = need == Need::Needed || need == Need::Stands;
  if (!matters && section.answer != Section::Answer::Granted) return "init";
  switch (section.answer) {
    case Section::Answer::NotAsked:
    case Section::Answer::Asked: return "init";
    case Section::Answer::Granted: return "up";
    case Section::Answer::Refused:
    case Section::Answer::Silent: return "down";
  }
  return "init";
}

}  // namespace safekit::lease
