// What the tests count, and the numbers that they draw.

#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace {

int failures = 0;
int checks = 0;

void check(bool holds, const std::string& sentence) {
    ++checks;
    if (holds) return;
    if (++failures <= 20) std::printf("FAILED: %s\n", sentence.c_str());
}

std::uint32_t state = 1;

// Between -1 and 1, the same on every machine.
float number() {
    state = state * 1664525U + 1013904223U;
    return static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
}

} // namespace
