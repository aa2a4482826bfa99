#pragma once

#include <map>
#include <string>
#include <vector>

#include "schema/doc/node.h"
#include "schema/spec/written_xml.h"

namespace safekit::codec {

/// Takes the `<macro>` elements out of a `<safe>` element and puts their values, and those of the
/// environment, into every attribute and text behind them. What was used is added to `used`. Source:
/// spec/config.md 2.3.
void expand_macros(doc::Node& safe, const std::map<std::string, std::string>& environment,
                   spec::WrittenXml& used, doc::Problems& problems);

}  // namespace safekit::codec
