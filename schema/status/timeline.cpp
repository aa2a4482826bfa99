#include "schema/status/timeline.h"

#include <algorithm>
#include <numeric>
#include <sstream>

#include <fmt/format.h>

namespace safekit::status {
namespace {

constexpr int kKindLast = static_cast<int>(Timeline::Kind::Swap);

std::string shown(Duration duration) {
  const std::int64_t ms = duration.count() / 1'000'000;
  return ms < 1000 ? fmt::format("{} ms", ms) : fmt::format("{}.{:02} s", ms / 1000, ms % 1000 / 10);
}

}  // namespace

std::string_view to_string(Phase phase) {
  switch (phase) {
    case Phase::Detect: return "detect";
    case Phase::Decide: return "decide";
    case Phase::Fence: return "fence";
    case Phase::Switch: return "switch";
    case Phase::Application: return "application";
  }
  return "";
}

std::string_view to_string(Timeline::Kind kind) {
  switch (kind) {
    case Timeline::Kind::Failover: return "failover";
    case Timeline::Kind::HandOver: return "hand-over";
    case Timeline::Kind::Swap: return "swap";
  }
  return "";
}

Duration total_of(const Timeline& timeline) {
  return std::accumulate(timeline.phases.begin(), timeline.phases.end(), Duration{});
}

std::string describe(const Timeline& timeline) {
  std::string text = fmt::format("{} in {}:", to_string(timeline.kind), shown(total_of(timeline)));
  for (std::size_t i = 0; i < kPhases; ++i) {
    text += fmt::format("{} {} {}", i == 0 ? "" : ",", to_string(static_cast<Phase>(i)), shown(timeline.phases[i]));
  }
  return text;
}

Timeline timeline_of(const Moments& moments) {
  Timeline timeline{.kind = moments.kind, .began = moments.began};
  MonoTime last = moments.last_sign;
  for (std::size_t i = 0; i < kPhases; ++i) {
    const MonoTime end = std::max(last, moments.ends[i].value_or(last));
    timeline.phases[i] = end - last;
    last = end;
  }
  return timeline;
}

std::string encode(const Timeline& timeline) {
  std::string text = fmt::format("1 {} {}", static_cast<int>(timeline.kind), timeline.began.ns);
  for (const Duration phase : timeline.phases) text += fmt::format(" {}", phase.count());
  return text;
}

std::optional<Timeline> decode_timeline(const std::string& text) {
  std::istringstream in{text};
  int version = 0;
  int kind = 0;
  Timeline timeline;
  in >> version >> kind >> timeline.began.ns;
  for (Duration& phase : timeline.phases) {
    std::int64_t count = 0;
    in >> count;
    phase = Duration{count};
  }
  if (!in || version != 1 || kind < 0 || kind > kKindLast) return std::nullopt;
  timeline.kind = static_cast<Timeline::Kind>(kind);
  return timeline;
}

}  // namespace safekit::status
