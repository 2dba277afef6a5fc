// One pass over a row that is a matrix.
//
// Owns the walk: a few lines at a time, so that what the instructions hand to each other stays in L1. A place that is
// shorter than the matrix is either one line that serves all lines, or one number for each line: the latter where it
// is broadcast, and where it takes the sums or maxima of lines.

#pragma once

#include <cstddef>
#include <vector>

#include "ifog/kernels.hpp"
#include "ifog/loop.hpp"

namespace ifog {

// An instruction with its tiles at the first line, and how many bytes each of them moves from line to line.
struct MatrixStep {
    Elementwise elementwise = nullptr;
    Rowwise rowwise = nullptr;
    std::ptrdiff_t attribute = 0;
    struct Moving {
        Tile tile{};
        std::ptrdiff_t line_bytes = 0;

        [[nodiscard]] Tile at(std::size_t line) const {
            const auto bytes = static_cast<std::ptrdiff_t>(line) * line_bytes;
            return {reinterpret_cast<float*>(reinterpret_cast<char*>(tile.data) + bytes), tile.stride};
        }
    } out, a, b, c;
};

// Writes the steps of a segment to `steps`; `begin[place]` is where a sequence's row of a place begins, or a register.
void lay_out_matrix(const CodeSegment& segment, const Program& program, const Kernels& kernels,
                    const std::vector<char*>& begin, std::vector<MatrixStep>& steps);

// Carries them out, on as many lines at a time as registers of `block` floats hold.
void pass_over_matrix(const CodeSegment& segment, const std::vector<MatrixStep>& steps, std::size_t block);

} // namespace ifog
