# Makes a source file that holds another file: cmake -DINPUT=... -DOUTPUT=... -DHEADER=... -DNAMESPACE=... -DFUNCTION=... -P embed.cmake
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\nstd::span<const std::uint8_t> ${FUNCTION}() {\n"
  "  alignas(8) static constexpr std::uint8_t kBytes[]{${bytes}};\n  return kBytes;\n}\n\n}  // namespace ${NAMESPACE}\n")
