// Every row operation of every instruction set that this machine can run, against a plain one in double precision.
//
// A plain program: exit status 0 means every check held.

#include "tests/canvas.hpp"

#include <cmath>

namespace {

using Line = std::vector<float>;

Line expected(RowOp op, const Line& a, const Line& b, std::size_t first, std::size_t second) {
    Line out;
    const std::size_t run = a.size() / std::max<std::size_t>(first, 1);
    switch (op) {
    case RowOp::row_sum:
    case RowOp::row_max:
        for (std::size_t g = 0; g < first; ++g) {
            double sum = 0;
            float most = -infinity;
            for (std::size_t j = 0; j < run; ++j) {
                const float x = a[g * run + j];
                sum += x;
                most = std::isnan(most) || most > x ? most : x;
            }
            out.push_back(op == RowOp::row_sum ? static_cast<float>(sum) : most);
        }
        break;
    case RowOp::dot:
        for (std::size_t g = 0; g < first; ++g) {
            double sum = 0;
            for (std::size_t j = g * run; j < (g + 1) * run; ++j) sum += static_cast<double>(a[j]) * b[j];
            out.push_back(static_cast<float>(sum));
        }
        break;
    case RowOp::repeat:
        for (const float x : a) out.insert(out.end(), first, x);
        break;
    case RowOp::tile:
        for (std::size_t k = 0; k < first; ++k) out.insert(out.end(), a.begin(), a.end());
        break;
    case RowOp::tile_sum:
        for (std::size_t j = 0; j < run; ++j) {
            double sum = 0;
            for (std::size_t k = 0; k < first; ++k) sum += a[k * run + j];
            out.push_back(static_cast<float>(sum));
        }
        break;
    case RowOp::part: out.assign(&a[first], a.data() + second); break;
    case RowOp::pad:
        out.assign(first, 0);
        out.insert(out.end(), a.begin(), a.end());
        out.insert(out.end(), second, 0);
        break;
    default:
        out = a;
        out.insert(out.end(), b.begin(), b.end());
    }
    return out;
}

void check_rowwise(const Kernels& table, const char* isa, RowOp op, const char* name, std::size_t rows,
                   std::size_t columns, std::size_t first, std::size_t second) {
    const bool products = op == RowOp::dot;
    const bool grouped = op == RowOp::row_sum || op == RowOp::row_max || op == RowOp::tile_sum || products;
    const std::size_t width = grouped ? columns * first : columns, other = products ? width : columns / 2 + 1;
    Canvas a(rows, width, static_cast<std::ptrdiff_t>(width) + 3), b(rows, other, static_cast<std::ptrdiff_t>(other));
    a.fill(-4, 4), b.fill(5, 6);
    if (op == RowOp::row_max) a.at(rows - 1)[width / 2] = nan;
    const auto line = [](Canvas& canvas, std::size_t i) { return Line(canvas.at(i), canvas.at(i) + canvas.columns); };
    const std::size_t out_columns = expected(op, line(a, 0), line(b, 0), first, second).size();
    Canvas out(rows, out_columns, static_cast<std::ptrdiff_t>(out_columns) + 2);
    table.rowwise[static_cast<std::size_t>(op)](out.tile(), a.tile(), b.tile(), rows, out_columns, width, other,
                                                static_cast<std::ptrdiff_t>(first),
                                                static_cast<std::ptrdiff_t>(second));
    for (std::size_t i = 0; i < rows; ++i) {
        const Line want = expected(op, line(a, i), line(b, i), first, second), got = line(out, i);
        const double bound = grouped && op != RowOp::row_max ? (products ? 2e-5 : 2e-6) * static_cast<double>(width) : 0;
        for (std::size_t j = 0; j < out_columns; ++j)
            if (std::isnan(want[j]) ? !std::isnan(got[j]) : !(std::fabs(got[j] - want[j]) <= bound))
                return fail(isa, name, "values");
    }
    if (!out.intact()) fail(isa, name, "wrote outside");
}

void check_all(const Kernels& table, const char* isa, std::size_t rows, std::size_t columns) {
    for (const std::size_t times : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
        check_rowwise(table, isa, RowOp::row_sum, "row_sum", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::row_max, "row_max", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::repeat, "repeat", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::tile, "tile", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::tile_sum, "tile_sum", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::dot, "dot", rows, columns, times, 0);
        check_rowwise(table, isa, RowOp::part, "part", rows, columns, columns / (times + 1), columns);
        check_rowwise(table, isa, RowOp::pad, "pad", rows, columns, times - 1, 17 * (times - 1));
    }
    check_rowwise(table, isa, RowOp::concat, "concat", rows, columns, 0, 0);
}

} // namespace

int main() {
    return check_every_set([](const Kernels& table, const char* isa) {
        for (const std::size_t rows : row_counts)
            for (const std::size_t columns : column_counts) check_all(table, isa, rows, columns);
    });
}
