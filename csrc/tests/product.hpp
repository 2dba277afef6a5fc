// What the tests of products share: one product with its operands and weights, the sums in double precision, and what
// every table makes of it.

#pragma once

#include "tests/checks.hpp"

#include "ifog/isa.hpp"
#include "ifog/kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace {

// --- numbers --------------------------------------------------------------------------------------------------------

// Rounded to nearest even by way of the two neighbours: on purpose not how the kernels do it.
float nearest_bf16(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const float below = std::bit_cast<float>(bits & 0xffff0000U);
    const float above = std::bit_cast<float>((bits & 0xffff0000U) + 0x10000U);
    const double down = std::abs(double{x} - below), up = std::abs(double{above} - x);
    if (down != up) return down < up ? below : above;
    return (bits & 0x10000U) == 0 ? below : above;
}

ifog::bf16 upper_half(float x) { return static_cast<ifog::bf16>(std::bit_cast<std::uint32_t>(x) >> 16); }

constexpr float canary = 12345.0F;

std::size_t round_up(std::size_t a, std::size_t b) { return (a + b - 1) / b * b; }

const char* name_of(ifog::Isa isa) {
    constexpr const char* names[] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "amx_bf16"};
    return names[static_cast<std::size_t>(isa)];
}

// --- one product ----------------------------------------------------------------------------------------------------

// How the weights lie in their source.
enum class Order { rows_are_columns, rows_are_depths, neither };

struct Case {
    std::size_t rows, columns;
    std::vector<std::size_t> depths; // of each operand
    Order order;

    std::string text() const {
        std::string words = std::to_string(rows) + " rows, " + std::to_string(columns) + " columns, depths";
        for (const std::size_t depth : depths) words += " " + std::to_string(depth);
        return words + ", source order " + std::to_string(static_cast<int>(order));
    }
};

// The sums in double precision, those of the absolute terms, which bound the error, and what else may be lost.
struct Expected {
    std::vector<double> sums, magnitudes, lost; // [rows][columns]
};

struct Problem {
    std::vector<std::vector<float>> inputs;  // of each operand, [rows][depth]
    std::vector<std::vector<float>> weights; // of each operand, [columns][depth]
};

Problem make_problem(const Case& c, bool rounded_inputs) {
    Problem problem;
    for (const std::size_t depth : c.depths) {
        auto& input = problem.inputs.emplace_back(c.rows * depth);
        for (float& x : input) x = rounded_inputs ? nearest_bf16(number()) : number();
        auto& weight = problem.weights.emplace_back(c.columns * depth);
        for (float& x : weight) x = number();
    }
    return problem;
}

// How far numbers of a row can be from their 16-bit integers: half a unit, of which the largest of a group has `most`.
std::vector<double> half_units(const float* row, std::size_t depth, double most) {
    std::vector<double> found(depth);
    for (std::size_t begin = 0; begin < depth; begin += ifog::fixed_group) {
        const std::size_t end = std::min(depth, begin + ifog::fixed_group);
        double largest = 0;
        for (std::size_t k = begin; k < end; ++k) largest = std::max(largest, std::abs(double{row[k]}));
        for (std::size_t k = begin; k < end; ++k) found[k] = largest / most * 0.50001;
    }
    return found;
}

// What 16-bit integers may lose of every sum.
void bound_loss(const Case& c, const Problem& problem, Expected& out) {
    for (std::size_t i = 0; i < c.depths.size(); ++i) {
        const std::size_t depth = c.depths[i];
        std::vector<std::vector<double>> of_weights;
        for (std::size_t j = 0; j < c.columns; ++j)
            of_weights.push_back(half_units(problem.weights[i].data() + j * depth, depth, 4095));
        for (std::size_t r = 0; r < c.rows; ++r) {
            const float* row = problem.inputs[i].data() + r * depth;
            const std::vector<double> of_row = half_units(row, depth, 8191);
            for (std::size_t j = 0; j < c.columns; ++j)
                for (std::size_t k = 0; k < depth; ++k)
                    out.lost[r * c.columns + j] +=
                        of_row[k] * std::abs(double{problem.weights[i][j * depth + k]}) +
                        of_weights[j][k] * (std::abs(double{row[k]}) + of_row[k]);
        }
    }
}

Expected expect(const Case& c, const Problem& problem, ifog::Number number) {
    const bool rounded_weights = number == ifog::Number::bf16;
    const std::vector<double> zeros(c.rows * c.columns);
    Expected out{zeros, zeros, zeros};
    if (number == ifog::Number::int16) bound_loss(c, problem, out);
    for (std::size_t i = 0; i < c.depths.size(); ++i) {
        std::vector<float> weights = problem.weights[i];
        if (rounded_weights) std::transform(weights.begin(), weights.end(), weights.begin(), nearest_bf16);
        for (std::size_t r = 0; r < c.rows; ++r) {
            for (std::size_t j = 0; j < c.columns; ++j) {
                for (std::size_t k = 0; k < c.depths[i]; ++k) {
                    const double term = double{problem.inputs[i][r * c.depths[i] + k]} * weights[j * c.depths[i] + k];
                    out.sums[r * c.columns + j] += term;
                    out.magnitudes[r * c.columns + j] += std::abs(term);
                }
            }
        }
    }
    return out;
}

// The packed weights of all operands, in memory that is filled to the last byte with NaN before.
std::vector<std::uint8_t> pack(const ifog::Product& product, const Case& c, const Problem& problem) {
    std::size_t depth_total = 0;
    for (const std::size_t depth : c.depths) depth_total += product.spread(round_up(depth, product.depth_align));
    const std::size_t size = round_up(c.columns, product.lanes) * depth_total * product.bytes;
    std::vector<std::uint8_t> packed(size + 64, 0xff);

    std::size_t offset = 0;
    for (std::size_t i = 0; i < c.depths.size(); ++i) {
        const std::size_t depth = c.depths[i];
        std::size_t column_stride = depth + 3, depth_stride = 1;
        if (c.order == Order::rows_are_depths) {
            column_stride = 1;
            depth_stride = c.columns + 5;
        } else if (c.order == Order::neither) {
            column_stride = 2;
            depth_stride = 2 * c.columns + 1;
        }
        std::vector<float> source((c.columns - 1) * column_stride + (depth == 0 ? 0 : depth - 1) * depth_stride + 1);
        for (std::size_t j = 0; j < c.columns; ++j) {
            for (std::size_t k = 0; k < depth; ++k) {
                source[j * column_stride + k * depth_stride] = problem.weights[i][j * depth + k];
            }
        }
        product.pack(packed.data(), source.data(), static_cast<std::ptrdiff_t>(column_stride),
                     static_cast<std::ptrdiff_t>(depth_stride), c.columns, depth, offset, depth_total);
        offset += product.spread(round_up(depth, product.depth_align));
    }
    const bool clean = std::all_of(packed.begin() + static_cast<std::ptrdiff_t>(size), packed.end(),
                                   [](std::uint8_t byte) { return byte == 0xff; });
    check(clean, "packing stays within its memory: " + c.text());
    return packed;
}

struct Subject {
    const ifog::Kernels* table;
    ifog::Number number;

    [[nodiscard]] const ifog::Product& product() const { return table->product(number); }
    [[nodiscard]] std::string name() const {
        constexpr const char* numbers[] = {" fp32", " bf16", " int16"};
        return name_of(table->isa) + std::string(numbers[static_cast<std::size_t>(number)]);
    }
};

// C with `ldc` numbers in a row, from the panel that begins at `first_column` on.
std::vector<float> multiply(const Subject& subject, const Case& c, const Problem& problem,
                            const std::vector<std::uint8_t>& packed, std::size_t first_column, std::size_t ldc) {
    const ifog::Product& product = subject.product();
    const std::size_t rows = round_up(c.rows, product.row_align);
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<ifog::bf16>> halves;
    std::vector<ifog::Operand> operands;
    std::size_t depth_total = 0;
    for (std::size_t i = 0; i < c.depths.size(); ++i) {
        const std::size_t depth = c.depths[i], padded = round_up(depth, product.depth_align);
        const std::size_t stride = product.spread(padded) + 8 * i;
        auto& wide = floats.emplace_back(rows * stride + 1, 3.0F); // what lies in the padding is finite, not zero
        for (std::size_t r = 0; r < c.rows; ++r) {
            std::copy_n(problem.inputs[i].begin() + static_cast<std::ptrdiff_t>(r * depth), depth,
                        wide.begin() + static_cast<std::ptrdiff_t>(r * stride));
        }
        auto& narrow = halves.emplace_back(wide.size());
        std::transform(wide.begin(), wide.end(), narrow.begin(), upper_half);
        const auto step = static_cast<std::ptrdiff_t>(stride);
        if (subject.number == ifog::Number::int16) {
            const ifog::Tile from{wide.data(), step}, to{reinterpret_cast<float*>(narrow.data()), step};
            subject.table->store_int16(to, from, from, from, c.rows, depth);
        }
        const void* data = product.bytes == 2 ? static_cast<const void*>(narrow.data()) : wide.data();
        operands.push_back({data, step, padded});
        depth_total += product.spread(padded);
    }
    std::vector<float> C(rows * ldc + 16, canary);
    const void* weights = packed.data() + first_column * depth_total * product.bytes;
    product.multiply(operands.data(), operands.size(), c.rows, weights, c.columns - first_column,
                     C.data() + first_column, static_cast<std::ptrdiff_t>(ldc));
    return C;
}

std::vector<float> test_product(const Subject& subject, const Case& c, const Problem& problem,
                                const Expected& expected) {
    const ifog::Product& product = subject.product();
    const std::string text = subject.name() + ": " + c.text();
    const std::vector<std::uint8_t> packed = pack(product, c, problem);
    const std::size_t room = round_up(c.columns, product.lanes), ldc = room + 7;
    const std::vector<float> C = multiply(subject, c, problem, packed, 0, ldc);

    std::size_t depth = 1;
    for (const std::size_t d : c.depths) depth += d;
    const double unit = static_cast<double>(depth) * std::numeric_limits<float>::epsilon();
    bool exact = true, clean = true, padded = true;
    std::vector<float> values;
    for (std::size_t r = 0; r < c.rows; ++r) {
        for (std::size_t j = 0; j < c.columns; ++j) {
            const std::size_t at = r * c.columns + j;
            values.push_back(C[r * ldc + j]);
            exact = exact && std::abs(values.back() - expected.sums[at]) <= unit * expected.magnitudes[at] + expected.lost[at];
        }
        for (std::size_t j = c.columns; j < room; ++j) padded = padded && C[r * ldc + j] == 0.0F;
    }
    for (std::size_t i = 0; i < C.size(); ++i) {
        const bool own = i / ldc < round_up(c.rows, product.row_align) && i % ldc < room;
        clean = clean && (own || C[i] == canary);
    }
    check(exact, "the sums are right: " + text);
    check(padded, "the weights of padding columns are zero: " + text);
    check(clean, "nothing is written behind the room for C: " + text);

    if (c.columns > product.panel) { // the second panel alone
        const std::vector<float> part = multiply(subject, c, problem, packed, product.panel, ldc);
        bool same = true;
        for (std::size_t r = 0; r < c.rows; ++r) {
            for (std::size_t j = 0; j < c.columns; ++j) {
                const float wanted = j < product.panel ? canary : C[r * ldc + j];
                same = same && part[r * ldc + j] == wanted;
            }
        }
        check(same, "later panels alone give the same numbers: " + text);
    }
    return values;
}

// --- the tables that run here ---------------------------------------------------------------------------------------

// Asking for the names also asks the operating system for the tiles.
std::vector<const ifog::Kernels*> runnable() {
    std::vector<const ifog::Kernels*> tables;
    for (const std::string& name : ifog::isa_names()) tables.push_back(&ifog::kernels_named(name));
    return tables;
}

} // namespace
