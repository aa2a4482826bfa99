#include <charconv>

#include <fmt/format.h>

#include "controllers/replication/plan.h"

namespace safekit::replication {
namespace {

using State = control::Inspection::State;

/// `NUMBER MESSAGE`; the message of the condition, empty when there is none.
struct Told {
  std::uint64_t number{0};
  std::string message{};
};

Told parse(const std::string& text) {
  Told told;
  const std::size_t blank = std::min(text.find(' '), text.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + blank, told.number);
  if (error != std::errc{} || end != text.data() + blank) return {};
  if (blank < text.size()) told.message = text.substr(blank + 1);
  return told;
}

}  // namespace

std::optional<status::Condition> outside_condition(const status::ReplicationSection& section) {
  if (section.outside_writes == 0) return std::nullopt;
  return status::Condition{
      .type = kWrittenOutside,
      .is_true = true,
      .reason = "ChangedOnSecondary",
      .message = fmt::format("{} changes of this secondary's copy were not made by the replication, the last one: {}; what was changed is "
                             "compared with the primary's and copied again; keep others away from the replicated directories here",
                             section.outside_writes, section.outside_last)};
}

std::optional<status::Condition> old_copy_condition(const std::string& module, const status::ReplicationSection& section) {
  if (!section.restorable) return std::nullopt;
  return status::Condition{
      .type = kOldCopyKept,
      .is_true = true,
      .reason = "SynchronisationNotEnded",
      .message = fmt::format("the last consistent copy of the data is kept beside each replicated directory until the synchronisation "
                             "has ended; should the other node be lost for good: `safekit stop -m {0}`, then `safekit prim -m {0}` puts "
                             "it back, without what was written since", module)};
}

VerifyNews verify_news(const std::string& module, const std::optional<control::Inspection>& inspection,
                       const std::string& told) {
  VerifyNews news{.told = told};
  Told last = parse(told);
  const bool is_new = inspection && inspection->kind == control::Inspect::Kind::Verify && inspection->number != last.number;
  const bool is_asked = is_new && inspection->cause == control::Inspect::Cause::Asked;
  if (is_new && !is_asked && inspection->state == State::Failed) {
    last.number = inspection->number;
    const bool scheduled = inspection->cause == control::Inspect::Cause::Schedule;
    news.lines.push_back({"rfsplug", 'E', fmt::format("Verification {} ended early: {}{}",
                                                      scheduled ? "by the clock" : "after the synchronisation", inspection->reason,
                                                      scheduled ? "; it is tried again within an hour" : "")});
    news.told = fmt::format("{} {}", last.number, last.message);
  }
  if (is_new && inspection->state == State::Done) {
    const std::size_t count = inspection->differences.size();
    last = {.number = inspection->number, .message = {}};
    if (count == 0) {
      news.lines.push_back({"rfsplug", 'I', fmt::format("Verification: both copies are equal ({} files, {} directories, {} bytes)",
                                                        inspection->files, inspection->directories, inspection->bytes)});
    } else {
      const std::string repair = fmt::format("repair: on the secondary `safekit stop -m {0}`, then `safekit second fullsync -m {0}`, "
                                             "then verify again", module);
      last.message = fmt::format("the secondary's copy differs in {}{} places, first '{}' ({}); {}",
                                 inspection->ended_early ? "more than " : "", count, inspection->differences[0].path,
                                 inspection->differences[0].what, inspection->reason.empty() ? repair : inspection->reason);
      news.lines.push_back({"rfsplug", 'E', "Verification: " + last.message});
    }
    news.told = fmt::format("{} {}", last.number, last.message);
  }
  if (!last.message.empty()) {
    news.condition = status::Condition{
        .type = kCopiesDiffer, .is_true = true, .reason = "VerificationFoundDifferences", .message = last.message};
  }
  return news;
}

}  // namespace safekit::replication
