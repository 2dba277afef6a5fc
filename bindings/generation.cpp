// Steps and generation for Python: addresses in, work without the GIL. Arguments are grouped words, as in module.cpp.

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ifog/generation.hpp"
#include "ifog/isa.hpp"
#include "ifog/stepper.hpp"

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

ifog::WeightSource weight_source(const std::int64_t* w) {
    return {static_cast<std::uintptr_t>(w[0]), w[1], w[2]};
}

std::vector<ifog::Edge> edges(const Words& words) {
    return grouped<ifog::Edge>(words, 3, "edges", [](const std::int64_t* w) {
        return ifog::Edge{w[0], static_cast<std::uintptr_t>(w[1]), w[2]};
    });
}

ifog::StepBinding step_binding(const std::int64_t* w) {
    return {static_cast<std::uintptr_t>(w[0]), static_cast<std::uintptr_t>(w[1]), w[2]};
}

std::shared_ptr<ifog::Stepper> make_stepper(const ifog::Program& program, const Words& given, const Words& weights,
                                            std::size_t batch, std::size_t threads, const std::string& isa) {
    ifog::StepCall call;
    call.bindings = grouped<ifog::StepBinding>(given, 3, "given", step_binding);
    call.weights = grouped<ifog::WeightSource>(weights, 3, "weights", weight_source);
    call.batch = batch;
    call.threads = ifog::possible_threads(threads);
    return std::make_shared<ifog::Stepper>(program, call, ifog::kernels_named(isa));
}

// Packs the weights where `pack` says so, then step number `number`.
void step(ifog::Stepper& stepper, std::size_t number, bool pack, const Words& initials, const Words& finals) {
    const std::vector<ifog::Edge> first = edges(initials);
    const std::vector<ifog::Edge> last = edges(finals);
    const nb::gil_scoped_release release;
    ifog::Barrier barrier(stepper.threads());
    stepper.start(first, number);
    ifog::parallel(stepper.threads(), [&](std::size_t thread) {
        stepper.kernels().enter();
        if (pack) stepper.pack(thread);
        stepper.step(thread, number, barrier);
        stepper.kernels().leave();
    });
    stepper.finish(last);
}

std::shared_ptr<ifog::Generation> make_generation(std::vector<std::shared_ptr<ifog::Stepper>> layers,
                                                  const Words& gathers, const Words& head, float temperature,
                                                  std::size_t top_k, float top_p, bool greedy) {
    if (head.size() != 9) throw std::invalid_argument("head: nine words");
    auto rows = grouped<ifog::Gather>(gathers, 5, "gathers", [](const std::int64_t* w) {
        return ifog::Gather{static_cast<std::uintptr_t>(w[0]), w[1], static_cast<std::uintptr_t>(w[2]), w[3],
                            static_cast<std::size_t>(w[4])};
    });
    const ifog::Head output{weight_source(head.data()), static_cast<std::uintptr_t>(head[3]),
                            static_cast<std::size_t>(head[4]), static_cast<std::size_t>(head[5]),
                            step_binding(head.data() + 6)};
    return std::make_shared<ifog::Generation>(std::move(layers), std::move(rows), output,
                                              ifog::Sampling{temperature, top_k, top_p, greedy});
}

std::int64_t generate(ifog::Generation& generation, std::uintptr_t tokens, std::uintptr_t chances, std::uintptr_t made,
                      std::uintptr_t ended, const Words& endings, std::size_t length) {
    const ifog::Excerpt excerpt{reinterpret_cast<std::int64_t*>(tokens), reinterpret_cast<const double*>(chances),
                                reinterpret_cast<std::int64_t*>(made),   reinterpret_cast<std::uint8_t*>(ended),
                                endings,                                 length};
    const nb::gil_scoped_release release;
    return generation.run(excerpt);
}

} // namespace

void bind_generation(nb::module_& m) {
    nb::class_<ifog::Stepper>(m, "Stepper", "One layer, one step at a time: csrc/ifog/stepper.hpp.")
        .def(
            "start", [](ifog::Stepper& stepper, const Words& initials) { stepper.start(edges(initials), 0); },
            nb::arg("initials"), "Puts carried states in place, before step 0.")
        .def("step", &step, nb::arg("number"), nb::arg("pack"), nb::arg("initials"), nb::arg("finals"),
             "One step, after packing the weights where that is wanted.");
    nb::class_<ifog::Generation>(m, "Generation", "The loop of generation: csrc/ifog/generation.hpp.")
        .def("run", &generate, nb::arg("tokens"), nb::arg("chances"), nb::arg("made"), nb::arg("ended"),
             nb::arg("endings"), nb::arg("length"),
             "How many tokens were made; -1: the scores are no numbers.");
    m.def("stepper", &make_stepper, nb::arg("program"), nb::arg("given"), nb::arg("weights"), nb::arg("batch"),
          nb::arg("threads"), nb::arg("isa"), "Binds a program to arrays.");
    m.def("generation", &make_generation, nb::arg("layers"), nb::arg("gathers"), nb::arg("head"),
          nb::arg("temperature"), nb::arg("top_k"), nb::arg("top_p"), nb::arg("greedy"),
          "Joins layers, the table of tokens and the output matrix.");
}
