#include "ifog/stepper.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "ifog/matrix.hpp"
#include "ifog/memory.hpp"
#include "ifog/packing.hpp"
#include "ifog/parts.hpp"

namespace ifog {

namespace {

// Where a place lies at even and at odd steps.
struct View {
    char* data[2] = {nullptr, nullptr};
    std::ptrdiff_t stride = 0; // elements
    std::size_t element = 4;   // bytes
    bool narrow = false;       // one column for all
    bool operand = false;      // in the product's type

    [[nodiscard]] Tile tile(std::size_t parity, std::size_t row, std::size_t column) const {
        const auto at = static_cast<std::ptrdiff_t>(row) * stride + (narrow ? 0 : static_cast<std::ptrdiff_t>(column));
        return {reinterpret_cast<float*>(data[parity] + at * static_cast<std::ptrdiff_t>(element)), stride};
    }
};

// One thing to do at a step.
struct Task {
    enum class Kind : std::uint8_t { wait, product, elements, row, matrix } kind = Kind::wait;
    std::size_t index = 0; // of a product, row operation or pass over a matrix
    Elementwise function = nullptr;
    Tile out{}, a{}, b{}, c{};
    std::size_t rows = 0, columns = 0;
};

struct ProductTask {
    std::vector<Operand> operands;
    const void* packed;
    std::size_t columns;
    float* C;
    std::ptrdiff_t ldc;
};

struct RowTask {
    Rowwise function;
    Tile out, a, b;
    std::size_t rows, out_columns, a_columns, b_columns;
    std::ptrdiff_t first, second;
};

struct MatrixTask {
    const CodeSegment* segment;
    std::vector<MatrixStep> steps;
};

// What one thread does at even steps, or at odd ones.
struct Script {
    std::vector<Task> tasks;
    std::vector<ProductTask> products;
    std::vector<RowTask> rows;
    std::vector<MatrixTask> matrices;
};

} // namespace

struct Stepper::State {
    State(const Program& given_program, StepCall given_call, const Kernels& given_kernels)
        : program(given_program), call(std::move(given_call)), kernels(given_kernels),
          product(kernels.product(program.number)), by_columns(program.columns_split()),
          block_floats(program.block(512)),
          packed(plan_packing(program, product, packed_bytes)), block(bytes()) {
        for (PackedWeights& p : packed) p.data = block.data() + reinterpret_cast<std::size_t>(p.data);
        std::memset(block.data() + packed_bytes, 0, bytes() - packed_bytes); // what pads operands must be finite
        place();
        for (std::size_t thread = 0; thread < call.threads; ++thread)
            for (std::size_t parity = 0; parity < 2; ++parity) scripts.push_back(write(thread, parity));
    }

    // --- memory

    [[nodiscard]] std::size_t place_bytes(const Place& place) const {
        switch (place.kind) {
        case PlaceKind::in_register: return call.threads * block_floats * 4;
        case PlaceKind::constant: return block_floats * 4;
        case PlaceKind::local: return rows_padded() * row_width(place) * 4;
        case PlaceKind::operand: return 2 * padded(rows_padded() * row_width(place) * product.bytes, 64);
        default: return 0;
        }
    }
    [[nodiscard]] std::size_t bytes() const {
        std::size_t sum = packed_bytes;
        for (const Place& place : program.places) sum += padded(place_bytes(place), 64);
        return sum;
    }
    [[nodiscard]] std::size_t rows_padded() const { return padded(call.batch, product.row_align); }
    [[nodiscard]] std::size_t row_width(const Place& place) const {
        const std::size_t width = padded(place.width, std::max(product.depth_align, line));
        return place.kind == PlaceKind::operand ? product.spread(width) : width;
    }

    void place() {
        char* next = block.data() + packed_bytes;
        std::size_t given = 0;
        for (const Place& place : program.places) {
            View view;
            view.narrow = place.width == 1;
            view.data[0] = view.data[1] = next;
            if (place.kind == PlaceKind::given || place.kind == PlaceKind::given_bf16) {
                const StepBinding& binding = call.bindings[given++];
                view.data[0] = reinterpret_cast<char*>(binding.even);
                view.data[1] = reinterpret_cast<char*>(binding.odd);
                view.stride = binding.row;
                view.element = place.kind == PlaceKind::given ? 4 : 2;
            } else if (place.kind == PlaceKind::constant) {
                std::fill_n(reinterpret_cast<float*>(next), block_floats, place.value);
            } else if (place.kind == PlaceKind::local || place.kind == PlaceKind::operand) {
                view.stride = static_cast<std::ptrdiff_t>(row_width(place));
                if (place.kind == PlaceKind::operand) {
                    view.operand = true;
                    view.element = product.bytes;
                    view.data[1] = next + place_bytes(place) / 2;
                }
            }
            next += padded(place_bytes(place), 64);
            views.push_back(view);
        }
    }

    // --- shares of threads

    [[nodiscard]] Range part(std::size_t thread, std::size_t width) const {
        if (!by_columns) return {call.batch * thread / call.threads, call.batch * (thread + 1) / call.threads, 0, width};
        if (width == 1) return {0, call.batch, 0, 1};
        const auto [begin, end] = panels(thread, width);
        return {0, call.batch, begin, end};
    }
    [[nodiscard]] std::pair<std::size_t, std::size_t> panels(std::size_t thread, std::size_t width) const {
        const std::size_t unit = product.unit(), count = (width + unit - 1) / unit;
        return {std::min(count * thread / call.threads * unit, width),
                std::min(count * (thread + 1) / call.threads * unit, width)};
    }

    // --- scripts

    Script write(std::size_t thread, std::size_t parity) const {
        Script script;
        const auto wait = [&] {
            if (call.threads > 1) script.tasks.emplace_back();
        };
        std::size_t index = 0;
        wait(); // what the step reads was written by other threads
        for (std::size_t i = 0; i < program.stages.size(); ++i) {
            const StageCode& stage = program.stages[i];
            if (!stage.products.empty()) {
                if (i > 0) wait();
                write_products(script, stage, index, thread, parity);
                if (!by_columns) wait();
            }
            index += stage.products.size();
            if (!stage.segments.empty()) write_segments(script, stage, thread, parity);
        }
        return script;
    }

    // At odd steps the panels are walked backwards: what the second cache still holds of the step before is then read
    // first. Walked the same way each time, weights a little larger than the cache would never be found there.
    void write_products(Script& script, const StageCode& stage, std::size_t index, std::size_t thread,
                        std::size_t parity) const {
        std::vector<ProductTask> found;
        const std::size_t piece = call.batch <= 8 ? 2 * product.panel : std::size_t{1} << 40;
        for (std::size_t p = 0; p < stage.products.size(); ++p) {
            const ProductCode& code = stage.products[p];
            const PackedWeights& weights = packed[index + p];
            std::vector<Operand> operands;
            for (std::size_t k = 0; k < code.terms.size(); ++k) {
                const Term& term = code.terms[k];
                const View& view = views[term.operand];
                operands.push_back({view.data[term.previous ? 1 - parity : parity], view.stride, weights.depths[k]});
            }
            const auto [begin, end] = panels(thread, code.columns);
            const View& out = views[code.out];
            for (std::size_t column = begin; column < end; column += std::min(piece, end - column))
                found.push_back({operands, weights.data + column * weights.depth * product.bytes,
                                 std::min(piece, end - column),
                                 reinterpret_cast<float*>(out.data[parity]) + column, out.stride});
        }
        if (parity == 1) std::reverse(found.begin(), found.end());
        for (ProductTask& task : found) {
            Task& entry = script.tasks.emplace_back();
            entry.kind = Task::Kind::product;
            entry.index = script.products.size();
            script.products.push_back(std::move(task));
        }
    }

    void write_segments(Script& script, const StageCode& stage, std::size_t thread, std::size_t parity) const {
        std::size_t widest = 1;
        for (const CodeSegment& segment : stage.segments) {
            const Range range = part(thread, segment.width);
            widest = std::max(widest, range.column_end - range.column);
        }
        const std::size_t height = std::max<std::size_t>(1, block_floats / widest);
        const Range all = part(thread, 1);
        for (std::size_t row = all.row; row < all.row_end; row += height) {
            const std::size_t rows = std::min(height, all.row_end - row);
            for (const CodeSegment& segment : stage.segments) {
                if (segment.row_operation()) {
                    write_row_operation(script, segment.code[0], row, rows, parity);
                    continue;
                }
                if (segment.matrix()) {
                    for (std::size_t r = row; r < row + rows; ++r) write_matrix(script, segment, thread, parity, r);
                    continue;
                }
                const Range range = part(thread, segment.width);
                for (std::size_t c = range.column; c < range.column_end; c += block_floats)
                    write_elements(script, segment, thread, parity, row, rows, c,
                                   std::min(block_floats, range.column_end - c));
            }
        }
    }

    void write_elements(Script& script, const CodeSegment& segment, std::size_t thread, std::size_t parity,
                        std::size_t row, std::size_t rows, std::size_t column, std::size_t columns) const {
        const auto at = [&](std::size_t i) -> Tile {
            auto* const data = reinterpret_cast<float*>(views[i].data[parity]);
            if (i < program.registers) return {data + thread * block_floats, static_cast<std::ptrdiff_t>(columns)};
            if (program.places[i].kind == PlaceKind::constant) return {data, 0};
            return tile(views[i], parity, row, column);
        };
        for (const Instruction& code : segment.code) {
            const auto op = static_cast<Op>(code.op);
            const bool stores = op == Op::store_bf16 && views[code.out].operand;
            script.tasks.push_back({Task::Kind::elements, 0,
                                    stores ? kernels.store(program.number)
                                           : kernels.elementwise[static_cast<std::size_t>(op)],
                                    at(code.out), at(code.a), at(code.b), at(code.c), rows, columns});
        }
    }

    void write_row_operation(Script& script, const Instruction& code, std::size_t row, std::size_t rows,
                             std::size_t parity) const {
        const auto width = [&](std::uint16_t i) { return program.places[i].width; };
        Task& entry = script.tasks.emplace_back();
        entry.kind = Task::Kind::row;
        entry.index = script.rows.size();
        script.rows.push_back({kernels.rowwise[code.op], views[code.out].tile(parity, row, 0),
                               views[code.a].tile(parity, row, 0), views[code.b].tile(parity, row, 0), rows,
                               width(code.out), width(code.a), width(code.b), code.first, code.second});
    }

    void write_matrix(Script& script, const CodeSegment& segment, std::size_t thread, std::size_t parity,
                      std::size_t row) const {
        std::vector<char*> begins;
        for (std::size_t i = 0; i < views.size(); ++i) {
            const std::size_t own = i < program.registers ? thread * block_floats * 4 : 0;
            begins.push_back(reinterpret_cast<char*>(views[i].tile(parity, row, 0).data) + own);
        }
        MatrixTask found{&segment, {}};
        lay_out_matrix(segment, program, kernels, begins, found.steps);
        Task& entry = script.tasks.emplace_back();
        entry.kind = Task::Kind::matrix;
        entry.index = script.matrices.size();
        script.matrices.push_back(std::move(found));
    }

    [[nodiscard]] Tile tile(const View& view, std::size_t parity, std::size_t row, std::size_t column) const {
        return view.tile(parity, row, view.operand ? product.spread(column) : column);
    }

    const Program program;
    const StepCall call;
    const Kernels& kernels;
    const Product& product;
    const bool by_columns;
    const std::size_t block_floats; // of a register
    std::size_t packed_bytes = 0;
    std::vector<PackedWeights> packed;
    Block block;
    std::vector<View> views;
    std::vector<Script> scripts; // thread * 2 + parity
};

namespace {

const StepCall& checked(const Program& program, const StepCall& call) {
    std::size_t given = 0;
    for (const Place& place : program.places) {
        given += place.kind == PlaceKind::given || place.kind == PlaceKind::given_bf16;
        if (place.kind == PlaceKind::total) throw std::invalid_argument("stepper: a step forwards has no totals");
    }
    if (call.bindings.size() != given || call.weights.size() != program.weights.size())
        throw std::invalid_argument("stepper: the program needs " + std::to_string(given) + " arrays and " +
                                    std::to_string(program.weights.size()) + " weights");
    if (call.batch == 0 || call.threads == 0) throw std::invalid_argument("stepper: nothing to do");
    return call;
}

} // namespace

Stepper::Stepper(const Program& program, StepCall call, const Kernels& kernels)
    : state_(std::make_unique<State>(program, checked(program, call), kernels)) {}

Stepper::~Stepper() = default;

void Stepper::pack(std::size_t thread) {
    ifog::pack(state_->program, state_->call.weights, state_->product, state_->packed, thread, state_->call.threads);
}

void Stepper::start(const std::vector<Edge>& initials, std::size_t step) {
    const State& s = *state_;
    for (const Edge& edge : initials) {
        const auto i = static_cast<std::size_t>(edge.place);
        const Place& place = s.program.places.at(i);
        const Elementwise store = s.kernels.store(s.views[i].operand ? s.program.number : Number::fp32);
        const Tile source{reinterpret_cast<float*>(edge.data), edge.row};
        store(s.views[i].tile(1 - step % 2, 0, 0), source, source, source, s.call.batch, place.width);
    }
}

void Stepper::finish(const std::vector<Edge>& finals) const {
    const State& s = *state_;
    for (const Edge& edge : finals) {
        const auto i = static_cast<std::size_t>(edge.place);
        const Tile from = s.views.at(i).tile(0, 0, 0);
        s.kernels.elementwise[static_cast<std::size_t>(Op::copy)]({reinterpret_cast<float*>(edge.data), edge.row}, from,
                                                                  from, from, s.call.batch, s.program.places[i].width);
    }
}

void Stepper::step(std::size_t thread, std::size_t s, Barrier& barrier) const {
    const Script& script = state_->scripts[thread * 2 + s % 2];
    for (const Task& task : script.tasks) {
        switch (task.kind) {
        case Task::Kind::wait: barrier.wait(); break;
        case Task::Kind::product: {
            const ProductTask& p = script.products[task.index];
            state_->product.multiply(p.operands.data(), p.operands.size(), state_->call.batch, p.packed, p.columns, p.C,
                                     p.ldc);
            break;
        }
        case Task::Kind::elements:
            task.function(task.out, task.a, task.b, task.c, task.rows, task.columns);
            break;
        case Task::Kind::row: {
            const RowTask& r = script.rows[task.index];
            r.function(r.out, r.a, r.b, r.rows, r.out_columns, r.a_columns, r.b_columns, r.first, r.second);
            break;
        }
        case Task::Kind::matrix: {
            const MatrixTask& m = script.matrices[task.index];
            pass_over_matrix(*m.segment, m.steps, state_->block_floats);
            break;
        }
        }
    }
}

Stepper::Range Stepper::part(std::size_t thread, std::size_t width) const { return state_->part(thread, width); }
std::size_t Stepper::threads() const { return state_->call.threads; }
std::size_t Stepper::batch() const { return state_->call.batch; }
const Kernels& Stepper::kernels() const { return state_->kernels; }

} // namespace ifog
