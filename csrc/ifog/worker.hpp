// The work of one thread: a program's steps over its share of the rows or of the columns.
//
// Owns the thread's scratch: registers, what lives within a step or is carried to the next, sums. Included by loop.cpp
// alone.

#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "ifog/loop.hpp"
#include "ifog/matrix.hpp"
#include "ifog/packing.hpp"
#include "ifog/parts.hpp"
#include "ifog/threads.hpp"

namespace ifog {

// Where a place lies now: at this step, for this thread.
struct View {
    char* data = nullptr;
    std::ptrdiff_t stride = 0; // elements
    std::size_t element = 4;   // bytes
    bool narrow = false;       // one column for all
    bool operand = false;      // in the product's type
};

// The work of one thread.
class Worker {
  public:
    Worker(const Program& program, const Call& call, const Kernels& kernels, const std::vector<PackedWeights>& packed,
           Share rows, Part columns, bool by_columns, Barrier& barrier)
        : program_(program), call_(call), kernels_(kernels), product_(kernels.product(program.number)),
          packed_(packed), rows_(rows), columns_(columns), by_columns_(by_columns), barrier_(barrier),
          views_(program.places.size()), begins_(program.places.size()),
          block_(program.block(program.registers > 14 ? 256 : 512)) {}

    // Bytes of the arrays that all threads of a column split share, and a thread of a row split has alone.
    [[nodiscard]] std::size_t step_bytes() const {
        std::size_t bytes = 0;
        for (const Place& place : program_.places) bytes += step_bytes(place);
        return bytes;
    }

    // Bytes of registers, constants and totals.
    [[nodiscard]] std::size_t own_bytes() const {
        std::size_t floats = program_.registers * block_;
        for (const Place& place : program_.places) {
            if (place.kind == PlaceKind::constant) floats += block_;
            if (place.kind == PlaceKind::total) floats += padded(place.width, line);
        }
        return floats * 4;
    }

    // Assigns memory. `step` is zeroed: what pads a product's operands must be finite.
    void place(char* step, char* own) {
        operands_.resize(views_.size());
        for (std::size_t i = 0; i < views_.size(); ++i) {
            const Place& place = program_.places[i];
            View& view = views_[i];
            view.narrow = place.width == 1;
            switch (place.kind) {
            case PlaceKind::in_register:
                view.data = own;
                own += block_ * 4;
                break;
            case PlaceKind::constant:
                view.data = own;
                std::fill_n(reinterpret_cast<float*>(own), block_, place.value);
                own += block_ * 4;
                break;
            case PlaceKind::total:
                view.data = own;
                std::memset(own, 0, padded(place.width, line) * 4);
                own += padded(place.width, line) * 4;
                break;
            case PlaceKind::local:
            case PlaceKind::operand: {
                view.operand = place.kind == PlaceKind::operand;
                view.element = element(place);
                view.stride = static_cast<std::ptrdiff_t>(row_width(place));
                view.data = operands_[i] = step;
                step += step_bytes(place);
                break;
            }
            case PlaceKind::given: break;
            case PlaceKind::given_bf16: view.element = 2; break;
            }
        }
    }

    void initialise() {
        for (const Edge& edge : call_.initials) {
            const auto i = static_cast<std::size_t>(edge.place);
            const Place& place = program_.places[i];
            View view = views_[i];
            if (place.kind == PlaceKind::operand) view.data = operand_copy(i, 1);
            const Part columns = columns_of(place.width);
            const Tile source = own_rows(edge, columns.begin);
            const Elementwise store = kernels_.store(view.operand ? program_.number : Number::fp32);
            store(tile(view, 0, columns.begin), source, source, source, rows_.count, columns.size());
        }
    }

    void loop() {
        const bool has_products = std::any_of(program_.stages.begin(), program_.stages.end(),
                                              [](const StageCode& stage) { return !stage.products.empty(); });
        if (!has_products) {
            loop_over_rows();
            return;
        }
        for (std::size_t s = 0; s < call_.steps; ++s) {
            start_step(s);
            bool first = true;
            for (std::size_t i = 0; i < program_.stages.size(); ++i) {
                const StageCode& stage = program_.stages[i];
                // columns of other threads are read by products alone; a step forwards also overwrites in turn what
                // products of the step before read
                if (by_columns_ && (!stage.products.empty() || (first && !call_.reverse))) barrier_.wait();
                first = false;
                for (std::size_t p = 0; p < stage.products.size(); ++p) multiply(stage.products[p], packed_index(i, p), s);
                interpret(stage, {0, active_});
            }
        }
    }

    void finish() const {
        for (const Edge& edge : call_.finals) {
            const auto i = static_cast<std::size_t>(edge.place);
            const Part columns = columns_of(program_.places[i].width);
            const Tile from = tile(views_[i], 0, columns.begin);
            elementwise(Op::copy)(own_rows(edge, columns.begin), from, from, from, rows_.count, columns.size());
        }
    }

    // Adds this thread's totals, in the order of threads: the same sum every time.
    void add_totals() const {
        std::size_t next = 0;
        for (std::size_t i = 0; i < views_.size(); ++i) {
            if (program_.places[i].kind != PlaceKind::total) continue;
            auto* to = reinterpret_cast<float*>(call_.totals[next++]);
            const Part columns = columns_of(program_.places[i].width);
            const auto* from = reinterpret_cast<const float*>(views_[i].data);
            for (std::size_t c = columns.begin; c < columns.end; ++c) to[c] += from[c];
        }
    }

  private:
    [[nodiscard]] std::size_t element(const Place& place) const {
        return place.kind == PlaceKind::operand ? product_.bytes : 4;
    }
    [[nodiscard]] std::size_t row_width(const Place& place) const {
        const std::size_t width = padded(place.width, std::max(product_.depth_align, line));
        return place.kind == PlaceKind::operand ? product_.spread(width) : width;
    }
    [[nodiscard]] std::size_t step_bytes(const Place& place) const {
        if (place.kind != PlaceKind::local && place.kind != PlaceKind::operand) return 0;
        const std::size_t rows = padded(rows_.count, product_.row_align);
        const std::size_t one = padded(rows * row_width(place) * element(place), 64);
        return place.kind == PlaceKind::operand ? 2 * one : one;
    }
    [[nodiscard]] char* operand_copy(std::size_t i, std::size_t step) const {
        return operands_[i] + (step % 2) * step_bytes(program_.places[i]) / 2;
    }
    [[nodiscard]] Elementwise elementwise(Op op) const { return kernels_.elementwise[static_cast<std::size_t>(op)]; }
    [[nodiscard]] Part columns_of(std::size_t width) const { return by_columns_ && width > 1 ? columns_ : Part{0, width}; }

    void start_step(std::size_t s) {
        const std::size_t t = call_.reverse ? call_.steps - 1 - s : s;
        resolve(t, s);
        active_ = rows_.below(call_.rows_of(t));
    }

    // Without products rows have nothing to do with each other: a few go through all steps while their states stay in
    // the second cache, then the next few.
    void loop_over_rows() {
        constexpr std::size_t cached = 1 << 19;
        std::size_t bytes = 0, widest = 1;
        for (const Place& place : program_.places) bytes += place.kind == PlaceKind::local ? 4 * row_width(place) : 0;
        for (const Place& place : program_.places)
            if (place.kind == PlaceKind::given || place.kind == PlaceKind::given_bf16) bytes += 4 * place.width;
        for (const StageCode& stage : program_.stages) widest = std::max(widest, widest_of(stage));
        const std::size_t few = std::max({std::size_t{1}, cached / std::max<std::size_t>(1, bytes), block_ / widest});
        for (std::size_t row = 0; row < rows_.count; row += few)
            for (std::size_t s = 0; s < call_.steps; ++s) {
                start_step(s);
                for (const StageCode& stage : program_.stages)
                    interpret(stage, {row, std::min(row + few, active_)});
            }
    }

    // Products are numbered through all stages.
    [[nodiscard]] std::size_t packed_index(std::size_t stage, std::size_t product) const {
        for (std::size_t i = 0; i < stage; ++i) product += program_.stages[i].products.size();
        return product;
    }

    void resolve(std::size_t t, std::size_t s) {
        std::size_t next = 0;
        for (std::size_t i = 0; i < views_.size(); ++i) {
            const PlaceKind kind = program_.places[i].kind;
            View& view = views_[i];
            if (kind == PlaceKind::operand) {
                view.data = operand_copy(i, s);
            } else if (kind == PlaceKind::given || kind == PlaceKind::given_bf16) {
                const Binding& binding = call_.bindings[next++];
                const std::int64_t at = call_.strides(static_cast<std::int64_t>(t) - binding.previous) * binding.step +
                                        static_cast<std::int64_t>(rows_.first) * binding.row;
                view.data = reinterpret_cast<char*>(binding.base) + at * static_cast<std::int64_t>(view.element);
                view.stride = binding.row * static_cast<std::ptrdiff_t>(rows_.spacing);
            }
        }
    }

    // This thread's rows of the caller's.
    [[nodiscard]] Tile own_rows(const Edge& edge, std::size_t column) const {
        return {reinterpret_cast<float*>(edge.data) + static_cast<std::int64_t>(rows_.first) * edge.row +
                    static_cast<std::ptrdiff_t>(column),
                edge.row * static_cast<std::int64_t>(rows_.spacing)};
    }

    [[nodiscard]] Tile tile(const View& view, std::size_t row, std::size_t column) const {
        if (view.operand) column = product_.spread(column);
        const auto at = static_cast<std::ptrdiff_t>(row) * view.stride +
                        (view.narrow ? 0 : static_cast<std::ptrdiff_t>(column));
        return {reinterpret_cast<float*>(view.data + at * static_cast<std::ptrdiff_t>(view.element)), view.stride};
    }

    void multiply(const ProductCode& code, std::size_t index, std::size_t s) {
        const PackedWeights& packed = packed_[index];
        Operand operands[64];
        for (std::size_t k = 0; k < code.terms.size(); ++k) {
            const Term& term = code.terms[k];
            View view = views_[term.operand];
            if (program_.places[term.operand].kind == PlaceKind::operand)
                view.data = operand_copy(term.operand, term.previous ? s + 1 : s);
            operands[k] = {view.data, view.stride, packed.depths[k]};
        }
        const Part columns = columns_of(code.columns);
        if (columns.size() == 0 || active_ == 0) return;
        const View& out = views_[code.out];
        auto* C = reinterpret_cast<float*>(out.data);
        product_.multiply(operands, code.terms.size(), active_,
                          packed.data + columns.begin * packed.depth * product_.bytes, columns.size(),
                          C + columns.begin, out.stride);
    }

    [[nodiscard]] std::size_t widest_of(const StageCode& stage) const {
        std::size_t widest = 1;
        for (const CodeSegment& segment : stage.segments)
            widest = std::max(widest, columns_of(segment.width).size());
        return widest;
    }

    void interpret(const StageCode& stage, Part part) {
        const std::size_t height = std::max<std::size_t>(1, block_ / widest_of(stage));
        for (std::size_t row = part.begin; row < part.end; row += height) {
            const std::size_t rows = std::min(height, part.end - row);
            for (const CodeSegment& segment : stage.segments) {
                if (segment.row_operation()) {
                    row_operation(segment.code[0], row, rows);
                    continue;
                }
                if (segment.matrix()) {
                    for (std::size_t r = row; r < row + rows; ++r) matrix(segment, r);
                    continue;
                }
                const Part columns = columns_of(segment.width);
                for (std::size_t c = columns.begin; c < columns.end; c += block_)
                    elements(segment, row, rows, c, std::min(block_, columns.end - c));
            }
        }
    }

    void matrix(const CodeSegment& segment, std::size_t row) {
        for (std::size_t i = 0; i < views_.size(); ++i) {
            const PlaceKind kind = program_.places[i].kind;
            const bool own = kind == PlaceKind::in_register || kind == PlaceKind::constant || kind == PlaceKind::total;
            const std::ptrdiff_t at = own ? 0 : static_cast<std::ptrdiff_t>(row) * views_[i].stride;
            begins_[i] = views_[i].data + at * static_cast<std::ptrdiff_t>(views_[i].element);
        }
        lay_out_matrix(segment, program_, kernels_, begins_, matrix_steps_);
        pass_over_matrix(segment, matrix_steps_, block_);
    }

    void elements(const CodeSegment& segment, std::size_t row, std::size_t rows, std::size_t column,
                  std::size_t columns) {
        const auto at = [&](std::size_t i) -> Tile {
            if (i < program_.registers) return {reinterpret_cast<float*>(views_[i].data), static_cast<std::ptrdiff_t>(columns)};
            if (program_.places[i].kind == PlaceKind::constant) return {reinterpret_cast<float*>(views_[i].data), 0};
            return tile(views_[i], row, column);
        };
        for (const Instruction& code : segment.code) {
            const auto op = static_cast<Op>(code.op);
            const bool stores = op == Op::store_bf16 && views_[code.out].operand;
            const Elementwise function = stores ? kernels_.store(program_.number) : elementwise(op);
            function(at(code.out), at(code.a), at(code.b), at(code.c), rows, columns);
        }
    }

    void row_operation(const Instruction& code, std::size_t row, std::size_t rows) {
        const auto width = [&](std::uint16_t i) { return program_.places[i].width; };
        kernels_.rowwise[code.op](tile(views_[code.out], row, 0), tile(views_[code.a], row, 0),
                                  tile(views_[code.b], row, 0), rows, width(code.out), width(code.a), width(code.b),
                                  code.first, code.second);
    }

    const Program& program_;
    const Call& call_;
    const Kernels& kernels_;
    const Product& product_;
    const std::vector<PackedWeights>& packed_;
    const Share rows_; // the thread's; row r of its scratch is the r-th of them
    const Part columns_;
    const bool by_columns_;
    std::size_t active_ = 0; // rows that this step has
    Barrier& barrier_;
    std::vector<View> views_;
    std::vector<char*> operands_;
    std::vector<char*> begins_; // of this row, for a pass over a matrix
    std::vector<MatrixStep> matrix_steps_;
    const std::size_t block_;
};

} // namespace ifog
