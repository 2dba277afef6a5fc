#include "ifog/generation.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "ifog/parts.hpp"

namespace ifog {

namespace {

const Stepper& first_of(const std::vector<std::shared_ptr<Stepper>>& layers) {
    if (layers.empty()) throw std::invalid_argument("generation: no layers");
    for (const auto& layer : layers)
        if (layer->batch() != layers[0]->batch() || layer->threads() != layers[0]->threads() ||
            &layer->kernels() != &layers[0]->kernels())
            throw std::invalid_argument("generation: layers for different batches, threads or kernels");
    return *layers[0];
}

} // namespace

Generation::Generation(std::vector<std::shared_ptr<Stepper>> layers, std::vector<Gather> gathers, const Head& head,
                       Sampling sampling)
    : layers_(std::move(layers)), gathers_(std::move(gathers)), head_(head), kernels_(first_of(layers_).kernels()),
      threads_(layers_[0]->threads()), batch_(layers_[0]->batch()),
      scores_width_(padded(head.tokens, std::max<std::size_t>(16, kernels_.fp32.lanes))),
      packed_bytes_(padded(padded(head.tokens, kernels_.fp32.lanes) * head.depth * sizeof(float), 64)),
      block_(packed_bytes_ + batch_ * scores_width_ * sizeof(float)),
      scores_(reinterpret_cast<float*>(block_.data() + packed_bytes_)),
      samplers_(threads_, Sampler(sampling, kernels_)) {
    kernels_.fp32.pack(block_.data(), reinterpret_cast<const float*>(head.weight.data), head.weight.column_stride,
                       head.weight.depth_stride, head.tokens, head.depth, 0, head.depth);
}

void Generation::gather(std::size_t thread, const std::vector<std::int64_t>& tokens) const {
    for (const Gather& g : gathers_) {
        const Stepper::Range range = layers_[0]->part(thread, g.width);
        for (std::size_t row = range.row; row < range.row_end; ++row) {
            const auto* from = reinterpret_cast<const float*>(g.table) + tokens[row] * g.table_row;
            auto* to = reinterpret_cast<float*>(g.to) + static_cast<std::int64_t>(row) * g.to_row;
            std::copy(from + range.column, from + range.column_end, to + range.column);
        }
    }
}

// A thread's share of the columns, of all rows.
void Generation::score(std::size_t thread, std::size_t parity) const {
    const Product& product = kernels_.fp32;
    const std::size_t panels = (head_.tokens + product.panel - 1) / product.panel;
    const std::size_t begin = std::min(panels * thread / threads_ * product.panel, head_.tokens);
    const std::size_t end = std::min(panels * (thread + 1) / threads_ * product.panel, head_.tokens);
    if (begin == end) return;
    const Operand input{reinterpret_cast<const void*>(parity == 0 ? head_.input.even : head_.input.odd),
                        head_.input.row, head_.depth};
    float* const scores = scores_ + begin;
    const auto stride = static_cast<std::ptrdiff_t>(scores_width_);
    product.multiply(&input, 1, batch_, block_.data() + begin * head_.depth * sizeof(float), end - begin, scores,
                     stride);
    const Tile sums{scores, stride};
    const Tile bias{reinterpret_cast<float*>(head_.bias) + begin, 0};
    kernels_.elementwise[static_cast<std::size_t>(Op::add)](sums, sums, bias, bias, batch_, end - begin);
}

// All threads draw the same tokens: cheaper than to wait for one that does.
std::int64_t Generation::loop(std::size_t thread, const Excerpt& excerpt, Barrier& barrier) {
    std::vector<std::int64_t> tokens(excerpt.tokens, excerpt.tokens + batch_);
    std::vector<std::uint8_t> ended(excerpt.ended, excerpt.ended + batch_);
    Sampler& sampler = samplers_[thread];
    std::int64_t made = 0;
    for (std::size_t n = 0; n < excerpt.length && made >= 0; ++n) {
        if (std::all_of(ended.begin(), ended.end(), [](std::uint8_t e) { return e != 0; })) break;
        const std::size_t s = steps_ + n;
        gather(thread, tokens);
        for (const auto& layer : layers_) layer->step(thread, s, barrier);
        if (threads_ > 1) barrier.wait();
        score(thread, s % 2);
        if (threads_ > 1) barrier.wait();
        for (std::size_t row = 0; row < batch_; ++row) {
            if (ended[row] == 0) {
                const std::size_t token =
                    sampler.draw(scores_ + row * scores_width_, head_.tokens, excerpt.chances[n * batch_ + row]);
                if (token == Sampler::none) return -1;
                tokens[row] = static_cast<std::int64_t>(token);
                ended[row] = std::find(excerpt.endings.begin(), excerpt.endings.end(), tokens[row]) !=
                             excerpt.endings.end();
            }
            if (thread == 0) excerpt.made[n * batch_ + row] = tokens[row];
        }
        ++made;
    }
    if (threads_ > 1) barrier.wait(); // all have read what is written now
    if (thread == 0) {
        std::copy(tokens.begin(), tokens.end(), excerpt.tokens);
        std::copy(ended.begin(), ended.end(), excerpt.ended);
    }
    return made;
}

std::int64_t Generation::run(const Excerpt& excerpt) {
    Barrier barrier(threads_);
    std::int64_t made = 0;
    parallel(threads_, [&](std::size_t thread) {
        kernels_.enter();
        if (!packed_)
            for (const auto& layer : layers_) layer->pack(thread);
        if (threads_ > 1) barrier.wait();
        const std::int64_t count = loop(thread, excerpt, barrier);
        if (thread == 0) made = count;
        kernels_.leave();
    });
    packed_ = true;
    if (made > 0) steps_ += static_cast<std::size_t>(made);
    return made;
}

} // namespace ifog
