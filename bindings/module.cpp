// ifog._engine: what Python sees of csrc. Checks arguments, releases the GIL around work, calls; no arithmetic.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ifog/cpu_features.hpp"
#include "ifog/isa.hpp"
#include "ifog/loop.hpp"
#include "ifog/memory.hpp"
#include "ifog/threads.hpp"

namespace nb = nanobind;

namespace {

using Words = std::vector<std::int64_t>;

// Groups of `size` numbers.
template <typename Item, typename Make>
std::vector<Item> grouped(const Words& words, std::size_t size, const char* what, Make make) {
    if (words.size() % size != 0) throw std::invalid_argument(std::string(what) + ": not a multiple of its group");
    std::vector<Item> items;
    for (std::size_t i = 0; i < words.size(); i += size) items.push_back(make(words.data() + i));
    return items;
}

std::vector<ifog::Edge> edges(const Words& words) {
    return grouped<ifog::Edge>(words, 3, "edges", [](const std::int64_t* w) {
        return ifog::Edge{w[0], static_cast<std::uintptr_t>(w[1]), w[2]};
    });
}

void run(const ifog::Program& program, const Words& given, const Words& weights, const Words& totals,
         const Words& initials, const Words& finals, std::size_t steps, std::size_t batch, std::size_t threads,
         bool reverse, const std::string& isa) {
    ifog::Call call;
    call.bindings = grouped<ifog::Binding>(given, 7, "given", [](const std::int64_t* w) {
        return ifog::Binding{static_cast<std::uintptr_t>(w[0]), w[1], w[2], w[3], w[4],
                             static_cast<std::uintptr_t>(w[5]), w[6]};
    });
    call.weights = grouped<ifog::WeightSource>(weights, 3, "weights", [](const std::int64_t* w) {
        return ifog::WeightSource{static_cast<std::uintptr_t>(w[0]), w[1], w[2]};
    });
    call.totals.assign(totals.begin(), totals.end());
    call.initials = edges(initials);
    call.finals = edges(finals);
    call.steps = steps;
    call.batch = batch;
    call.threads = threads;
    call.reverse = reverse;
    ifog::check(program, call);
    const ifog::Kernels& kernels = ifog::kernels_named(isa);
    const nb::gil_scoped_release release;
    ifog::run(program, call, kernels);
}

// A one-dimensional tensor of bytes whose memory returns to the pool when the last tensor that uses it is gone.
nb::ndarray<nb::pytorch, std::uint8_t, nb::ndim<1>> borrow(std::size_t bytes) {
    auto* block = new ifog::Block(bytes);
    const nb::capsule owner(block, [](void* p) noexcept { delete static_cast<ifog::Block*>(p); });
    return {block->data(), {bytes}, owner};
}

} // namespace

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
    m.def("isas", &ifog::isa_names, "The kernels that this build has and this machine can run, slowest first.");
    m.def("operations", &ifog::operation_names, "The names of the elementwise operations, then of the row operations.");
    m.def("use_openmp", &ifog::use_openmp, nb::arg("gomp_parallel"),
          "Runs on the OpenMP library whose entry point GOMP_parallel lies at this address; 0: on own threads.");
    m.def("native_half", [](const std::string& isa) { return ifog::kernels_named(isa).native_half; }, nb::arg("isa"),
          "Whether these kernels multiply bf16 numbers as they are.");
    m.def("borrow", &borrow, nb::arg("bytes"), "Bytes whose contents are undefined, out of the engine's pool.");
    m.def("release_idle_memory", &ifog::release_idle_memory, "Gives the pool's idle memory back to the system.");
    nb::class_<ifog::Program>(m, "Program", "The program of one step.")
        .def(nb::new_([](const Words& words) { return new ifog::Program(ifog::Program::decode(words)); }),
             nb::arg("words"));
    m.def("run", &run, nb::arg("program"), nb::arg("given"), nb::arg("weights"), nb::arg("totals"),
          nb::arg("initials"), nb::arg("finals"), nb::arg("steps"), nb::arg("batch"), nb::arg("threads"),
          nb::arg("reverse"), nb::arg("isa"),
          "Runs a program over a sequence: addresses and strides as csrc/ifog/loop.hpp describes them.");
}
