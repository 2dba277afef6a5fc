// ifog._engine: what Python sees of csrc. Checks arguments, releases the GIL around work, calls; no arithmetic.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "ifog/cpu_features.hpp"
#include "ifog/isa.hpp"
#include "ifog/loop.hpp"
#include "ifog/memory.hpp"
#include "ifog/rows.hpp"
#include "ifog/threads.hpp"

namespace nb = nanobind;

void bind_generation(nb::module_& m); // generation.cpp

namespace {

using Words = std::vector<std::int64_t>;

// A call whose addresses are a tensor's number and an offset in bytes, so that one description serves many calls.
class Call {
  public:
    Call(const ifog::Program& program, const Words& given, const Words& weights, const Words& totals,
         const Words& begin, const Words& end, const Words& moves_before, const Words& moves_after,
         const std::vector<Words>& before, const std::vector<Words>& after, const Words& lookups,
         const Words& scatters, const std::vector<Words>& outers, std::size_t rows, std::size_t batch, bool reverse)
        : program_(program) {
        each(given, 5, [&](const std::int64_t* w) {
            call_.bindings.push_back({address(w), w[2], w[3], w[4] != 0});
        });
        each(weights, 4, [&](const std::int64_t* w) { call_.weights.push_back({address(w), w[2], w[3]}); });
        each(totals, 2, [&](const std::int64_t* w) { call_.totals.push_back(address(w)); });
        each(begin, 4, [&](const std::int64_t* w) { call_.initials.push_back({w[0], address(w + 1), w[3]}); });
        each(end, 4, [&](const std::int64_t* w) { call_.finals.push_back({w[0], address(w + 1), w[3]}); });
        each(moves_before, 7, [&](const std::int64_t* w) { call_.moves_before.push_back(move(w)); });
        each(moves_after, 7, [&](const std::int64_t* w) { call_.moves_after.push_back(move(w)); });
        for (const Words& words : before) call_.before.push_back(projection(words));
        for (const Words& words : after) call_.after.push_back(projection(words));
        each(lookups, 12, [&](const std::int64_t* w) { call_.lookups.push_back(lookup(w)); });
        each(scatters, 9, [&](const std::int64_t* w) { call_.scatters.push_back(scatter(w)); });
        for (const Words& words : outers) call_.outers.push_back(outer(words));
        call_.rows = rows;
        call_.batch = batch;
        call_.reverse = reverse;
        ifog::check(program, call_);
    }

    void run(const std::vector<std::uintptr_t>& tensors, const Words& sizes, std::size_t threads,
             const std::string& isa) const {
        const ifog::Kernels& kernels = ifog::kernels_named(isa);
        if (tensors.size() < needed_) throw std::invalid_argument("run: too few tensors");
        ifog::Call call = call_;
        call.threads = threads;
        call.cut(sizes);
        std::size_t next = 0;
        const auto resolve = [&](std::uintptr_t& offset) { offset += tensors[owners_[next++]]; };
        for (auto& binding : call.bindings) resolve(binding.base);
        for (auto& weight : call.weights) resolve(weight.data);
        for (auto& total : call.totals) resolve(total);
        for (auto& edge : call.initials) resolve(edge.data);
        for (auto& edge : call.finals) resolve(edge.data);
        for (auto* moves : {&call.moves_before, &call.moves_after}) {
            for (auto& move : *moves) {
                resolve(move.from);
                resolve(move.to);
            }
        }
        for (auto* projections : {&call.before, &call.after}) {
            for (auto& projection : *projections) {
                resolve(projection.out.data);
                for (auto& term : projection.terms) {
                    resolve(term.operand.data);
                    resolve(term.weight.data);
                }
            }
        }
        for (auto& lookup : call.lookups) {
            resolve(lookup.ids);
            resolve(lookup.out.data);
            resolve(lookup.weight.data);
        }
        for (auto& scatter : call.scatters) {
            resolve(scatter.ids);
            resolve(scatter.rows.data);
            resolve(scatter.table);
        }
        for (auto& outer : call.outers) {
            resolve(outer.left.data);
            for (auto& right : outer.rights) {
                resolve(right.rows.data);
                resolve(right.out);
            }
        }
        const nb::gil_scoped_release release;
        ifog::run(program_, call, kernels);
    }

  private:
    template <typename Take> static void each(const Words& words, std::size_t size, Take take) {
        if (words.size() % size != 0) throw std::invalid_argument("call: the words are no whole groups");
        for (std::size_t i = 0; i < words.size(); i += size) take(words.data() + i);
    }

    // from (tensor, offset, stride of a row), to (likewise), width
    ifog::Move move(const std::int64_t* w) {
        const std::uintptr_t from = address(w);
        return {from, w[2], address(w + 3), w[5], static_cast<std::size_t>(w[6])};
    }

    // ids (tensor, offset), vocabulary, out (tensor, offset, stride, bf16?), columns, weight (tensor, offset, column
    // stride, depth stride)
    ifog::Lookup lookup(const std::int64_t* w) {
        ifog::Lookup made;
        made.ids = address(w);
        made.vocabulary = static_cast<std::size_t>(w[2]);
        made.out = {address(w + 3), w[5], w[6] != 0};
        made.columns = static_cast<std::size_t>(w[7]);
        made.weight = {address(w + 8), w[10], w[11]};
        return made;
    }

    // ids (tensor, offset), rows (tensor, offset, stride, bf16?), columns, table (tensor, offset)
    ifog::Scatter scatter(const std::int64_t* w) {
        ifog::Scatter made;
        made.ids = address(w);
        made.rows = {address(w + 2), w[4], w[5] != 0};
        made.columns = static_cast<std::size_t>(w[6]);
        made.table = address(w + 7);
        return made;
    }

    // out (tensor, offset, stride, bf16?), columns; then for each term its operand likewise, its depth, its weight
    // (tensor, offset, column stride, depth stride)
    ifog::Projection projection(const Words& words) {
        if (words.size() < 5 || (words.size() - 5) % 9 != 0) throw std::invalid_argument("call: no projection");
        const std::int64_t* w = words.data();
        ifog::Projection made;
        made.out = {address(w), w[2], w[3] != 0};
        made.columns = static_cast<std::size_t>(w[4]);
        for (std::size_t i = 5; i < words.size(); i += 9) {
            ifog::ProjectionTerm term;
            term.operand = {address(w + i), w[i + 2], w[i + 3] != 0};
            term.depth = static_cast<std::size_t>(w[i + 4]);
            term.weight = {address(w + i + 5), w[i + 7], w[i + 8]};
            made.terms.push_back(term);
        }
        return made;
    }

    // left (tensor, offset, stride, bf16?), its width; then for each right side likewise, and out (tensor, offset,
    // stride)
    ifog::Outer outer(const Words& words) {
        if (words.size() < 5 || (words.size() - 5) % 8 != 0) throw std::invalid_argument("call: no outer product");
        const std::int64_t* w = words.data();
        ifog::Outer made;
        made.left = {address(w), w[2], w[3] != 0};
        made.width = static_cast<std::size_t>(w[4]);
        for (std::size_t i = 5; i < words.size(); i += 8) {
            ifog::Right right;
            right.rows = {address(w + i), w[i + 2], w[i + 3] != 0};
            right.width = static_cast<std::size_t>(w[i + 4]);
            right.out = address(w + i + 5);
            right.out_stride = w[i + 7];
            made.rights.push_back(right);
        }
        return made;
    }

    // Remembers whose the next address is; gives the offset.
    std::uintptr_t address(const std::int64_t* words) {
        if (words[0] < 0 || words[1] < 0) throw std::invalid_argument("call: a negative address");
        owners_.push_back(static_cast<std::size_t>(words[0]));
        needed_ = std::max(needed_, owners_.back() + 1);
        return static_cast<std::uintptr_t>(words[1]);
    }

    const ifog::Program program_;
    ifog::Call call_;
    std::vector<std::size_t> owners_;
    std::size_t needed_ = 0;
};

// A tensor whose memory returns to the pool when the last tensor that uses it is gone: of floats where an element has 4
// bytes, of bf16 where it has 2, else of bytes.
nb::ndarray<nb::pytorch> borrow(const std::vector<std::size_t>& shape, std::size_t element) {
    constexpr nb::dlpack::dtype floats = nb::dtype<float>(), bytes = nb::dtype<std::uint8_t>();
    constexpr nb::dlpack::dtype halves{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Bfloat), 16, 1};
    std::size_t size = element;
    for (const std::size_t n : shape) size *= n;
    auto* block = new ifog::Block(size);
    const nb::capsule owner(block, [](void* p) noexcept { delete static_cast<ifog::Block*>(p); });
    const nb::dlpack::dtype type = element == 4 ? floats : element == 2 ? halves : bytes;
    return {block->data(), shape.size(), shape.data(), owner, nullptr, type};
}

void pick_rows(std::uintptr_t out, std::uintptr_t source, std::int64_t stride, std::size_t width, std::uintptr_t rows,
               std::size_t count, std::size_t threads) {
    const nb::gil_scoped_release release;
    ifog::pick_rows(reinterpret_cast<char*>(out), reinterpret_cast<const char*>(source), stride, width,
                    reinterpret_cast<const std::int64_t*>(rows), count, threads);
}

void number_rows(std::uintptr_t sizes, std::size_t steps, std::uintptr_t order, std::int64_t step, std::int64_t sequence,
                 std::uintptr_t rows, std::uintptr_t back, std::size_t padded) {
    ifog::number_rows(reinterpret_cast<const std::int64_t*>(sizes), steps, reinterpret_cast<const std::int64_t*>(order),
                      step, sequence, reinterpret_cast<std::int64_t*>(rows), reinterpret_cast<std::int64_t*>(back),
                      padded);
}

} // namespace

NB_MODULE(_engine, m) {
    nb::set_leak_warnings(false); // what Python still caches when it ends is no leak
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
    m.def("native_fixed", [](const std::string& isa) { return ifog::kernels_named(isa).native_fixed; }, nb::arg("isa"),
          "Whether these kernels multiply 16-bit integers faster than floats.");
    m.def("borrow", &borrow, nb::arg("shape"), nb::arg("element"),
          "Memory whose contents are undefined, out of the engine's pool; `element` is 4 (float32), 2 (bf16) or 1 byte.");
    m.def("release_idle_memory", &ifog::release_idle_memory, "Gives the pool's idle memory back to the system.");
    m.def("pick_rows", &pick_rows, nb::arg("out"), nb::arg("source"), nb::arg("stride"), nb::arg("width"),
          nb::arg("rows"), nb::arg("count"), nb::arg("threads"),
          "Row i of `out` becomes row rows[i] of `source`, or zeros where that is negative; sizes are bytes.");
    m.def("number_rows", &number_rows, nb::arg("sizes"), nb::arg("steps"), nb::arg("order"), nb::arg("step"),
          nb::arg("sequence"), nb::arg("rows"), nb::arg("back"), nb::arg("padded"),
          "Where the rows of packed sequences lie among padded ones, and back.");
    nb::class_<ifog::Program>(m, "Program", "The program of one step.")
        .def(nb::new_([](const Words& words) { return new ifog::Program(ifog::Program::decode(words)); }),
             nb::arg("words"));
    nb::class_<Call>(m, "Call", "A program and what is bound to it, addresses left open.")
        .def(nb::init<const ifog::Program&, const Words&, const Words&, const Words&, const Words&, const Words&,
                      const Words&, const Words&, const std::vector<Words>&, const std::vector<Words>&, const Words&,
                      const Words&, const std::vector<Words>&, std::size_t, std::size_t, bool>(),
             nb::arg("program"), nb::arg("given"), nb::arg("weights"), nb::arg("totals"), nb::arg("begin"),
             nb::arg("end"), nb::arg("moves_before"), nb::arg("moves_after"), nb::arg("before"), nb::arg("after"),
             nb::arg("lookups"), nb::arg("scatters"), nb::arg("outers"), nb::arg("rows"), nb::arg("batch"),
             nb::arg("reverse"))
        .def("run", &Call::run, nb::arg("tensors"), nb::arg("sizes"), nb::arg("threads"), nb::arg("isa"),
             "Runs it over sequences whose tensors lie at these addresses; `sizes` is how many rows each step has, "
             "empty where they are padded.");
    bind_generation(m);
}
