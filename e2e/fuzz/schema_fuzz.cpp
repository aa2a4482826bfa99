// libFuzzer target for everything that reads a configuration from outside: the first byte picks the form. Not
// built by default; with Clang:
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -DFMT_HEADER_ONLY -I.
//   e2e/fuzz/schema_fuzz.cpp \
//     schema/{base,doc,spec,codec,check}/[!_]*.cpp -lyaml-cpp -lexpat -lzip -o /tmp/schema_fuzz  (leave
//     *_test.cpp out)
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "schema/check/convert.h"
#include "schema/check/load.h"
#include "schema/check/unhonoured.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace safekit;
  if (size == 0) return 0;
  const BytesView rest{data + 1, size - 1};
  if (data[0] % 4 == 3) {
    (void)check::load_archive(rest, "f.safe");
    return 0;
  }
  constexpr check::Format kForms[] = {check::Format::Yaml, check::Format::Json, check::Format::Xml};
  const check::LoadResult result = check::load(as_text(rest), "f", {.format = kForms[data[0] % 4]});
  if (result.has_errors()) return 0;
  for (const spec::Module* module : result.modules()) {
    (void)check::unhonoured(*module);
    for (const check::Format form : kForms) {
      // What was accepted must be accepted again in every form.
      const check::LoadResult back = check::load(check::print(*module, form), "again", {.format = form});
      SK_ASSERT(back.modules().size() == 1);
    }
  }
  return 0;
}
