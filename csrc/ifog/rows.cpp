#include "ifog/rows.hpp"

#include <algorithm>
#include <cstring>

#include "ifog/parts.hpp"
#include "ifog/threads.hpp"

namespace ifog {

void pick_rows(char* out, const char* source, std::ptrdiff_t stride, std::size_t width, const std::int64_t* rows,
               std::size_t count, std::size_t threads) {
    const std::size_t team = count * width < 100000 ? 1 : possible_threads(threads);
    parallel(team, [&](std::size_t k) {
        const Part mine = part_of(count, k, team);
        for (std::size_t i = mine.begin; i < mine.end; ++i) {
            if (rows[i] < 0)
                std::memset(out + i * width, 0, width);
            else
                std::memcpy(out + i * width, source + rows[i] * stride, width);
        }
    });
}

void number_rows(const std::int64_t* sizes, std::size_t steps, const std::int64_t* order, std::int64_t step,
                 std::int64_t sequence, std::int64_t* rows, std::int64_t* back, std::size_t padded) {
    std::fill_n(back, padded, -1);
    std::int64_t n = 0;
    for (std::size_t t = 0; t < steps; ++t)
        for (std::int64_t k = 0; k < sizes[t]; ++k) {
            rows[n] = static_cast<std::int64_t>(t) * step + order[k] * sequence;
            back[rows[n]] = n;
            ++n;
        }
}

} // namespace ifog
