#include "ifog/isa.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "ifog/cpu_features.hpp"

namespace ifog {

#if defined(IFOG_HAS_X86_KERNELS)
bool amx_permitted(); // csrc/isa/bf16.cpp: asks the operating system for the tiles, once
#endif

namespace {

struct Candidate {
    const char* name;
    Isa isa;
    std::vector<std::string_view> needs;
};

std::vector<std::pair<std::string, const Kernels*>> find() {
    const std::vector<std::string_view> here = cpu_features();
    const auto has = [&here](std::string_view name) { return std::find(here.begin(), here.end(), name) != here.end(); };
    const Candidate candidates[] = {
        {"portable", Isa::portable, {}},
        {"avx2", Isa::avx2, {"avx2", "fma"}},
        {"avx512", Isa::avx512, {"avx512", "fma"}},
        {"avx512_vnni", Isa::avx512_vnni, {"avx512_vnni", "fma"}},
        {"avx512_bf16", Isa::avx512_bf16, {"avx512_bf16", "avx512_vnni", "fma"}},
        {"amx_bf16", Isa::amx_bf16, {"amx_bf16", "avx512_bf16", "avx512_vnni", "fma"}},
    };
    std::vector<std::pair<std::string, const Kernels*>> found;
    for (const Candidate& candidate : candidates) {
        const Kernels* table = kernels(candidate.isa);
        bool usable = table != nullptr && std::all_of(candidate.needs.begin(), candidate.needs.end(), has);
#if defined(IFOG_HAS_X86_KERNELS)
        usable = usable && (candidate.isa != Isa::amx_bf16 || amx_permitted());
#endif
        if (usable) found.emplace_back(candidate.name, table);
    }
    return found;
}

const std::vector<std::pair<std::string, const Kernels*>>& tables() {
    static const auto found = find();
    return found;
}

} // namespace

std::vector<std::string> isa_names() {
    std::vector<std::string> names;
    for (const auto& [name, table] : tables()) names.push_back(name);
    return names;
}

const Kernels& kernels_named(const std::string& name) {
    if (name.empty()) return *tables().back().second;
    for (const auto& [known, table] : tables())
        if (known == name) return *table;
    std::string list;
    for (const std::string& known : isa_names()) list += (list.empty() ? "" : ", ") + known;
    throw std::invalid_argument("no kernels are called '" + name + "' on this machine; it has " + list);
}

std::vector<std::string> operation_names() {
    return {"add", "sub", "mul", "div", "neg", "square", "sqrt", "exp", "log", "sigmoid", "tanh", "relu", "softplus",
            "erf", "sin", "cos", "sigmoid_back", "tanh_back", "abs", "sign", "step", "share", "maximum", "minimum",
            "fma", "fnma", "select", "copy", "broadcast", "load_bf16", "store_bf16", "round_bf16", "accumulate",
            "accumulate_product",
            "row_sum", "row_max", "repeat", "tile", "tile_sum", "part", "pad", "concat", "dot"};
}

} // namespace ifog
