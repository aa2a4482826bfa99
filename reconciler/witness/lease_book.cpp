#include "reconciler/witness/lease_book.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "schema/base/digest.h"

namespace safekit::witness {
namespace {

constexpr std::string_view kHead = "safekit-leases 1 ";

/// Up to the separator, which goes with it.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

}  // namespace

Result<LeaseBook::Answer> LeaseBook::acquire(const Ask& ask, const std::string& fresh_id, MonoTime now) {
  const Duration length = std::min(ask.length, kLongest);
  const auto found = leases_.find(ask.name);
  const bool is_held = found != leases_.end() && found->second.until > now;
  const bool is_mine = found != leases_.end() && found->second.holder == ask.holder;
  if (found != leases_.end() && !is_mine && (is_held || !ask.succeeds)) return Answer{.holder = found->second.holder, .has_ended = !is_held};
  if (!is_mine && ask.only_mine) return Answer{};
  if (is_held && found->second.id == ask.id) {
    Lease& lease = found->second;
    const bool longer = length > lease.length;
    lease.length = std::max(lease.length, length);
    lease.until = std::max(lease.until, now + length);  // the holder may not have heard of a shorter one
    return Answer{.granted = true, .holder = lease.holder, .id = lease.id, .length = length, .must_be_kept = longer};
  }
  if (!is_held && now < closed_until_) return Answer{.holder = is_mine ? ask.holder : std::string{}};
  Lease lease{.holder = ask.holder, .id = fresh_id, .length = length, .until = now + length};
  if (is_held) {  // the same holder has begun anew
    lease.length = std::max(length, found->second.length);
    lease.until = std::max(lease.until, found->second.until);
  }
  if (!leases_.contains(ask.name) && leases_.size() >= kLeasesMax)
    return Error{Code::Exhausted, fmt::format("this witness holds {} leases, which is its bound", kLeasesMax)};
  leases_[ask.name] = lease;
  return Answer{.granted = true, .holder = lease.holder, .id = lease.id, .length = length, .must_be_kept = true};
}

bool LeaseBook::release(std::string_view name, std::string_view id) {
  const auto found = leases_.find(name);
  if (found == leases_.end() || found->second.id != id) return false;
  leases_.erase(found);
  return true;
}

std::size_t LeaseBook::held(MonoTime now) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(leases_, [now](const auto& entry) { return entry.second.until > now; }));
}

std::string LeaseBook::to_text() const {
  std::string lines;
  for (const auto& [name, lease] : leases_) {
    const auto length_ms = std::chrono::ceil<milliseconds>(lease.length).count();
    lines += fmt::format("{} {} {} {}\n", name, lease.holder, lease.id, length_ms);
  }
  return fmt::format("{}{:08x}\n{}", kHead, checksum32(as_bytes(lines)), lines);
}

Result<LeaseBook> LeaseBook::from_text(std::string_view text, MonoTime now) {
  const Error corrupt{Code::Corrupt, "it is no list of leases, or a damaged one"};
  if (!text.starts_with("safekit-leases ")) return corrupt;
  if (!text.starts_with(kHead)) return Error{Code::Unsupported, "it was written by another version of the program"};
  text.remove_prefix(kHead.size());
  const std::string_view sum = take(text, '\n');
  if (sum != fmt::format("{:08x}", checksum32(as_bytes(text)))) return corrupt;
  LeaseBook book;
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    const std::string_view name = take(line, ' ');
    Lease lease{.holder = std::string{take(line, ' ')}, .id = std::string{take(line, ' ')}};
    std::int64_t length_ms = 0;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), length_ms);
    if (failed != std::errc{} || end != line.data() + line.size() || length_ms <= 0 || length_ms > kLongest / milliseconds{1} ||
        name.empty() || lease.holder.empty() || lease.id.empty() || book.leases_.size() >= kLeasesMax) {
      return corrupt;
    }
    lease.length = milliseconds{length_ms};
    lease.until = now + lease.length;
    if (!book.leases_.emplace(name, lease).second) return corrupt;
  }
  return book;
}

}  // namespace safekit::witness
