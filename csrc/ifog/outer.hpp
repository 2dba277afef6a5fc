// Sums of outer products over all steps and rows: the gradients of matrices.
//
// out[i, j] = sum over rows r of left[r, i] * right[r, j]. Owns the cut of the rows into chunks that are turned, packed
// and multiplied while they are in the cache. Every number is summed in the same order whatever the number of threads.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ifog/kernels.hpp"
#include "ifog/parts.hpp"
#include "ifog/projection.hpp"
#include "ifog/threads.hpp"

namespace ifog {

// What multiplies the left side, and where the sum goes: floats, `out_stride` from row to row.
struct Right {
    Rows rows;
    std::size_t width = 0;
    std::uintptr_t out = 0;
    std::int64_t out_stride = 0;
};

// One left side, turned once for all that multiply it.
struct Outer {
    Rows left;
    std::size_t width = 0;
    std::vector<Right> rights;
};

// One of them at work; the memory is the caller's.
class OuterProduct {
  public:
    OuterProduct(const Outer& outer, const Kernels& kernels, Number number, std::size_t rows);

    [[nodiscard]] std::size_t shared_bytes() const;
    [[nodiscard]] std::size_t scratch_bytes() const; // of each thread

    // Called by all threads; `shared` is free for others once all have returned.
    void run(char* shared, char* scratch, std::size_t thread, std::size_t threads, Barrier& barrier) const;

  private:
    struct Scratch;
    [[nodiscard]] Scratch cut(char* scratch) const;
    void pack(char* packed, const Scratch& scratch, std::size_t begin, std::size_t depth, std::size_t thread,
              std::size_t threads) const;
    void turn(const Scratch& scratch, std::size_t begin, std::size_t depth, std::size_t column,
              std::size_t columns) const;
    void multiply(const char* packed, const Scratch& scratch, std::size_t depth, std::size_t column,
                  std::size_t columns, bool first) const;
    [[nodiscard]] Elementwise op(Op which) const { return kernels_.elementwise[static_cast<std::size_t>(which)]; }
    // Never an even number of lines, let alone a power of two: rows would fall on one another in the cache.
    [[nodiscard]] std::size_t turned_width() const { return ((product_.spread(depth_) / line + 1) | 1) * line; }
    [[nodiscard]] std::size_t packed_bytes(const Right& right) const;

    const Outer& outer_;
    const Kernels& kernels_;
    const Product& product_;
    const Number number_;
    const std::size_t rows_, chunks_;
    std::size_t depth_; // of the longest chunk, padded
};

} // namespace ifog
