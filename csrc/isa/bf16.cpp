// The tables of `avx512_bf16` and `amx_bf16`: see ifog/kernels.hpp. The product of bf16 numbers for both.
//
// Packed: panel after panel as in isa/matmul.hpp, but within a panel block after block of 32 depths, in it one tile for
// every 16 columns: 16 rows of 16 columns, each with the weights of two neighbouring depths. It is what the tile
// instructions want, and one row of it what the dot product of pairs wants.
//
// The elementwise tables are those of avx512, taken by address and called at run time: nothing here depends on the
// order in which files are initialised.

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define IFOG_ISA avx512_amx // a copy of the fp32 product of its own, known to the compiler when it fills the tables

#include "isa/fixed.hpp"
#include "isa/matmul.hpp"

namespace ifog::IFOG_ISA {

inline constexpr std::size_t tile_depth = 32;
inline constexpr std::size_t tile_size = tile_depth * lanes; // weights in one tile

// Sums of bf16: both products of a pair go into one float.
struct DotKernel {
    using Weight = bf16;
    static constexpr std::size_t step = 2;
    static constexpr std::size_t spread(std::size_t depth) { return depth; }

    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static void block(const Job& job, const Place& place, const bf16* packed) {
        const char* ahead = place.ahead;
        Vector sum[Rows][Panels * Vectors] = {};
        for (std::size_t i = 0; i < job.operand_count; ++i) {
            const Operand& operand = job.operands[i];
            const std::ptrdiff_t stride = operand.stride;
            const bf16* a = static_cast<const bf16*>(operand.rows) + static_cast<std::ptrdiff_t>(place.row) * stride;
            for (std::size_t k = 0; k < operand.depth; k += tile_depth, packed += Vectors * tile_size) {
                for (std::size_t pair = 0; pair < tile_depth; pair += 2, a += 2) {
                    if constexpr (Rows >= fetching_rows) fetch(ahead, place.ahead_step);
                    add_pair<Rows, Vectors, Panels>(sum, a, stride, packed + pair * lanes, job.panel_size);
                }
            }
        }
        store_sums(job, place, sum);
    }

    template <std::size_t Rows, std::size_t Vectors, std::size_t Panels>
    static inline void add_pair(Vector (&sum)[Rows][Panels * Vectors], const bf16* a, std::ptrdiff_t stride,
                                const bf16* packed, std::size_t panel_size) {
#pragma GCC unroll 8
        for (std::size_t p = 0; p < Panels; ++p) {
            __m512bh weights[Vectors];
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                weights[v] = (__m512bh)_mm512_loadu_si512(packed + p * panel_size + v * tile_size);
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                std::int32_t pair;
                __builtin_memcpy(&pair, a + static_cast<std::ptrdiff_t>(r) * stride, sizeof pair);
                const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 8
                for (std::size_t v = 0; v < Vectors; ++v) {
                    Vector& total = sum[r][p * Vectors + v];
                    total = (Vector)_mm512_dpbf16_ps((__m512)total, x, weights[v]);
                }
            }
        }
    }
};

static void pack_tiles(void* packed, const float* data, std::ptrdiff_t column_stride, std::ptrdiff_t depth_stride,
                       std::size_t columns, std::size_t depth, std::size_t offset, std::size_t depth_total) {
    const Source source{data, column_stride, depth_stride};
    for_each_square(source, columns, depth, tile_depth, [&](std::size_t column, std::size_t k) {
        const std::size_t panel = column / panel_columns * panel_columns;
        const std::size_t width = smaller(panel_columns, round_up(columns - panel, lanes));
        bf16* out = static_cast<bf16*>(packed) + panel * depth_total + (offset + k) * width +
                    (column - panel) / lanes * tile_size;
        for (std::size_t half = k; half < k + tile_depth; half += lanes) {
            Vector square[lanes]; // zeros behind the last depth, which is the padding
            read_square(square, source, column, half, columns - column, half < depth ? depth - half : 0);
            for (std::size_t i = 0; i < lanes; i += 2, out += 2 * lanes) {
                const Bits first = (Bits)nearest_bf16(square[i]) >> 16;
                _mm512_storeu_si512(out, (__m512i)(first | (Bits)nearest_bf16(square[i + 1])));
            }
        }
    });
}

} // namespace ifog::IFOG_ISA

#include "isa/tiles.hpp"

namespace ifog {

namespace avx512 {
extern const Elementwise elementwise_table[];
extern const Rowwise rowwise_table[];
} // namespace avx512

extern const Kernels avx512_kernels, avx512_bf16_kernels, amx_bf16_kernels;

// Whether Linux lets this process use the tiles, asked once: without that, the first use of one ends the process.
bool amx_permitted() {
#if defined(__linux__)
    constexpr long request_permission = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    return permitted;
#else
    return false;
#endif
}

static void enter_vectors() { avx512_kernels.enter(); }
static void leave_vectors() { avx512_kernels.leave(); }

static void enter_tiles() {
    avx512_kernels.enter();
    avx512_amx::configure_tiles();
}

static void leave_tiles() {
    _tile_release();
    avx512_kernels.leave();
}

constexpr Product half_product(MatMul multiply) {
    using namespace avx512_amx;
    return {multiply, pack_tiles, panel_columns, lanes, tile_depth, tile_rows, sizeof(bf16), 0};
}

constinit const Kernels avx512_bf16_kernels = {
    Isa::avx512_bf16,
    avx512_amx::fp32_product,
    half_product(avx512_amx::walk<avx512_amx::DotKernel>),
    avx512_amx::int16_product,
    true,
    true,
    avx512::elementwise_table,
    avx512::rowwise_table,
    avx512_amx::turn,
    avx512_amx::store_int16,
    enter_vectors,
    leave_vectors,
};

constinit const Kernels amx_bf16_kernels = {
    Isa::amx_bf16,
    avx512_amx::fp32_product,
    half_product(avx512_amx::multiply_tiles),
    avx512_amx::int16_product,
    true,
    true,
    avx512::elementwise_table,
    avx512::rowwise_table,
    avx512_amx::turn,
    avx512_amx::store_int16,
    enter_tiles,
    leave_tiles,
};

} // namespace ifog
