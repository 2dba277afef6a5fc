// What the tests of csrc/isa share: tiles with a border that nobody may write, and the tables to be tested.

#pragma once

#include "ifog/cpu_features.hpp"
#include "ifog/kernels.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

namespace {

using namespace ifog;

int failures = 0;

void fail(const char* isa, const char* name, const char* what) {
    if (++failures < 40) std::printf("FAILED: %s %s: %s\n", isa, name, what);
}

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float canary = 12345.678F;

std::mt19937 generator(7);

void draw(std::vector<float>& values, float low, float high) {
    std::uniform_real_distribution<float> any(low, high);
    for (float& value : values) value = any(generator);
}

// A tile with a canary before, between and after its rows.
struct Canvas {
    std::size_t rows, columns;
    std::ptrdiff_t stride;
    std::vector<float> numbers;
    static constexpr std::size_t border = 40;

    Canvas(std::size_t rows_, std::size_t columns_, std::ptrdiff_t stride_)
        : rows(rows_), columns(columns_), stride(stride_), numbers(2 * border + rows_ * columns_ + rows_ * 7, canary) {}

    float* at(std::size_t row) { return numbers.data() + border + static_cast<std::ptrdiff_t>(row) * stride; }
    Tile tile() { return {at(0), stride}; }

    void fill(float low, float high) {
        std::vector<float> values(columns);
        for (std::size_t i = 0; i < rows; ++i) {
            draw(values, low, high);
            std::copy(values.begin(), values.end(), at(i));
        }
    }

    bool intact() {
        std::vector<char> inside(numbers.size());
        for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < columns; ++j) inside[static_cast<std::size_t>(at(i) + j - numbers.data())] = 1;
        for (std::size_t i = 0; i < numbers.size(); ++i)
            if (inside[i] == 0 && numbers[i] != canary) return false;
        return true;
    }
};

constexpr std::size_t row_counts[] = {1, 2, 5};
constexpr std::size_t column_counts[] = {1, 3, 15, 16, 17, 33, 100, 512};

[[maybe_unused]] bool runs_here(std::string_view feature) {
    const auto here = cpu_features();
    return feature.empty() || std::find(here.begin(), here.end(), feature) != here.end();
}

// Calls `check(table, name)` for every instruction set that differs here and that this machine can run.
template <class Check> int check_every_set(Check check) {
    const struct {
        Isa isa;
        const char *name, *feature;
    } sets[] = {{Isa::portable, "portable", ""}, {Isa::avx2, "avx2", "avx2"}, {Isa::avx512, "avx512", "avx512"}};
    for (const auto& set : sets) {
        const Kernels* table = kernels(set.isa);
        if (table != nullptr && runs_here(set.feature)) check(*table, set.name);
    }
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}

} // namespace
