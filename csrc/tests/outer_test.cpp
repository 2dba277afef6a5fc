// Outer products on every instruction set that this machine can run, of floats, of operands rounded to bf16 and of 16-bit
// integers, against sums in double precision; on one to three threads, which must not change a bit.
//
// A plain program: exit status 0 means every check held.

#include "tests/canvas.hpp"

#include "ifog/isa.hpp"
#include "ifog/memory.hpp"
#include "ifog/outer.hpp"

#include <bit>
#include <cmath>
#include <cstring>

namespace {

float rounded(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    return std::bit_cast<float>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}

// Rows with a gap between them, as floats and as bf16.
struct Side {
    std::size_t width, stride;
    std::vector<float> floats;
    std::vector<bf16> halves;

    Side(std::size_t rows, std::size_t width_) : width(width_), stride(width_ + 3), floats(rows * stride) {
        draw(floats, -1, 1);
        for (const float x : floats) halves.push_back(static_cast<bf16>(std::bit_cast<std::uint32_t>(rounded(x)) >> 16));
    }
    [[nodiscard]] Rows rows(bool half) const {
        const void* data = half ? static_cast<const void*>(halves.data()) : floats.data();
        return {reinterpret_cast<std::uintptr_t>(data), static_cast<std::int64_t>(stride), half};
    }
    [[nodiscard]] double at(std::size_t row, std::size_t column, bool round) const {
        const float x = floats[row * stride + column];
        return double{round ? rounded(x) : x};
    }
};

struct Case {
    std::size_t rows, left, right, more; // widths
    Number number;
    bool left_half, right_half;
};

std::vector<float> compute(const Kernels& table, const Case& it, const Side& left, const Side (&right)[2],
                           std::size_t threads) {
    std::vector<float> out(it.left * (it.right + it.more + 2), canary);
    const auto at = [&](std::size_t column) { return reinterpret_cast<std::uintptr_t>(out.data() + column); };
    const auto stride = static_cast<std::int64_t>(it.right + it.more + 2);
    Outer outer{left.rows(it.left_half), it.left, {}};
    outer.rights.push_back({right[0].rows(it.right_half), it.right, at(0), stride});
    outer.rights.push_back({right[1].rows(false), it.more, at(it.right + 1), stride});
    const OuterProduct product(outer, table, it.number, it.rows);
    const Block shared(product.shared_bytes());
    const Block scratch(threads * product.scratch_bytes());
    std::memset(shared.data(), 0xff, product.shared_bytes());
    std::memset(scratch.data(), 0xff, threads * product.scratch_bytes());
    Barrier barrier(threads);
    parallel(threads, [&](std::size_t k) {
        table.enter();
        product.run(shared.data(), scratch.data() + k * product.scratch_bytes(), k, threads, barrier);
        table.leave();
    });
    return out;
}

void check_one(const Kernels& table, const char* isa, const Case& it) {
    const Side left(it.rows, it.left);
    const Side right[2] = {Side(it.rows, it.right), Side(it.rows, it.more)};
    const std::vector<float> made = compute(table, it, left, right, 1);
    const std::size_t stride = it.right + it.more + 2;
    const bool half = it.number == Number::bf16;
    // roundings of integers point either way: they add up like steps of a random walk
    const double lost = it.number == Number::int16 ? 3e-4 * std::sqrt(static_cast<double>(it.rows)) : 0;
    for (std::size_t i = 0; i < it.left; ++i) {
        for (std::size_t j = 0; j < stride; ++j) {
            const float value = made[i * stride + j];
            if (j == it.right || j == stride - 1) {
                if (value != canary) fail(isa, "outer", "it writes past its columns");
                continue;
            }
            const Side& side = j < it.right ? right[0] : right[1];
            const std::size_t column = j < it.right ? j : j - it.right - 1;
            double sum = 0;
            double magnitude = 1;
            for (std::size_t r = 0; r < it.rows; ++r) {
                const bool round = half || (j < it.right && it.right_half);
                const double term = left.at(r, i, half || it.left_half) * side.at(r, column, round);
                sum += term;
                magnitude += std::abs(term);
            }
            if (!(std::abs(double{value} - sum) <= 1e-6 * magnitude + lost)) fail(isa, "outer", "a sum is wrong");
        }
    }
    for (const std::size_t threads : {2, 3})
        if (std::memcmp(made.data(), compute(table, it, left, right, threads).data(), made.size() * 4) != 0)
            fail(isa, "outer", "the number of threads changes a result");
}

} // namespace

int main() {
    for (const std::string& isa : isa_names()) {
        const Kernels& table = kernels_named(isa);
        for (const std::size_t rows : {1, 25, 513, 1100}) {
            for (const Number number : {Number::fp32, Number::bf16, Number::int16}) {
                const bool half = number == Number::bf16; // arrays are kept in bf16 for such products alone
                check_one(table, isa.c_str(), {rows, 37, 64, 5, number, false, false});
                check_one(table, isa.c_str(), {rows, 208, 300, 1, number, half, half});
                check_one(table, isa.c_str(), {rows, 1, 16, 100, number, half, false});
            }
        }
    }
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
