// Rows of a matrix in another order: between padded and packed sequences.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ifog {

// out row i = source row rows[i], or zeros where that is negative. `stride` and `width` count bytes; the rows of `out`
// follow one another. Threads take even shares.
void pick_rows(char* out, const char* source, std::ptrdiff_t stride, std::size_t width, const std::int64_t* rows,
               std::size_t count, std::size_t threads);

// Where the rows of packed sequences lie among padded ones, step after step, `sizes[t]` sequences in step t, row k of a
// step being sequence order[k]: packed row n is padded row rows[n], and back[rows[n]] is n, negative where none is.
// `step` and `sequence` are the distances of padded rows; there are as many as `back` has room for.
void number_rows(const std::int64_t* sizes, std::size_t steps, const std::int64_t* order, std::int64_t step,
                 std::int64_t sequence, std::int64_t* rows, std::int64_t* back, std::size_t padded);

} // namespace ifog
