// Products of 16-bit integers: one result on every instruction set that this machine can run.
// A plain program: exit status 0 means every check held.

#include "tests/product.hpp"

namespace {

// Integers are exact and so are sums of them: every instruction set gives the same bits, but for the float sums of
// groups, which are fused where there is such an instruction.
void test_integers(const std::vector<const ifog::Kernels*>& tables) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    Case c{9, 75, {64, 100}, Order::rows_are_columns};
    state = 11;
    Problem problem = make_problem(c, false);
    problem.inputs[0][3] = 1e-38F; // alone above zero in its row: below what counts
    std::fill_n(problem.inputs[0].begin() + 64, 64, 0.0F);
    const auto products = [&](const ifog::Kernels* table) {
        table->enter();
        const Subject subject{table, ifog::Number::int16};
        const std::vector<float> made = test_product(subject, c, problem, expect(c, problem, ifog::Number::int16));
        table->leave();
        return made;
    };
    const std::vector<float> wanted = products(tables.front());
    for (const ifog::Kernels* table : tables) {
        const std::vector<float> made = products(table);
        bool same = true;
        for (std::size_t i = 0; i < made.size(); ++i) same = same && std::abs(made[i] - wanted[i]) <= 2e-6F;
        check(same, std::string(name_of(table->isa)) + " int16: the integers are those of the portable kernels");
    }
    for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
        Problem broken = problem;
        broken.inputs[1][2 * 100 + 70] = bad;
        broken.weights[0][5 * 64 + 1] = bad;
        for (const ifog::Kernels* table : tables) {
            table->enter();
            const Subject subject{table, ifog::Number::int16};
            const std::vector<std::uint8_t> packed = pack(subject.product(), c, broken);
            const std::vector<float> C = multiply(subject, c, broken, packed, 0, 80);
            table->leave();
            bool right = true;
            for (std::size_t r = 0; r < c.rows; ++r)
                for (std::size_t j = 0; j < c.columns; ++j) right = right && std::isnan(C[r * 80 + j]) == (r == 2 || j == 5);
            check(right, std::string(name_of(table->isa)) + " int16: what is no number reaches its row and column alone");
        }
    }
}

} // namespace

int main() {
    test_integers(runnable());
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
