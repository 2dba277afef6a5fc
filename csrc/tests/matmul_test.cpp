// Every product of every instruction set that this machine can run, against a loop in double precision.
// A plain program: exit status 0 means every check held.

#include "tests/product.hpp"

namespace {

std::vector<Subject> subjects(const ifog::Kernels& table) {
    return {{&table, ifog::Number::fp32}, {&table, ifog::Number::bf16}, {&table, ifog::Number::int16}};
}

// One table after the other, so that a thread enters and leaves each of them once.
void test_all(const std::vector<Case>& cases, const std::vector<const ifog::Kernels*>& tables) {
    for (const ifog::Kernels* table : tables) {
        const int before = checks;
        if (table->enter != nullptr) table->enter();
        for (const Case& c : cases) {
            state = static_cast<std::uint32_t>(c.rows * 1000003 + c.columns);
            const Problem problem = make_problem(c, true);
            for (const Subject& subject : subjects(*table)) {
                test_product(subject, c, problem, expect(c, problem, subject.number));
            }
        }
        if (table->leave != nullptr) table->leave();
        std::printf("%s: %d checks\n", name_of(table->isa), checks - before);
    }
}

std::vector<Case> all_cases() {
    constexpr Order orders[] = {Order::rows_are_columns, Order::rows_are_depths, Order::neither};
    const std::vector<std::vector<std::size_t>> depths = {
        {0}, {1}, {3}, {31}, {32}, {33}, {100}, {257}, {3, 1}, {32, 31, 33}, {0, 100}, {33, 0}, {5, 0, 2}};
    std::vector<Case> cases;
    std::size_t turn = 0;
    for (std::size_t rows = 1; rows <= 40; ++rows) {
        for (const std::size_t columns : {1, 5, 16, 17, 63, 65, 129, 199}) {
            cases.push_back({rows, columns, depths[turn % depths.size()], orders[turn / 2 % 3]});
            ++turn;
        }
    }
    for (std::size_t columns = 1; columns <= 200; columns += 2) {
        for (const std::size_t rows : {1, 2, 7, 33}) {
            cases.push_back({rows, columns, depths[turn % depths.size()], orders[turn / 2 % 3]});
            ++turn;
        }
    }
    for (const Order order : orders) {
        for (const auto& depth : depths) cases.push_back({19, 70, depth, order});
        cases.push_back({300, 131, {1024, 257}, order}); // more rows than one chunk of the cache takes
    }
    return cases;
}

// The same row gives the same bits whatever is computed beside it.
void test_invariance(const ifog::Kernels& table, const Subject& subject) {
    if (table.enter != nullptr) table.enter();
    const Case all{70, 200, {100, 31}, Order::rows_are_columns};
    state = 7;
    const Problem problem = make_problem(all, true);
    const std::vector<float> values = test_product(subject, all, problem, expect(all, problem, subject.number));
    for (std::size_t rows = 1; rows < all.rows; rows += 1 + rows / 20) {
        Case some = all;
        some.rows = rows;
        Problem part = problem;
        for (std::size_t i = 0; i < part.inputs.size(); ++i) part.inputs[i].resize(rows * all.depths[i]);
        const std::vector<float> few = test_product(subject, some, part, expect(some, part, subject.number));
        check(std::equal(few.begin(), few.end(), values.begin()),
              subject.name() + ": a row does not depend on the rows beside it: " + some.text());
    }
    if (table.leave != nullptr) table.leave();
}

// Numbers at which rounding to bf16 goes wrong first.
void test_rounding(const ifog::Kernels& table) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const float inputs[] = {1.0F + 0x1p-8F, 1.0F + 0x3p-8F, -1.0F - 0x1p-8F, 1.0F + 0x1p-8F + 0x1p-20F, 0x1.fffp127F,
                            -0.0F,          infinity,       std::bit_cast<float>(0x7fffffffU),
                            std::bit_cast<float>(0x7f800001U)};
    const float wanted[] = {1.0F, 1.0F + 0x4p-8F, -1.0F, 1.0F + 0x2p-8F, infinity, -0.0F, infinity};
    for (std::size_t i = 0; i < std::size(inputs); ++i) {
        std::vector<std::uint8_t> packed(table.half.lanes * table.half.depth_align * table.half.bytes);
        table.half.pack(packed.data(), &inputs[i], 1, 1, 1, 1, 0, table.half.depth_align);
        float got = 0; // the first weight comes first in both layouts
        std::copy_n(packed.data(), table.half.bytes, reinterpret_cast<std::uint8_t*>(&got) + 4 - table.half.bytes);
        bool right = std::isnan(got); // what the last inputs are
        if (i < std::size(wanted)) right = got == wanted[i] && std::signbit(got) == std::signbit(wanted[i]);
        const std::string name = name_of(table.isa);
        check(right, name + ": weights are rounded to nearest even, case " + std::to_string(i));
    }
}

} // namespace

int main() {
    const std::vector<const ifog::Kernels*> tables = runnable();
    test_all(all_cases(), tables);
    for (const ifog::Kernels* table : tables) {
        for (const Subject& subject : subjects(*table)) test_invariance(*table, subject);
        test_rounding(*table);
    }
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
