#include "ifog/projection.hpp"

#include <algorithm>

#include "ifog/parts.hpp"

namespace ifog {

namespace {

constexpr std::size_t chunk = 96; // rows: whole blocks of every kernel, small enough for the cache

} // namespace

Projector::Projector(const Projection& projection, const Kernels& kernels, Number number)
    : projection_(projection), kernels_(kernels), product_(kernels.product(number)), number_(number) {
    for (const ProjectionTerm& term : projection.terms) {
        depths_.push_back(padded(term.depth, product_.depth_align));
        depth_ += product_.spread(depths_.back());
    }
}

std::size_t Projector::packed_bytes() const {
    return padded(padded(projection_.columns, product_.lanes) * depth_ * product_.bytes, 64);
}

bool Projector::reads_directly() const { return number_ == Number::fp32; }

// The kernel writes whole vectors and whole blocks of rows.
bool Projector::writes_directly() const {
    return !projection_.out.half && projection_.columns % product_.lanes == 0 && product_.row_align == 1;
}

std::size_t Projector::scratch_bytes() const {
    const std::size_t width = writes_directly() ? 0 : padded(projection_.columns, std::max<std::size_t>(product_.panel, 16));
    const std::size_t results = chunk * width * 4;
    const std::size_t depth = reads_directly() ? 0 : depth_;
    const std::size_t operands = chunk * depth * std::max<std::size_t>(product_.bytes, 4), widest = chunk * depth * 4;
    return padded(results, 64) + padded(operands, 64) + padded(widest, 64);
}

void Projector::pack(char* packed, std::size_t thread, std::size_t threads) const {
    const auto [begin, end] = part_of(projection_.columns, thread, threads, product_.panel);
    if (begin >= end) return;
    std::size_t offset = 0;
    for (std::size_t k = 0; k < projection_.terms.size(); ++k) {
        const ProjectionTerm& term = projection_.terms[k];
        product_.pack(packed + begin * depth_ * product_.bytes,
                      reinterpret_cast<const float*>(term.weight.data) +
                          static_cast<std::ptrdiff_t>(begin) * term.weight.column_stride,
                      term.weight.column_stride, term.weight.depth_stride, end - begin, term.depth, offset, depth_);
        offset += product_.spread(depths_[k]);
    }
}

void Projector::multiply(const char* packed, char* scratch, std::size_t begin, std::size_t end) const {
    const std::size_t step = reads_directly() && writes_directly() ? end - begin : chunk;
    const std::size_t width = writes_directly() ? 0 : padded(projection_.columns, std::max<std::size_t>(product_.panel, 16));
    auto* results = reinterpret_cast<float*>(scratch);
    char* const converted = scratch + padded(chunk * width * 4, 64);
    char* const widened = converted + padded(chunk * depth_ * std::max<std::size_t>(product_.bytes, 4), 64);
    const auto op = [&](Op which) { return kernels_.elementwise[static_cast<std::size_t>(which)]; };
    std::vector<Operand> operands(projection_.terms.size());
    for (std::size_t row = begin; row < end; row += step) {
        const std::size_t rows = std::min(step, end - row);
        std::size_t offset = 0;
        for (std::size_t k = 0; k < operands.size(); ++k) {
            const ProjectionTerm& term = projection_.terms[k];
            const Tile from = tile(term.operand, row);
            operands[k] = {from.data, from.stride, term.depth};
            if (reads_directly()) continue;
            const std::size_t spread = product_.spread(depths_[k]);
            const auto stride = static_cast<std::ptrdiff_t>(spread);
            const Tile wide{reinterpret_cast<float*>(widened) + offset, stride};
            if (term.operand.half) op(Op::load_bf16)(wide, from, from, from, rows, term.depth);
            const Tile floats = term.operand.half ? wide : from;
            const Tile to{reinterpret_cast<float*>(converted + offset * product_.bytes), stride};
            kernels_.store(number_)(to, floats, floats, floats, rows, term.depth);
            operands[k] = {to.data, stride, depths_[k]};
            offset += chunk * spread;
        }
        const Tile out = tile(projection_.out, row);
        if (writes_directly()) {
            product_.multiply(operands.data(), operands.size(), rows, packed, projection_.columns, out.data, out.stride);
            continue;
        }
        const Tile made{results, static_cast<std::ptrdiff_t>(width)};
        product_.multiply(operands.data(), operands.size(), rows, packed, projection_.columns, results, made.stride);
        op(projection_.out.half ? Op::store_bf16 : Op::copy)(out, made, made, made, rows, projection_.columns);
    }
}

} // namespace ifog
