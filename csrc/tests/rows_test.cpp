// Rows are picked in any order and by any number of threads, and nothing is written past them.

#include <cstdint>
#include <cstdio>
#include <vector>

#include "ifog/rows.hpp"

int main() {
    int failures = 0;
    for (const std::size_t width : {1UL, 2UL, 17UL, 512UL})
        for (const std::size_t count : {0UL, 1UL, 7UL, 1000UL})
            for (const std::size_t threads : {1UL, 2UL, 3UL}) {
                const std::size_t stride = width + 5;
                std::vector<char> source(1000 * stride);
                for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<char>(1 + i % 100);
                std::vector<std::int64_t> rows(count);
                for (std::size_t i = 0; i < count; ++i) rows[i] = i % 5 == 4 ? -1 : static_cast<std::int64_t>(i * 37 % 1000);
                std::vector<char> out(count * width + 8, 'x');
                ifog::pick_rows(out.data(), source.data(), static_cast<std::ptrdiff_t>(stride), width, rows.data(), count,
                                threads);
                for (std::size_t i = 0; i < count * width; ++i) {
                    const std::int64_t row = rows[i / width];
                    const char wanted = row < 0 ? char{0} : source[static_cast<std::size_t>(row) * stride + i % width];
                    failures += out[i] != wanted;
                }
                for (std::size_t i = count * width; i < out.size(); ++i) failures += out[i] != 'x';
            }
    if (failures != 0) std::printf("%d bytes are wrong\n", failures);
    return failures != 0;
}
