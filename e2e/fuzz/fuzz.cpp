// libFuzzer's entry points. SK_FUZZ_PARSER names the parser; without it they are listed. With SK_FUZZ_SEEDS its first inputs are put
// into that directory, and that is all.
#include "e2e/fuzz/fuzz.h"

#include <cstdlib>
#include <fstream>
#include <iostream>

namespace {

using namespace safekit;

const fuzz::Parser* parser = nullptr;

void write_seeds(const std::string& directory) {
  std::size_t number = 0;
  for (const Bytes& seed : parser->seeds()) {
    std::ofstream{fmt::format("{}/seed-{}", directory, number++), std::ios::binary} << as_text(seed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* name = std::getenv("SK_FUZZ_PARSER");
  for (const fuzz::Parser& one : fuzz::parsers()) {
    if (name == nullptr) std::cout << one.name << ' ' << one.bytes_max << '\n';
    if (name != nullptr && std::string_view{name} == one.name) parser = &one;
  }
  if (parser == nullptr) std::exit(name == nullptr ? 0 : 2);
  if (const char* seeds = std::getenv("SK_FUZZ_SEEDS")) {
    write_seeds(seeds);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  parser->read({data, size});
  return 0;
}
