// The loop over time on every instruction set that this machine can run: h' = tanh(a + W h), written as a program by
// hand, against plain loops; by rows and by columns, on one to three threads; and the same backwards.
//
// A plain program: exit status 0 means every check held.

#include "tests/canvas.hpp"

#include "ifog/isa.hpp"
#include "ifog/loop.hpp"
#include "ifog/threads.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace {

using Words = std::vector<std::int64_t>;

std::int64_t word(auto value) { return static_cast<std::int64_t>(value); }

// places: 0 a register, 1 the input `a`, 2 the state before, 3 the state after, 4 W h, 5 the sum of all states
Words elman(std::size_t H) {
    const std::int64_t n = word(H);
    const auto op = [](Op o) { return word(o); };
    return {
        0, 6,                                                           // fp32, six places:
        0, 1 << 20, 0, 1, n, 0, 1, n, 0, 1, n, 0, 3, n, 0, 6, n, 0,     // kind, width, number
        1, n, n,                                                        // one weight
        1,                                                              // one stage
        1, 4, n, 1, 2, 0, 0,                                            // place 4 = weight 0 times place 2
        1, n, 1, 3,                                                     // one segment of three instructions
        0, op(Op::add), 0, 1, 4, 1, 0, 0,                               // register = a + W h
        0, op(Op::tanh), 3, 0, 0, 0, 0, 0,                              // h' = tanh(register)
        0, op(Op::accumulate), 5, 3, 3, 3, 0, 0,                        // total += h'
    };
}

std::uintptr_t address(const std::vector<float>& values, std::size_t offset = 0) {
    return reinterpret_cast<std::uintptr_t>(values.data() + offset);
}

struct Case {
    std::size_t steps, batch, width, threads;
    bool reverse;
};

void check_one(const Kernels& table, const char* isa, const Case& it) {
    const std::size_t T = it.steps, B = it.batch, H = it.width, row = H + 3; // rows with a gap between them
    std::vector<float> a(T * B * row, canary), h((T + 1) * B * row, canary), W(H * H), total(H, 0.0F);
    draw(W, -1.0F / static_cast<float>(H), 1.0F / static_cast<float>(H));
    draw(a, -1, 1);
    const auto first = (it.reverse ? T : 0) * B * row; // where the state before the first step lies
    for (std::size_t b = 0; b < B; ++b)
        for (std::size_t j = 0; j < H; ++j) h[first + b * row + j] = static_cast<float>(j % 5) * 0.1F;

    std::vector<float> expected = h;
    std::vector<double> sums(H);
    for (std::size_t s = 0; s < T; ++s) {
        const std::size_t t = it.reverse ? T - 1 - s : s;
        const std::size_t before = it.reverse ? t + 1 : t, after = it.reverse ? t : t + 1;
        for (std::size_t b = 0; b < B; ++b)
            for (std::size_t j = 0; j < H; ++j) {
                double sum = a[(t * B + b) * row + j];
                for (std::size_t k = 0; k < H; ++k)
                    sum += static_cast<double>(W[j * H + k]) * expected[(before * B + b) * row + k];
                expected[(after * B + b) * row + j] = static_cast<float>(std::tanh(sum));
                sums[j] += expected[(after * B + b) * row + j];
            }
    }

    const Program program = Program::decode(elman(H));
    const auto step = static_cast<std::int64_t>(B * row), stride = static_cast<std::int64_t>(row);
    const std::size_t before = it.reverse ? B * row : 0, after = it.reverse ? 0 : B * row;
    Call call;
    call.bindings = {{address(a), step, stride}, {address(h, before), step, stride}, {address(h, after), step, stride}};
    call.weights.push_back({address(W), static_cast<std::int64_t>(H), 1});
    call.totals = {address(total)};
    call.rows = T * B;
    call.batch = B;
    call.cut({});
    call.threads = it.threads;
    call.reverse = it.reverse;
    check(program, call);
    run(program, call, table);

    for (std::size_t i = 0; i < h.size(); ++i)
        if (!(std::abs(h[i] - expected[i]) <= 2e-6F * std::max(1.0F, std::abs(expected[i])))) {
            std::printf("T %zu B %zu H %zu threads %zu: %g, expected %g at %zu\n", T, B, H, it.threads,
                        static_cast<double>(h[i]), static_cast<double>(expected[i]), i);
            fail(isa, it.reverse ? "backwards" : "forwards", "a state, or what lies between the rows");
            return;
        }
    for (std::size_t j = 0; j < H; ++j)
        if (std::abs(total[j] - sums[j]) > 1e-5 * static_cast<double>(T * B)) return fail(isa, "total", "the sum is wrong");
}

// Packed sequences: every step has fewer rows, or as many. Both ways in time each sequence starts from its own state and
// keeps what it has while it has no step.
void check_packed(const Kernels& table, const char* isa, const std::vector<std::int64_t>& sizes, std::size_t B,
                  std::size_t H, std::size_t threads) {
    std::vector<std::size_t> starts{0};
    for (const std::int64_t size : sizes) starts.push_back(starts.back() + static_cast<std::size_t>(size));
    const std::size_t N = starts.back(), row = H + 3;
    std::vector<float> a(N * row, canary), h((B + N) * row, canary), W(H * H), total(H, 0.0F), last(B * H);
    draw(W, -1.0F / static_cast<float>(H), 1.0F / static_cast<float>(H));
    draw(a, -1, 1);
    for (std::size_t b = 0; b < B; ++b)
        for (std::size_t j = 0; j < H; ++j) h[b * row + j] = static_cast<float>((b + j) % 5) * 0.1F;

    std::vector<float> expected = h, ends(B * H);
    std::vector<double> sums(H);
    for (std::size_t b = 0; b < B; ++b) {
        std::size_t before = b;
        for (std::size_t t = 0; t < sizes.size() && b < static_cast<std::size_t>(sizes[t]); ++t) {
            const std::size_t after = B + starts[t] + b;
            for (std::size_t j = 0; j < H; ++j) {
                double sum = a[(after - B) * row + j];
                for (std::size_t k = 0; k < H; ++k)
                    sum += static_cast<double>(W[j * H + k]) * expected[before * row + k];
                expected[after * row + j] = static_cast<float>(std::tanh(sum));
                sums[j] += expected[after * row + j];
            }
            before = after;
        }
        for (std::size_t j = 0; j < H; ++j) ends[b * H + j] = expected[before * row + j];
    }

    const Program program = Program::decode(elman(H));
    const auto stride = static_cast<std::int64_t>(row);
    Call call;
    call.bindings = {{address(a), stride, stride},
                     {address(h, B * row), stride, stride, true},
                     {address(h, B * row), stride, stride}};
    call.weights.push_back({address(W), static_cast<std::int64_t>(H), 1});
    call.totals = {address(total)};
    call.moves_after = {{address(h, B * row), stride, address(last), static_cast<std::int64_t>(H), H}};
    call.rows = N;
    call.batch = B;
    call.cut(sizes);
    call.threads = threads;
    run(program, call, table);

    const auto near = [](float x, float y) { return std::abs(x - y) <= 2e-6F * std::max(1.0F, std::abs(y)); };
    for (std::size_t i = 0; i < h.size(); ++i)
        if (!near(h[i], expected[i])) return fail(isa, "packed", "a state, or what lies between the rows");
    for (std::size_t i = 0; i < last.size(); ++i)
        if (!near(last[i], ends[i])) return fail(isa, "packed", "a last state");
    for (std::size_t j = 0; j < H; ++j)
        if (std::abs(total[j] - sums[j]) > 1e-5 * static_cast<double>(N)) return fail(isa, "packed", "the sum is wrong");
}

void check_loop(const Kernels& table, const char* isa) {
    for (const std::size_t threads : {1, 2, 3})
        for (const bool reverse : {false, true}) {
            for (const std::size_t H : {1, 3, 16, 17, 33})
                for (const std::size_t B : {1, 2, 5}) check_one(table, isa, {3, B, H, threads, reverse});
            check_one(table, isa, {40, 1, 160, threads, reverse}); // threads share columns
            check_one(table, isa, {20, 2, 131, threads, reverse});
            check_one(table, isa, {20, 80, 24, threads, reverse}); // threads share rows
            check_one(table, isa, {30, 77, 17, threads, reverse});
            check_one(table, isa, {1, 1, 5, threads, reverse});
        }
    for (const std::size_t threads : {1, 2, 3}) {
        for (const std::size_t H : {1, 17, 33}) {
            check_packed(table, isa, {1}, 1, H, threads);
            check_packed(table, isa, {4, 4, 2, 1, 1}, 5, H, threads); // the last sequence has no step
        }
        check_packed(table, isa, std::vector<std::int64_t>(40, 1), 3, 160, threads); // threads share columns
        std::vector<std::int64_t> falling;
        for (std::int64_t size = 200; size > 0; size -= 7) falling.push_back(size);
        check_packed(table, isa, falling, 203, 24, threads); // threads are dealt rows
    }
}

void refuses(const char* what, const Words& words) {
    try {
        Program::decode(words);
    } catch (const std::invalid_argument&) {
        return;
    }
    fail("any", "decode", what);
}

// A program that was cut short, or has a number that is out of range, is an error; any other change is none or an error.
void check_decoding() {
    const Words good = elman(4);
    Program::decode(good);
    for (std::size_t n = 0; n < good.size(); ++n) refuses("cut short", Words(good.begin(), good.begin() + word(n)));
    Words longer = good;
    longer.push_back(0);
    refuses("too long", longer);
    for (std::size_t i = 0; i < good.size(); ++i)
        for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{1} << 62, std::int64_t{65536}, std::int64_t{9}}) {
            Words changed = good;
            changed[i] = value;
            try {
                static_cast<void>(Program::decode(changed).columns_split());
            } catch (const std::invalid_argument&) {
            }
        }
    for (std::size_t i : {0UL, 1UL, 2UL, 20UL, 23UL, 24UL, 25UL, 27UL}) {
        Words changed = good;
        changed[i] = -1;
        refuses("negative", changed);
    }
}

void check_calls() {
    const Program program = Program::decode(elman(4));
    Call call;
    try {
        check(program, call);
        fail("any", "call", "binds nothing and is accepted");
    } catch (const std::invalid_argument&) {
    }
    call.bindings.resize(3);
    call.weights.resize(1);
    call.totals.resize(1);
    check(program, call);
    run(program, call, kernels_named("portable")); // no steps and no rows: nothing is touched
    call.rows = 7;
    call.batch = 3;
    using Sizes = std::vector<std::int64_t>;
    for (const Sizes& sizes : {Sizes{}, Sizes{4, 3}, Sizes{3, 1, 3}, Sizes{3, 3}, Sizes{3, 3, 1, 0}, Sizes{3, 3, 2}}) {
        try {
            call.cut(sizes);
            fail("any", "cut", "steps that are not 7 rows of 3 sequences");
        } catch (const std::invalid_argument&) {
        }
    }
    call.cut({3, 3, 1});
    call.finals.push_back({6, 0, 0});
    try {
        check(program, call);
        fail("any", "call", "a place that the program does not have");
    } catch (const std::invalid_argument&) {
    }
}

} // namespace

int main() {
    check_decoding();
    check_calls();
    return check_every_set(check_loop);
}
