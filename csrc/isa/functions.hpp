// Vector exp, log, sigmoid, tanh, softplus, erf, sine and cosine in single precision, without branches per lane.
//
// Errors stay below 3e-7 of the true value (tanh without fused multiply-add: 3.3e-7); the tests bound each in units of
// the last place. Polynomials and quotients are minimax fits in relative error. Denormal numbers count as zero.

#pragma once

#include "isa/vector.hpp"

#include <math.h>

namespace ifog::IFOG_ISA {

// c[0] + c[1] x + c[2] x^2 + ...
template <std::size_t N> static inline Vector polynomial(Vector x, const float (&c)[N]) {
    Vector sum = splat(c[N - 1]);
    for (std::size_t i = N - 1; i-- > 0;) sum = fma(sum, x, splat(c[i]));
    return sum;
}

// Adding it leaves no room for a fraction: the sum's low bits are the nearest integer.
inline constexpr float rounder = 12582912.0F; // 1.5 * 2^23

inline constexpr float exp_plus[] = {1.0F,             1.0F,             4.999999106e-01F, 1.666646451e-01F,
                                     4.166848958e-02F, 8.374918252e-03F, 1.383633818e-03F};
inline constexpr float exp_minus[] = {1.0F,             -1.0F,             4.999999106e-01F, -1.666646451e-01F,
                                      4.166848958e-02F, -8.374918252e-03F, 1.383633818e-03F};

// e^x = 2^n e^r with |r| <= log(2) / 2; where `negative`, e^-x = 2^n e^-r, which needs no change of sign.
template <bool negative> static inline Vector exp_of(Vector x) {
    constexpr float sign = negative ? -1.0F : 1.0F;
    const Vector shifted = fma(x, splat(sign * 1.44269504F), splat(rounder));
    const Vector n = shifted - rounder;
    Vector r = fma(n, splat(sign * -0.693145752F), x); // few bits: exact even in two roundings
    r = fma(n, splat(sign * -1.42860677e-06F), r);
#if defined(__AVX512F__)
    // Where x is infinite or huge, r is anything; 2^n then decides.
    const Vector fraction = polynomial(within(r, splat(0.5F)), negative ? exp_minus : exp_plus);
    return (Vector)_mm512_maskz_scalef_ps(every_lane, (__m512)fraction, (__m512)n);
#else
    // Adding n to the exponent; where that would leave its range, the answer is 0, infinity or NaN.
    const Vector fraction = polynomial(r, negative ? exp_minus : exp_plus);
    const Vector scaled = (Vector)((Bits)fraction + ((Bits)shifted << 23));
    const Vector power = negative ? -x : x;
    const Vector inside = power < -87.3365402F ? Vector{} : scaled;
    return power <= 88.7228394F ? inside : power + __builtin_inff();
#endif
}

static inline Vector exp(Vector x) { return exp_of<false>(x); }

static inline Vector log(Vector x) {
    static constexpr float c[] = {3.333333117e-01F,  -2.499999400e-01F, 2.000071478e-01F,
                                  -1.666805683e-01F, 1.424932168e-01F,  -1.242015869e-01F,
                                  1.167702831e-01F,  -1.151449939e-01F, 7.037466251e-02F};
    // x = 2^n m with m from sqrt(1/2) to sqrt(2): counting exponents from that of sqrt(1/2) does both at once.
    // In unsigned numbers: a negative x wraps around here, and is answered below.
    const Integers above = (Integers)((Bits)x - 0x3F3504F3U);
    const Vector n = __builtin_convertvector(above >> 23, Vector);
    const Vector f = (Vector)((above & 0x007FFFFF) + 0x3F3504F3) - 1.0F;
    const Vector square = f * f;
    Vector tail = fma(polynomial(f, c) * square, f, n * 1.42860677e-06F);
    tail = fma(square, splat(-0.5F), tail);
    const Vector finite = fma(n, splat(0.693145752F), f + tail);

    const Vector special = x < 0.0F ? splat(__builtin_nanf("")) : splat(-__builtin_inff());
    const Vector positive = x >= __FLT_MIN__ ? finite : special;
    return x <= __FLT_MAX__ ? positive : x; // infinity and NaN stay
}

// Divided, not multiplied by an estimated reciprocal: as fast, for the division runs beside the polynomial, right where
// e^-x is infinite, and more accurate.
static inline Vector sigmoid(Vector x) { return 1.0F / (exp_of<true>(x) + 1.0F); }

// An odd function that starts as x and rises to 1, as the sine A B / (A^2 / 4 + B^2) of twice the angle whose tangent
// is A / 2 B, with A = x + x^3 P(x^2) and B = Q(x^2). The nearer to 1, the less do errors of A and B matter. Constant
// beyond `limit`.
template <std::size_t N, std::size_t M>
static inline Vector saturating(Vector x, float limit, const float (&p)[N], const float (&q)[M]) {
    x = largest(splat(-limit), smallest(splat(limit), x));
    const Vector square = x * x;
    const Vector a = fma(x * square, polynomial(square, p), x), b = polynomial(square, q);
    return a * b / fma(b, b, a * 0.25F * a);
}

static inline Vector tanh(Vector x) {
    static constexpr float p[] = {2.977097077e-02F, 1.141980406e-04F};
    static constexpr float q[] = {1.0F, 1.131042584e-01F, 1.206260462e-03F, 1.227953768e-06F};
    return saturating(x, 9.02F, p, q);
}

static inline Vector erf(Vector x) {
    static constexpr float p[] = {2.635657533e-01F, 2.860904826e-02F, 2.251810909e-03F};
    static constexpr float q[] = {8.862268950e-01F, 2.468943135e-01F, 4.294274304e-02F, 5.360792135e-03F,
                                  8.767317201e-05F};
    return saturating(x, 3.93F, p, q);
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). Above 20 the second part is lost in rounding, and x itself is returned,
// as by PyTorch with its threshold.
static inline Vector softplus(Vector x) {
    static constexpr float c[] = {9.999999993e-01F,  -4.999998143e-01F, 3.333255954e-01F,  -2.498726981e-01F,
                                  1.989074083e-01F,  -1.610566576e-01F, 1.241837745e-01F,  -8.244092698e-02F,
                                  4.147752473e-02F,  -1.340719927e-02F, 2.030175151e-03F};
    const Vector e = exp_of<true>(absolute(x));
    return fma(e, polynomial(e, c), largest(Vector{}, x));
}

// --- sine and cosine ------------------------------------------------------------------------------------------------

struct Angle {
    Vector rest;       // |rest| <= pi / 4
    Integers quarters; // angle = quarters * pi / 2 + rest
};

// In double, where the product of `quarters` and the first 33 bits of pi / 2 is exact.
static inline Angle quarters(Vector x) {
    Angle angle;
    for (std::size_t i = 0; i < lanes; ++i) {
        const double full = x[i];
        const double n = (full * 0.63661977236758134308 + 0x1.8p52) - 0x1.8p52;
        angle.rest[i] = static_cast<float>((full - n * 1.57079632673412561417) - n * 6.07710050650619224932e-11);
        angle.quarters[i] = static_cast<std::int32_t>(n);
    }
    return angle;
}

// The sine of an angle that is `quarters` further.
static inline Vector sine(Angle angle, std::int32_t quarters) {
    static constexpr float odd[] = {1.0F, -1.666666663e-01F, 8.333328662e-03F, -1.983916996e-04F, 2.717075724e-06F};
    static constexpr float even[] = {1.0F, -4.999999957e-01F, 4.166661291e-02F, -1.388651954e-03F, 2.437181127e-05F};
    const Vector square = angle.rest * angle.rest;
    const Integers turn = angle.quarters + quarters;
    const Vector value = (turn & 1) != 0 ? polynomial(square, even) : angle.rest * polynomial(square, odd);
    return (Vector)((Bits)value ^ (((Bits)turn & 2U) << 30));
}

inline constexpr float largest_angle = 1e5F;

template <float Scalar(float)> static inline Vector by_lane(Vector x) {
    for (std::size_t i = 0; i < lanes; ++i) x[i] = Scalar(x[i]);
    return x;
}

static inline Vector sin(Vector x) {
    if (any(!(absolute(x) <= largest_angle))) return by_lane<::sinf>(x);
    return sine(quarters(x), 0);
}

static inline Vector cos(Vector x) {
    if (any(!(absolute(x) <= largest_angle))) return by_lane<::cosf>(x);
    return sine(quarters(x), 1);
}

} // namespace ifog::IFOG_ISA
