#pragma once

#include <cstdint>

namespace safekit::resync {

/// What follows the verification after a synchronisation (`verifyAfterResync`).
enum class AfterVerification : std::uint8_t {
  Use,           ///< the secondary is ready: equal, or not verified, which is no better and no worse than without the setting
  CompareAgain,  ///< what differs is synchronised once more, and verified again
  GiveUp,        ///< it differs after that too: the copy must not be used, and somebody has to look
};

struct VerificationResult {
  bool completed{false};
  bool differs{false};
  bool compared_again{false};  ///< this is the verification after CompareAgain
};
/// Never more than one CompareAgain between two copies that were used. Pure. Source: docs/resync.md, "Verification".
[[nodiscard]] constexpr AfterVerification after_verification(const VerificationResult& result) {
  if (!result.completed || !result.differs) return AfterVerification::Use;
  return result.compared_again ? AfterVerification::GiveUp : AfterVerification::CompareAgain;
}

}  // namespace safekit::resync
