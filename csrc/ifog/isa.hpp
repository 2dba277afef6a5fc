// Which kernels run here: the build's, as far as this CPU and this operating system allow, or those that IFOG_ISA names.

#pragma once

#include <string>
#include <vector>

#include "ifog/kernels.hpp"

namespace ifog {

// "portable", "avx2", "avx512", "avx512_bf16", "amx_bf16": what this build has and this machine can run.
std::vector<std::string> isa_names();

// Throws std::invalid_argument for a name that isa_names() lacks. An empty name is the best.
const Kernels& kernels_named(const std::string& name);

// In the order of Op, then of RowOp.
std::vector<std::string> operation_names();

} // namespace ifog
