#include "ifog/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ifog {

namespace {

// The first of the largest; the first NaN, if there is one, as torch's argmax has it.
std::size_t argmax(const float* scores, std::size_t count) {
    std::size_t best = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (std::isnan(scores[i])) return i;
        if (scores[i] > scores[best]) best = i;
    }
    return best;
}

} // namespace

std::size_t Sampler::draw(const float* scores, std::size_t count, double chance) {
    const std::size_t best = argmax(scores, count);
    if (sampling_.greedy) return best;
    const float largest = scores[best];
    if (!std::isfinite(largest)) return none;
    weights_.resize(count);
    // at most 0 before the division, so that a tiny temperature can't overflow
    for (std::size_t i = 0; i < count; ++i) weights_[i] = (scores[i] - largest) / sampling_.temperature;
    const Tile all{weights_.data(), static_cast<std::ptrdiff_t>(count)};
    kernels_.elementwise[static_cast<std::size_t>(Op::exp)](all, all, all, all, 1, count);
    const double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
    if (sampling_.top_p < 1.0F || (sampling_.top_k > 0 && sampling_.top_k < count))
        return draw_likeliest(count, total, chance);
    double left = chance * total;
    for (std::size_t i = 0; i < count; ++i) {
        left -= double{weights_[i]};
        if (left < 0.0) return i;
    }
    return best; // rounding: the sum fell short of the total
}

// Takes tokens from a heap, likeliest first, of equals the first, until enough are there.
std::size_t Sampler::draw_likeliest(std::size_t count, double total, double chance) {
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    const auto later = [this](std::size_t a, std::size_t b) {
        return weights_[a] < weights_[b] || (weights_[a] == weights_[b] && a > b);
    };
    std::make_heap(order_.begin(), order_.end(), later);
    auto end = order_.end(); // taken ones lie from here on, the last taken first
    const auto take = [&] {
        std::pop_heap(order_.begin(), end, later);
        --end;
        return double{weights_[*end]};
    };
    const std::size_t most = sampling_.top_k > 0 ? std::min(sampling_.top_k, count) : count;
    const auto taken = [&] { return static_cast<std::size_t>(order_.end() - end); };
    double kept = 0.0;
    if (most < count) { // top-p then is a share of what top-k left
        while (taken() < most) kept += take();
        total = kept;
    }
    if (sampling_.top_p < 1.0F) {
        const double wanted = double{sampling_.top_p} * total;
        if (most < count) {
            auto keep = order_.end();
            for (kept = 0.0; keep != end && kept < wanted; --keep) kept += double{weights_[*(keep - 1)]};
            end = keep;
        } else {
            while (end != order_.begin() && kept < wanted) kept += take();
        }
    }
    double left = chance * kept;
    for (auto i = order_.end(); i != end; --i) {
        left -= double{weights_[*(i - 1)]};
        if (left < 0.0) return *(i - 1);
    }
    return order_.back(); // the likeliest
}

} // namespace ifog
