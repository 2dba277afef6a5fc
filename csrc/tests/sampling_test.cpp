// The drawing of tokens: with evenly spaced chances, the shares of the tokens are their probabilities.
// A plain program: exit status 0 means every check held.

#include "tests/checks.hpp"

#include "ifog/isa.hpp"
#include "ifog/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace {

float score() { return 3.0F * number(); }

// What tokens should be drawn with: sorts everything, in double precision.
std::vector<double> expected(const std::vector<float>& scores, const ifog::Sampling& sampling) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    std::vector<double> share(scores.size(), 0.0);
    double total = 0.0;
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
        if (sampling.top_k > 0 && rank >= sampling.top_k) break;
        share[order[rank]] = std::exp(double{scores[order[rank]] - scores[order[0]]} / double{sampling.temperature});
        total += share[order[rank]];
    }
    double likelier = 0.0;
    double kept = 0.0;
    for (const std::size_t token : order) {
        const double p = share[token] / total;
        if (sampling.top_p < 1.0F && likelier >= double{sampling.top_p}) share[token] = 0.0;
        kept += share[token];
        likelier += p;
    }
    for (double& s : share) s /= kept;
    return share;
}

constexpr std::size_t draws = 20000;

void check_shares(const std::vector<float>& scores, const ifog::Sampling& sampling, const ifog::Kernels& kernels,
                  const std::string& what) {
    ifog::Sampler sampler(sampling, kernels);
    std::vector<double> found(scores.size(), 0.0);
    for (std::size_t i = 0; i < draws; ++i) {
        const double chance = (static_cast<double>(i) + 0.5) / draws;
        found.at(sampler.draw(scores.data(), scores.size(), chance)) += 1.0 / draws;
    }
    const std::vector<double> wanted = expected(scores, sampling);
    for (std::size_t i = 0; i < scores.size(); ++i) {
        check(std::abs(found[i] - wanted[i]) < 2.0 / draws, what + ": share of token " + std::to_string(i) + " is " +
                                                                std::to_string(found[i]) + ", not " +
                                                                std::to_string(wanted[i]));
        check(wanted[i] > 0.0 || found[i] == 0.0, what + ": a token that was ruled out is never drawn");
    }
}

void check_distribution(const ifog::Kernels& kernels, const std::string& isa) {
    for (const std::size_t count : {1U, 2U, 7U, 65U, 130U}) {
        std::vector<float> scores(count);
        for (float& s : scores) s = score();
        for (const float temperature : {1.0F, 0.3F, 2.5F}) {
            for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{1000}}) {
                for (const float p : {1.0F, 0.9F, 0.5F, 1e-9F}) {
                    const ifog::Sampling sampling{temperature, k, p, false};
                    check_shares(scores, sampling, kernels,
                                 isa + ", " + std::to_string(count) + " tokens, temperature " +
                                     std::to_string(temperature) + ", top-k " + std::to_string(k) + ", top-p " +
                                     std::to_string(p));
                }
            }
        }
    }
}

void check_corners(const ifog::Kernels& kernels) {
    const float infinite = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto drawn = [&](std::vector<float> scores, ifog::Sampling sampling, double chance) {
        return ifog::Sampler(sampling, kernels).draw(scores.data(), scores.size(), chance);
    };
    const ifog::Sampling plain;
    const ifog::Sampling greedy{1.0F, 0, 1.0F, true};
    const ifog::Sampling cold{1e-30F, 0, 1.0F, false};
    const ifog::Sampling two{1.0F, 2, 1.0F, false};
    const double last = std::nextafter(1.0, 0.0);
    check(drawn({1, 4, 4, 3}, greedy, 0.9) == 1, "greedy takes the first of the likeliest");
    check(drawn({1, nan, 4}, greedy, 0.9) == 1, "greedy takes a NaN, as argmax does");
    check(drawn({1, 4, 2}, cold, last) == 1, "a vanishing temperature takes the likeliest");
    check(drawn({0, 0, 0, 0}, two, last) == 1, "top-k keeps the first of equals");
    check(drawn({0, -infinite, -infinite}, plain, last) == 0, "an impossible token is never drawn");
    check(drawn({0, -infinite, 0}, plain, last) == 2, "the last token can be drawn");
    check(drawn({0, nan}, plain, 0.5) == ifog::Sampler::none, "NaN is no score");
    check(drawn({0, infinite}, plain, 0.5) == ifog::Sampler::none, "nor is infinity");
    check(drawn({-infinite, -infinite}, plain, 0.5) == ifog::Sampler::none, "nor is nothing at all");
}

} // namespace

int main() {
    for (const std::string& isa : ifog::isa_names()) {
        const ifog::Kernels& kernels = ifog::kernels_named(isa);
        kernels.enter();
        check_distribution(kernels, isa);
        check_corners(kernels);
        kernels.leave();
    }
    std::printf("%d checks, %d failures\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
