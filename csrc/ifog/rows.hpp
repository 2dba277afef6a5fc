// Rows of a matrix in another order: between padded and packed sequences.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ifog {

// out row i = source row rows[i], or zeros where that is negative. `stride` and `width` count bytes; the rows of `out`
// follow one another. Threads take even shares.
void pick_rows(char* out, const char* source, std::ptrdiff_t stride, std::size_t width, const std::int64_t* rows,
               std::size_t count, std::size_t threads);

} // namespace ifog
