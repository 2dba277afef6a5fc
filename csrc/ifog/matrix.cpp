#include "ifog/matrix.hpp"

#include <algorithm>

namespace ifog {

namespace {

MatrixStep::Moving moving(const Place& place, char* begin, const CodeSegment& segment, bool of_lines) {
    const std::size_t columns = segment.width / segment.lines;
    const auto made = [begin](std::size_t stride, std::size_t bytes) -> MatrixStep::Moving {
        const auto step = static_cast<std::ptrdiff_t>(stride);
        return {{reinterpret_cast<float*>(begin), step}, step * static_cast<std::ptrdiff_t>(bytes)};
    };
    if (place.kind == PlaceKind::in_register) return {made(columns, 0).tile, 0};
    if (place.kind == PlaceKind::constant || place.width == 1) return made(0, 0);
    if (place.width == segment.width)
        return made(columns, place.kind == PlaceKind::given_bf16 ? sizeof(bf16) : sizeof(float));
    return of_lines ? made(1, sizeof(float)) : made(0, 0);
}

} // namespace

void lay_out_matrix(const CodeSegment& segment, const Program& program, const Kernels& kernels,
                    const std::vector<char*>& begin, std::vector<MatrixStep>& steps) {
    steps.clear();
    for (const Instruction& code : segment.code) {
        const auto at = [&](std::uint16_t i, bool of_lines) {
            return moving(program.places[i], begin[i], segment, of_lines);
        };
        MatrixStep step;
        step.attribute = code.first;
        if (code.rowwise) step.rowwise = kernels.rowwise[code.op];
        else step.elementwise = kernels.elementwise[code.op];
        step.out = at(code.out, code.rowwise);
        step.a = at(code.a, !code.rowwise && static_cast<Op>(code.op) == Op::broadcast);
        step.b = at(code.b, false);
        step.c = at(code.c, false);
        steps.push_back(step);
    }
}

void pass_over_matrix(const CodeSegment& segment, const std::vector<MatrixStep>& steps, std::size_t block) {
    const std::size_t columns = segment.width / segment.lines;
    const std::size_t most = std::max<std::size_t>(1, block / columns);
    for (std::size_t line = 0; line < segment.lines; line += most) {
        const std::size_t lines = std::min(most, segment.lines - line);
        for (const MatrixStep& s : steps) {
            if (s.rowwise != nullptr)
                s.rowwise(s.out.at(line), s.a.at(line), s.b.at(line), lines, 1, columns, columns, s.attribute, 0);
            else
                s.elementwise(s.out.at(line), s.a.at(line), s.b.at(line), s.c.at(line), lines, columns);
        }
    }
}

} // namespace ifog
