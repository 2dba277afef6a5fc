// Every elementwise operation of every instruction set that this machine can run, against double precision.
//
// A plain program: exit status 0 means every check held. It prints the largest error of each operation, in units in the
// last place.

#include "tests/canvas.hpp"

#include <bit>
#include <cmath>

namespace {

using Reference = double (*)(double, double, double);

struct Row {
    Op op;
    const char* name;
    int arguments;
    double allowed;  // units in the last place
    float low, high; // where arguments are drawn from
    Reference reference;
};

double nearest_bf16(double x) {
    if (std::isnan(x)) return x;
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
    const std::uint32_t lower = bits & 0xFFFFU;
    std::uint32_t upper = bits >> 16;
    if (lower > 0x8000U || (lower == 0x8000U && (upper & 1U) != 0)) ++upper;
    return std::bit_cast<float>(upper << 16);
}

// Arithmetic of two steps is exact in double and rounded twice in float: hence more than half a unit.
const Row rows_of_the_table[] = {
    {Op::add, "add", 2, 0.5, -9, 9, [](double a, double b, double) { return a + b; }},
    {Op::sub, "sub", 2, 0.5, -9, 9, [](double a, double b, double) { return a - b; }},
    {Op::mul, "mul", 2, 0.5, -9, 9, [](double a, double b, double) { return a * b; }},
    {Op::div, "div", 2, 0.5001, -9, 9, [](double a, double b, double) { return a / b; }},
    {Op::neg, "neg", 1, 0, -9, 9, [](double a, double, double) { return -a; }},
    {Op::square, "square", 1, 0.5, -9, 9, [](double a, double, double) { return a * a; }},
    {Op::sqrt, "sqrt", 1, 0.5001, 0, 9, [](double a, double, double) { return std::sqrt(a); }},
    {Op::exp, "exp", 1, 2, -104, 92, [](double a, double, double) { return std::exp(a); }},
    {Op::log, "log", 1, 2, 0, 3, [](double a, double, double) { return std::log(a); }},
    {Op::sigmoid, "sigmoid", 1, 3, -104, 30, [](double a, double, double) { return 1 / (1 + std::exp(-a)); }},
    {Op::tanh, "tanh", 1, 4, -10, 10, [](double a, double, double) { return std::tanh(a); }},
    {Op::relu, "relu", 1, 0, -9, 9, [](double a, double, double) { return a < 0 ? 0 : a; }},
    {Op::softplus, "softplus", 1, 3, -104, 30, 
     [](double a, double, double) { return std::fmax(a, 0) + std::log1p(std::exp(-std::fabs(a))); }},
    {Op::erf, "erf", 1, 4, -5, 5, [](double a, double, double) { return std::erf(a); }},
    {Op::sin, "sin", 1, 3, -1e5F, 1e5F, [](double a, double, double) { return std::sin(a); }},
    {Op::cos, "cos", 1, 3, -1e5F, 1e5F, [](double a, double, double) { return std::cos(a); }},
    {Op::sigmoid_back, "sigmoid_back", 2, 2, 0, 1, [](double a, double b, double) { return a * b * (1 - b); }},
    {Op::tanh_back, "tanh_back", 2, 1.5, -0.7F, 0.7F, [](double a, double b, double) { return a * (1 - b * b); }},
    {Op::abs, "abs", 1, 0, -9, 9, [](double a, double, double) { return std::fabs(a); }},
    {Op::sign, "sign", 1, 0, -9, 9, [](double a, double, double) { return double(a > 0) - double(a < 0); }},
    {Op::step, "step", 1, 0, -9, 9, [](double a, double, double) { return double(a > 0); }},
    {Op::share, "share", 2, 0, -9, 9, 
     [](double a, double b, double) { return 0.5 * (double(a > b) + double(a >= b)); }},
    {Op::maximum, "maximum", 2, 0, -9, 9, [](double a, double b, double) { return a != a || a > b ? a : b; }},
    {Op::minimum, "minimum", 2, 0, -9, 9, [](double a, double b, double) { return a != a || a < b ? a : b; }},
    {Op::fma, "fma", 3, 1.5, -9, 9, [](double a, double b, double c) { return a * b + c; }},
    {Op::fnma, "fnma", 3, 1.5, -9, 9, [](double a, double b, double c) { return c - a * b; }},
    {Op::copy, "copy", 1, 0, -9, 9, [](double a, double, double) { return a; }},
    {Op::round_bf16, "round_bf16", 1, 0, -9, 9, [](double a, double, double) { return nearest_bf16(a); }},
};

// In units of the last place of the true value, or of `scale` where that is larger. Denormal numbers count as zero.
double ulps(float got, double want, double scale) {
    if (std::isnan(want)) return std::isnan(got) ? 0 : infinity;
    if (got == static_cast<float>(want) && (std::isinf(got) || want == 0)) return 0;
    if (!std::isfinite(got) || std::isinf(static_cast<float>(want))) return infinity;
    const double size = std::max(std::fabs(want), scale);
    if (size < 1.2e-38) return std::fabs(got) < 1.2e-38F ? 0 : infinity;
    return std::fabs(got - want) / std::ldexp(1.0, std::ilogb(size) - 23);
}

// Where two roundings can cancel, errors are measured against the largest of the terms.
double scale_of(const Row& row, double a, double b, double c) {
    if (row.op == Op::fma || row.op == Op::fnma) return std::max(std::fabs(a * b), std::fabs(c));
    if (row.op == Op::tanh_back) return std::fabs(a);
    return 0;
}

const float specials[] = {
    0.0F, -0.0F, infinity, -infinity, nan, 1.0F, -1.0F, 1e-40F, -1e-40F, 1e-20F, 1e-30F, -1e-9F, 87.5F, -87.5F, 88.7F,
    89.0F, -80.0F, -103.0F, 20.0F, 20.5F, 1e5F, 3e38F, -3e38F, 0.5F, -0.25F, 1e-3F, -3e-4F, 0.9999F, 1.0001F, 2e5F,
    1e10F, -7.5F, 0.70710677F,
};

// A true denormal argument is a zero to the functions, and so it is to the reference.
double seen(float x) { return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0, x) : x; }

bool is_bits_only(const Row& row) {
    return row.op == Op::neg || row.op == Op::abs || row.op == Op::copy || row.op == Op::round_bf16;
}

// Whether an intermediate product may overflow in float and not in double.
bool overflows(const Row& row, double a, double b, double c) {
    const bool products =
        row.op == Op::fma || row.op == Op::fnma || row.op == Op::sigmoid_back || row.op == Op::tanh_back;
    return products && std::max({std::fabs(a), std::fabs(b), std::fabs(c)}) > 1e18;
}

double error_at(const Row& row, float got, float a, float b, float c) {
    if (is_bits_only(row) && !std::isnan(a)) return got == static_cast<float>(row.reference(a, b, c)) ? 0 : infinity;
    const double x = seen(a), y = row.arguments > 1 ? seen(b) : 0, z = row.arguments > 2 ? seen(c) : 0;
    if (overflows(row, x, y, z)) return 0;
    return ulps(got, row.reference(x, y, z), scale_of(row, x, y, z));
}

void call(const Kernels& table, Op op, Tile out, Tile a, Tile b, Tile c, std::size_t rows, std::size_t columns) {
    table.enter();
    table.elementwise[static_cast<std::size_t>(op)](out, a, b, c, rows, columns);
    table.leave();
}

// --- values ---------------------------------------------------------------------------------------------------------

void check_values(const Kernels& table, const char* isa, const Row& row) {
    std::vector<float> a, b, c;
    for (const float x : specials)
        for (const float y : specials)
            for (const float z : {0.0F, 1.0F, nan}) a.push_back(x), b.push_back(y), c.push_back(z);
    const std::size_t special = a.size(), count = special + 400000;
    for (auto* values : {&a, &b, &c}) {
        std::vector<float> more(count - special);
        draw(more, row.low, row.high);
        values->insert(values->end(), more.begin(), more.end());
    }
    // Small numbers of every size, and the neighbourhoods of 0 and 1.
    std::uniform_real_distribution<float> exponent(-30, 2);
    for (std::size_t i = special; i < count; i += 4) {
        a[i] = std::copysign(std::exp2(exponent(generator)), row.low < 0 ? a[i] : 1.0F);
        if (i % 8 == 0) a[i] += 1.0F;
    }
    std::vector<float> out(count, canary);
    const auto stride = static_cast<std::ptrdiff_t>(count);
    call(table, row.op, {out.data(), stride}, {a.data(), stride}, {b.data(), stride}, {c.data(), stride}, 1, count);
    double worst = 0;
    std::size_t where = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const double error = error_at(row, out[i], a[i], b[i], c[i]);
        if (!(error <= worst)) worst = error, where = i;
    }
    std::printf("%-9s %-13s %6.3f ulp at %.9g\n", isa, row.name, worst, static_cast<double>(a[where]));
    if (!(worst <= row.allowed)) {
        std::printf("    f(%.9g, %.9g, %.9g) = %.9g\n", static_cast<double>(a[where]), static_cast<double>(b[where]),
                    static_cast<double>(c[where]), static_cast<double>(out[where]));
        fail(isa, row.name, "error");
    }
}

// --- shapes ---------------------------------------------------------------------------------------------------------

void check_shape(const Kernels& table, const char* isa, const Row& row, std::size_t rows, std::size_t columns,
                 int strides, int alias) {
    const auto tight = static_cast<std::ptrdiff_t>(columns);
    const std::ptrdiff_t other = strides == 0 ? tight : strides == 1 ? tight + 5 : 0;
    Canvas a(rows, columns, alias == 1 && other == 0 ? tight : other), b(rows, columns, other), c(rows, columns, tight);
    Canvas out(rows, columns, strides == 1 ? tight + 3 : tight);
    for (Canvas* canvas : {&a, &b, &c}) canvas->fill(row.low, row.high);
    Canvas before_a = a, before_b = b, before_c = c;
    Canvas& result = alias == 1 ? a : alias == 3 ? c : out;
    call(table, row.op, result.tile(), a.tile(), b.tile(), c.tile(), rows, columns);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j)
            if (!(error_at(row, result.at(i)[j], before_a.at(i)[j], before_b.at(i)[j], before_c.at(i)[j]) <=
                  row.allowed))
                return fail(isa, row.name, "shape");
    if (!result.intact()) fail(isa, row.name, "wrote outside");
}

void check_shapes(const Kernels& table, const char* isa, const Row& row) {
    for (const std::size_t rows : row_counts)
        for (const std::size_t columns : column_counts)
            for (int strides = 0; strides < 3; ++strides)
                for (const int alias : {0, 1, 3}) check_shape(table, isa, row, rows, columns, strides, alias);
}

// --- operations of another shape ------------------------------------------------------------------------------------

void check_select(const Kernels& table, const char* isa, std::size_t rows, std::size_t columns) {
    const auto tight = static_cast<std::ptrdiff_t>(columns);
    Canvas a(rows, 1, 1), b(rows, columns, tight + 3), c(rows, columns, tight), out(rows, columns, tight + 1);
    b.fill(1, 2), c.fill(3, 4);
    for (std::size_t i = 0; i < rows; ++i) {
        *a.at(i) = i % 2 == 0 ? -2.5F : 0.0F;
        std::fill_n((i % 2 == 0 ? c : b).at(i), columns, nan);
    }
    call(table, Op::select, out.tile(), a.tile(), b.tile(), c.tile(), rows, columns);
    for (std::size_t i = 0; i < rows; ++i)
        if (!std::equal(out.at(i), out.at(i) + columns, (i % 2 == 0 ? b : c).at(i))) fail(isa, "select", "values");
    if (!out.intact()) fail(isa, "select", "wrote outside");

    call(table, Op::broadcast, out.tile(), a.tile(), {}, {}, rows, columns);
    for (std::size_t i = 0; i < rows; ++i)
        if (std::count(out.at(i), out.at(i) + columns, *a.at(i)) != tight) fail(isa, "broadcast", "values");
    if (!out.intact()) fail(isa, "broadcast", "wrote outside");
}

// `b` has rows of its own, or one for all.
void check_accumulate(const Kernels& table, const char* isa, Op op, std::size_t rows, std::size_t columns, bool one) {
    const bool products = op == Op::accumulate_product;
    const char* name = products ? "accumulate_product" : "accumulate";
    const auto tight = static_cast<std::ptrdiff_t>(columns);
    Canvas a(rows, columns, tight + 2), b(one ? 1 : rows, columns, one ? 0 : tight + 3), out(1, columns, 0);
    a.fill(0, 1), b.fill(0, 1), out.fill(0, 1);
    std::vector<double> want(out.at(0), out.at(0) + columns);
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j)
            want[j] += a.at(i)[j] * static_cast<double>(products ? b.at(one ? 0 : i)[j] : 1);
    call(table, op, out.tile(), a.tile(), b.tile(), {}, rows, columns);
    for (std::size_t j = 0; j < columns; ++j)
        if (!(std::fabs(out.at(0)[j] - want[j]) < 2e-6)) fail(isa, name, "values");
    if (!out.intact()) fail(isa, name, "wrote outside");
}

// Strides count bf16 on one side and floats on the other.
void check_bf16(const Kernels& table, const char* isa, std::size_t rows, std::size_t columns, std::size_t gap) {
    const auto tight = static_cast<std::ptrdiff_t>(columns);
    const std::size_t stride = columns + gap;
    Canvas a(rows, columns, tight), back(rows, columns, tight);
    a.fill(-9, 9);
    for (std::size_t j = 0; j < std::min(columns, std::size(specials)); ++j) a.at(0)[j] = specials[j];
    std::vector<bf16> halves(rows * stride + 20, 0x1234);
    const Tile stored{reinterpret_cast<float*>(halves.data()), static_cast<std::ptrdiff_t>(stride)};
    call(table, Op::store_bf16, stored, a.tile(), {}, {}, rows, columns);
    call(table, Op::load_bf16, back.tile(), stored, {}, {}, rows, columns);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < columns; ++j) {
            const auto want = static_cast<float>(nearest_bf16(a.at(i)[j])), got = back.at(i)[j];
            const bool same = std::bit_cast<std::uint32_t>(want) == std::bit_cast<std::uint32_t>(got);
            if (!same && !(std::isnan(want) && std::isnan(got)))
                return fail(isa, "store_bf16", "values");
        }
        for (std::size_t j = columns; j < (i + 1 < rows ? stride : stride + 20); ++j)
            if (i * stride + j < halves.size() && halves[i * stride + j] != 0x1234)
                fail(isa, "store_bf16", "wrote outside");
    }
    if (!back.intact()) fail(isa, "load_bf16", "wrote outside");
}

void check_other_shapes(const Kernels& table, const char* isa) {
    for (const std::size_t rows : row_counts)
        for (const std::size_t columns : column_counts) {
            check_select(table, isa, rows, columns);
            check_accumulate(table, isa, Op::accumulate, rows, columns, false);
            for (const bool one : {false, true})
                check_accumulate(table, isa, Op::accumulate_product, rows, columns, one);
            for (const std::size_t gap : {std::size_t{0}, std::size_t{3}}) check_bf16(table, isa, rows, columns, gap);
        }
}

// Between `enter` and `leave` denormal results are zero, before and after they are not.
void check_mode(const Kernels& table, const char* isa) {
    volatile float small = 1e-30F;
    const auto product = [&] { return small * 1e-10F; };
    const bool before = product() != 0;
    table.enter();
    const bool inside = product() != 0;
    table.leave();
#if defined(__x86_64__) || defined(__aarch64__)
    if (inside) fail(isa, "enter", "leaves denormal numbers");
#endif
    if (!before || product() == 0) fail(isa, "leave", "does not restore");
}

} // namespace

int main() {
    return check_every_set([](const Kernels& table, const char* isa) {
        for (const Row& row : rows_of_the_table) {
            check_values(table, isa, row);
            check_shapes(table, isa, row);
        }
        check_other_shapes(table, isa);
        check_mode(table, isa);
    });
}
