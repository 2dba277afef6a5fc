// Runs the compiled program of one time step over a whole sequence, forwards or backwards.
//
// Owns the loop over time, the split of the work between threads, the packing of weights and the scratch of a step.
// Takes a `Program` (what src/ifog/compiler/registers.py wrote) and the addresses of this call's arrays. Knows no cell,
// no Python and no torch.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ifog/kernels.hpp"
#include "ifog/outer.hpp"
#include "ifog/projection.hpp"

namespace ifog {

// Where a value of the step is kept. The order is that of registers.py.
enum class PlaceKind : std::uint8_t {
    in_register, // a block in L1, within one segment
    given,       // the caller's floats: a binding says where at each step
    given_bf16,  // the caller's bf16
    local,       // a row per sequence, within a step or carried to the next
    operand,     // what a matrix product reads, in the product's type; one copy for odd steps and one for even
    constant,    // one number
    total,       // a row that sums up over all rows and steps
};

struct Place {
    PlaceKind kind;
    std::size_t width;
    float value; // of a constant
};

struct Instruction {
    bool rowwise;
    std::uint16_t op; // Op or RowOp
    std::uint16_t out, a, b, c;
    std::int32_t first, second;
};

// Instructions that share a pass over rows of one width; or one row operation.
//
// Where `lines` is more than 1 each row is a matrix, its lines one after the other: see matrix.hpp.
struct CodeSegment {
    std::size_t width, lines;
    std::vector<Instruction> code;

    [[nodiscard]] bool matrix() const { return lines > 1; }
    [[nodiscard]] bool row_operation() const { return !matrix() && code.size() == 1 && code[0].rowwise; }
};

struct Term {
    std::uint16_t operand; // place
    std::uint16_t weight;
    bool previous; // read what the step before wrote
};

struct ProductCode {
    std::uint16_t out; // place
    std::size_t columns;
    std::vector<Term> terms;
};

struct StageCode {
    std::vector<ProductCode> products;
    std::vector<CodeSegment> segments;
};

struct WeightShape {
    std::size_t columns, depth;
};

struct Program {
    std::vector<Place> places;
    std::vector<StageCode> stages;
    std::vector<WeightShape> weights;
    std::size_t registers = 0;    // places of kind `in_register` come first
    Number number = Number::fp32; // what products multiply

    // The program that `words` spells, checked: indices in range, widths that fit. Throws std::invalid_argument.
    static Program decode(const std::vector<std::int64_t>& words);

    // Floats of a register, `least` or more: a line of a matrix is not cut.
    [[nodiscard]] std::size_t block(std::size_t least) const;

    // Whether columns are independent but for the products, so that threads may split them.
    [[nodiscard]] bool columns_split() const;
};

// Where a `given` place lies at step t: base + t * step, or at the step before it. Strides count elements. Of packed
// sequences, whose steps are not equally far apart, `step` counts for each row of all the steps before.
struct Binding {
    std::uintptr_t base = 0;
    std::int64_t step = 0, row = 0;
    bool previous = false;
};

// Floats of the caller, a row per sequence, that a place starts from or that it is copied to after the last step.
struct Edge {
    std::int64_t place = 0;
    std::uintptr_t data = 0;
    std::int64_t row = 0;
};

// Rows of floats to copy, one for each sequence.
struct Move {
    std::uintptr_t from = 0;
    std::int64_t from_row = 0;
    std::uintptr_t to = 0;
    std::int64_t to_row = 0;
    std::size_t width = 0;
};

// Sequences come in one of two forms. Padded, each step has a row for each sequence. Packed, sequences stand in the
// order of their lengths, longest first, and a step has rows for those alone that reach it: `starts` says at which row
// of an array each step begins, and where the last one ends. What a sequence carries stays as it is past its end. An
// array that holds first states too has them, a row for each sequence, before the rows of step 0.
struct Call {
    std::vector<Binding> bindings; // one for each place of kind given or given_bf16, in order
    std::vector<WeightSource> weights;
    std::vector<std::uintptr_t> totals; // one row of floats for each place of kind total, in order: written
    std::vector<Edge> initials, finals;
    std::vector<Move> moves_before, moves_after;
    std::vector<Projection> before, after; // over all steps, before and after the loop
    std::vector<Lookup> lookups;           // likewise before
    std::vector<Scatter> scatters;         // likewise after
    std::vector<Outer> outers;             // likewise
    std::size_t rows = 0, batch = 0, threads = 1; // over all steps, and of a state
    std::size_t steps = 0;
    std::vector<std::size_t> starts; // none: padded
    bool reverse = false;

    // Settles steps: `sizes` are how many rows each step of packed sequences has, none where they are padded. Throws
    // std::invalid_argument where these are not what `rows` and `batch` say.
    void cut(const std::vector<std::int64_t>& sizes);

    [[nodiscard]] bool packed() const { return !starts.empty(); }
    // How many strides `Binding::step` lie before step t, from -1 on.
    [[nodiscard]] std::int64_t strides(std::int64_t t) const {
        if (!packed()) return t;
        return t < 0 ? -static_cast<std::int64_t>(batch) : static_cast<std::int64_t>(starts[static_cast<std::size_t>(t)]);
    }
    [[nodiscard]] std::size_t rows_of(std::size_t t) const { return packed() ? starts[t + 1] - starts[t] : batch; }
};

// Throws std::invalid_argument where a call doesn't bind what the program needs.
void check(const Program& program, const Call& call);

void run(const Program& program, const Call& call, const Kernels& kernels);

} // namespace ifog
