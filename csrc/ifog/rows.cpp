#include "ifog/rows.hpp"

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

} // namespace ifog
