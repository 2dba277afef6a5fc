#include "ifog/outer.hpp"

#include <algorithm>
#include <cstring>

#include "ifog/parts.hpp"

namespace ifog {

namespace {

// Long enough that adding a chunk's sums to those before costs little, short enough for the second cache.
constexpr std::size_t longest_chunk = 512;
constexpr std::size_t height = 96; // columns of the left side at a time: whole blocks of every kernel
constexpr std::size_t panels_at_once = 4;

} // namespace

// What one thread works in. `turned` and `sums` are `height` rows.
struct OuterProduct::Scratch {
    float* widened; // a chunk of floats for a bf16 side, as wide as a panel or as `height`
    float* turned;
    char* operand; // `turned` in the product's type
    float* sums;
    std::size_t wide, sum_width;
    std::ptrdiff_t stride; // of `turned` and `operand`: not the power of two that a chunk's depth often is
};

OuterProduct::OuterProduct(const Outer& outer, const Kernels& kernels, Number number, std::size_t rows)
    : outer_(outer), kernels_(kernels), product_(kernels.product(number)), number_(number), rows_(rows),
      chunks_((rows + longest_chunk - 1) / longest_chunk),
      depth_(padded((rows + chunks_ - 1) / chunks_ + line, std::max(product_.depth_align, line))) {}

std::size_t OuterProduct::packed_bytes(const Right& right) const {
    return padded(padded(right.width, product_.lanes) * product_.spread(depth_) * product_.bytes, 64);
}

std::size_t OuterProduct::shared_bytes() const {
    std::size_t bytes = 0;
    for (const Right& right : outer_.rights) bytes += packed_bytes(right);
    return 2 * bytes; // one chunk is packed while another thread still reads the one before
}

OuterProduct::Scratch OuterProduct::cut(char* scratch) const {
    Scratch made{};
    made.wide = std::max(height, product_.panel);
    made.sum_width = panels_at_once * product_.panel;
    made.stride = static_cast<std::ptrdiff_t>(turned_width());
    made.widened = reinterpret_cast<float*>(scratch);
    made.turned = made.widened + (number_ == Number::fp32 ? 0 : depth_ * made.wide);
    made.sums = made.turned + height * turned_width();
    made.operand = reinterpret_cast<char*>(made.turned);
    if (product_.bytes != sizeof(float)) made.operand = reinterpret_cast<char*>(made.sums + height * made.sum_width);
    return made;
}

std::size_t OuterProduct::scratch_bytes() const {
    const Scratch made = cut(nullptr);
    const std::size_t floats = (number_ == Number::fp32 ? 0 : depth_ * made.wide) + height * (turned_width() + made.sum_width);
    return padded(4 * floats + height * turned_width() * product_.bytes, 64);
}

// The panels of one thread, of all right sides: rows `begin` to `begin + depth`.
void OuterProduct::pack(char* packed, const Scratch& scratch, std::size_t begin, std::size_t depth, std::size_t thread,
                        std::size_t threads) const {
    const std::size_t spread = product_.spread(padded(depth, product_.depth_align));
    for (const Right& right : outer_.rights) {
        const Part mine = part_of(right.width, thread, threads, product_.panel);
        for (std::size_t column = mine.begin; column < mine.end; column += product_.panel) {
            const std::size_t columns = std::min(product_.panel, mine.end - column);
            Tile from = tile(right.rows, begin, column);
            if (right.rows.half) {
                const Tile wide{scratch.widened, static_cast<std::ptrdiff_t>(product_.panel)};
                op(Op::load_bf16)(wide, from, from, from, depth, columns);
                from = wide;
            }
            product_.pack(packed + column * spread * product_.bytes, from.data, 1, from.stride, columns, depth, 0, spread);
        }
        packed += packed_bytes(right);
    }
}

// Columns of the left side become the rows of an operand.
void OuterProduct::turn(const Scratch& scratch, std::size_t begin, std::size_t depth, std::size_t column,
                        std::size_t columns) const {
    const std::size_t whole = padded(depth, product_.depth_align);
    Tile from = tile(outer_.left, begin, column);
    if (outer_.left.half) {
        const Tile wide{scratch.widened, static_cast<std::ptrdiff_t>(height)};
        op(Op::load_bf16)(wide, from, from, from, depth, columns);
        from = wide;
    }
    if (whole > depth) std::memset(scratch.turned, 0, columns * turned_width() * sizeof(float));
    kernels_.transpose(scratch.turned, scratch.stride, from.data, from.stride, depth, columns);
    if (number_ == Number::fp32) return;
    const Tile turned{scratch.turned, scratch.stride};
    const Tile operand{reinterpret_cast<float*>(scratch.operand), scratch.stride};
    kernels_.store(number_)(operand, turned, turned, turned, columns, whole);
}

void OuterProduct::multiply(const char* packed, const Scratch& scratch, std::size_t depth, std::size_t column,
                            std::size_t columns, bool first) const {
    const std::size_t whole = padded(depth, product_.depth_align), spread = product_.spread(whole);
    const Operand operand{scratch.operand, scratch.stride, whole};
    const Tile sums{scratch.sums, static_cast<std::ptrdiff_t>(scratch.sum_width)};
    for (const Right& right : outer_.rights) {
        const bool direct = first && right.width % product_.lanes == 0 && product_.row_align == 1;
        for (std::size_t j = 0; j < right.width; j += scratch.sum_width) {
            const std::size_t width = std::min(scratch.sum_width, right.width - j);
            float* const out = reinterpret_cast<float*>(right.out) +
                               static_cast<std::ptrdiff_t>(column) * right.out_stride + static_cast<std::ptrdiff_t>(j);
            const Tile to{out, right.out_stride};
            const Tile made = direct ? to : sums;
            product_.multiply(&operand, 1, columns, packed + j * spread * product_.bytes, width, made.data, made.stride);
            if (direct) continue;
            op(first ? Op::copy : Op::add)(to, first ? sums : to, sums, sums, columns, width);
        }
        packed += packed_bytes(right);
    }
}

void OuterProduct::run(char* shared, char* scratch, std::size_t thread, std::size_t threads, Barrier& barrier) const {
    const Scratch mine = cut(scratch);
    const Part columns = part_of(outer_.width, thread, threads, line);
    for (std::size_t c = 0; c < chunks_; ++c) {
        const Part rows = part_of(rows_, c, chunks_, line);
        char* const packed = shared + (c % 2) * shared_bytes() / 2;
        pack(packed, mine, rows.begin, rows.size(), thread, threads);
        barrier.wait();
        for (std::size_t column = columns.begin; column < columns.end; column += height) {
            const std::size_t count = std::min(height, columns.end - column);
            turn(mine, rows.begin, rows.size(), column, count);
            multiply(packed, mine, rows.size(), column, count, c == 0);
        }
    }
}

} // namespace ifog
