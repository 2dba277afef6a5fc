#include "ifog/packing.hpp"

#include <algorithm>

#include "ifog/parts.hpp"

namespace ifog {

std::vector<PackedWeights> plan_packing(const Program& program, const Product& product, std::size_t& bytes) {
    std::vector<PackedWeights> all;
    for (const StageCode& stage : program.stages) {
        for (const ProductCode& code : stage.products) {
            PackedWeights packed;
            for (const Term& term : code.terms) {
                packed.depths.push_back(padded(program.weights[term.weight].depth, product.depth_align));
                packed.depth += product.spread(packed.depths.back());
            }
            packed.data = reinterpret_cast<char*>(bytes);
            bytes += padded(padded(code.columns, product.lanes) * packed.depth * product.bytes, 64);
            all.push_back(std::move(packed));
        }
    }
    return all;
}

void pack(const Program& program, const std::vector<WeightSource>& sources, const Product& product,
          const std::vector<PackedWeights>& all, std::size_t thread, std::size_t threads) {
    std::size_t index = 0;
    for (const StageCode& stage : program.stages) {
        for (const ProductCode& code : stage.products) {
            const PackedWeights& packed = all[index++];
            const auto [begin, end] = part_of(code.columns, thread, threads, product.panel);
            if (begin >= end) continue;
            std::size_t offset = 0;
            for (std::size_t k = 0; k < code.terms.size(); ++k) {
                const WeightSource& source = sources[code.terms[k].weight];
                product.pack(packed.data + begin * packed.depth * product.bytes,
                             reinterpret_cast<const float*>(source.data) +
                                 static_cast<std::ptrdiff_t>(begin) * source.column_stride,
                             source.column_stride, source.depth_stride, end - begin,
                             program.weights[code.terms[k].weight].depth, offset, packed.depth);
                offset += product.spread(packed.depths[k]);
            }
        }
    }
}

} // namespace ifog
