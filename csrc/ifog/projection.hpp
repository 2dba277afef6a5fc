// Matrix products over all steps at once: what enters the loop forwards, and what leaves it backwards.
//
// Owns the cut of many rows into chunks whose operands are converted, multiplied and stored while they are in the
// cache. Rows are those of a (steps x batch) sequence, evenly spaced. Knows no cell, no Python and no torch.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ifog/kernels.hpp"

namespace ifog {

// A matrix: W[j, k] lies at data + j * column_stride + k * depth_stride floats.
struct WeightSource {
    std::uintptr_t data = 0;
    std::int64_t column_stride = 0, depth_stride = 0;
};

// Rows of numbers, floats or bf16; strides count elements.
struct Rows {
    std::uintptr_t data = 0;
    std::int64_t stride = 0;
    bool half = false;
};

inline Tile tile(const Rows& rows, std::size_t row, std::size_t column = 0) {
    const std::size_t at = row * static_cast<std::size_t>(rows.stride) + column;
    return {reinterpret_cast<float*>(rows.data + at * (rows.half ? 2 : 4)), rows.stride};
}

struct ProjectionTerm {
    Rows operand;
    std::size_t depth = 0;
    WeightSource weight;
};

// out = sum over terms of operand W
struct Projection {
    Rows out;
    std::size_t columns = 0;
    std::vector<ProjectionTerm> terms;
};

// One projection at work; the memory is the caller's.
class Projector {
  public:
    Projector(const Projection& projection, const Kernels& kernels, Number number);

    [[nodiscard]] std::size_t packed_bytes() const;
    [[nodiscard]] std::size_t scratch_bytes() const; // of each thread

    void pack(char* packed, std::size_t thread, std::size_t threads) const;
    // Rows begin to end; all of `packed` has to be there.
    void multiply(const char* packed, char* scratch, std::size_t begin, std::size_t end) const;

  private:
    [[nodiscard]] bool reads_directly() const; // operands where they lie
    [[nodiscard]] bool writes_directly() const;

    const Projection& projection_;
    const Kernels& kernels_;
    const Product& product_;
    const Number number_;
    std::vector<std::size_t> depths_; // padded
    std::size_t depth_ = 0;           // of all, as spread out in the packed weights
};

// out row r = the sum over terms of table row ids[r]: a product with one-hot vectors, without the product.
struct Lookup {
    std::uintptr_t ids = 0; // int64, one for each row
    std::size_t vocabulary = 0;
    Rows out;
    std::size_t columns = 0;
    WeightSource weight; // W[j, id]
};

// Rows of the table, one for each token: part `thread` of it.
void fill_table(const Lookup& lookup, float* table, std::size_t thread, std::size_t threads);
// Rows begin to end of the output.
void look_up(const Lookup& lookup, const float* table, const Kernels& kernels, std::size_t begin, std::size_t end);

// The other way: row ids[r] of `table` (vocabulary x columns floats) += row r of `rows`, columns begin to end.
struct Scatter {
    std::uintptr_t ids = 0;
    Rows rows;
    std::size_t columns = 0;
    std::uintptr_t table = 0;
};

void scatter_add(const Scatter& scatter, const Kernels& kernels, std::size_t row_count, std::size_t begin,
                 std::size_t end);

} // namespace ifog
