// ifog._engine: what Python sees of csrc. Checks arguments, releases the GIL around work, calls; no arithmetic.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "ifog/cpu_features.hpp"

namespace nb = nanobind;

NB_MODULE(_engine, m) {
    m.doc() = "The C++ engine of ifog; use it through ifog.kernels.";
    m.def(
        "cpu_features",
        [] {
            const auto names = ifog::cpu_features();
            return std::vector<std::string>(names.begin(), names.end());
        },
        nb::sig("def cpu_features() -> list[str]"),
        "The instruction sets this CPU has and this operating system lets programs use, weakest first.");
}
