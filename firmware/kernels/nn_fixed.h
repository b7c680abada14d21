/* TFLite's integer arithmetic, once in C: every function here has a twin in pipeline/fixedpoint.py. */
#ifndef NN_FIXED_H
#define NN_FIXED_H

#include "nn.h"

/* round(a * b / 2^31), half away from zero. INT32_MIN * INT32_MIN saturates. */
static inline int32_t nn_doubling_high_mul(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    int64_t product = (int64_t)a * b;
    return (int32_t)((product + ((int64_t)1 << 30)) >> 31);
}

/* round(x / 2^exponent), half away from zero. exponent: [0, 31] */
static inline int32_t nn_divide_by_power(int32_t x, int32_t exponent)
{
    int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
    int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + ((x & mask) > threshold ? 1 : 0);
}

/* round(x * multiplier / 2^31), halves upward. multiplier: [0, 2^31), so it never saturates. */
static inline int32_t nn_times_q31(int32_t x, int32_t multiplier)
{
#if defined(__XTENSA__) || defined(__ARM_ARCH_6M__) || defined(__AVR__)
    /* no 32 x 32 -> 64 bit multiply: four of 16 x 16 bits, of which none overflows */
    int16_t high = (int16_t)(x >> 16), times_high = (int16_t)(multiplier >> 16);
    uint16_t low = (uint16_t)x, times_low = (uint16_t)multiplier;
#ifdef __AVR__ /* the compiler forgets that they have 16 bits and calls a 32-bit multiply */
    __asm__("" : "+r"(high), "+r"(low), "+r"(times_high), "+r"(times_low));
#endif
    const int32_t cross = (int32_t)high * times_low + (int32_t)((uint32_t)low * times_low >> 16);
    const int32_t rest = (int32_t)low * times_high + (uint16_t)cross + (1 << 14);
    return (int32_t)((uint32_t)((int32_t)high * times_high + (cross >> 16)) << 1) +
           (int32_t)((uint32_t)rest << 1 >> 16);
#else
    const int64_t doubled = (int64_t)x * (int64_t)((uint32_t)multiplier << 1);
    return (int32_t)(doubled >> 32) + (int32_t)((uint32_t)doubled >> 31);
#endif
}

/* x * multiplier / 2^31 * 2^shift, rounded twice as TFLite does. multiplier: [0, 2^31); shift: [-31, 30]; the left
 * shift wraps. */
static inline int32_t nn_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    if (__builtin_expect(shift >= 0, 0)) { /* rare, and compilers must not do both */
        return nn_times_q31((int32_t)((uint32_t)x << shift), multiplier);
    }
    const int32_t high = nn_times_q31(x, multiplier); /* above INT32_MIN, as the multiplier is below 2^31 */
    return (((high + (high >> 31)) >> (-1 - shift)) + 1) >> 1;
}

/* x * multiplier / 2^15 * 2^shift, rounded once, halves upward. multiplier: [0, 2^15); shift: [-31, 7] */
static inline int32_t nn_requantize_wide(int64_t x, int32_t multiplier, int32_t shift)
{
    const int32_t right = 15 - shift;
    return (int32_t)((x * multiplier + ((int64_t)1 << (right - 1))) >> right);
}

/* x * 2^exponent, saturated. exponent: [1, 30] */
static inline int32_t nn_saturating_shift(int32_t x, int32_t exponent)
{
    int32_t limit = INT32_MAX >> exponent;
    if (x > limit) {
        return INT32_MAX;
    }
    if (x < -limit - 1) {
        return INT32_MIN;
    }
    return (int32_t)((uint32_t)x << exponent);
}

/* exp(a) for a in [-1/4, 0), Q0.31: Taylor around -1/8 */
static inline int32_t nn_exp_in_last_quarter(int32_t a)
{
    const int32_t exp_minus_eighth = 1895147668, one_third = 715827883;
    int32_t x = a + ((int32_t)1 << 28);
    int32_t x2 = nn_doubling_high_mul(x, x);
    int32_t x3 = nn_doubling_high_mul(x2, x);
    int32_t x4 = nn_doubling_high_mul(x2, x2);
    int32_t tail = nn_doubling_high_mul(nn_divide_by_power(x4, 2) + x3, one_third) + x2;
    return exp_minus_eighth + nn_doubling_high_mul(exp_minus_eighth, x + nn_divide_by_power(tail, 1));
}

/* exp(x) in Q0.31 for x <= 0 in Q5.26 */
static inline int32_t nn_exp_on_negative_q5(int32_t x)
{
    /* exp(-2^k) in Q0.31 for k = -2 .. 4 */
    static NN_ROM int32_t powers[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = (int32_t)1 << 24;
    if (x == 0) {
        return INT32_MAX;
    }
    int32_t below_quarter = (x & (quarter - 1)) - quarter;
    int32_t result = nn_exp_in_last_quarter((int32_t)((uint32_t)below_quarter << 5));
    uint32_t remainder = (uint32_t)below_quarter - (uint32_t)x;
    for (uint8_t i = 0; i < 7; i++) {
        if (remainder & ((uint32_t)1 << (24 + i))) {
            result = nn_doubling_high_mul(result, powers[i]);
        }
    }
    return result;
}

/* 1 / (1 + x) in Q0.31 for x in [0, 1) in Q0.31: three Newton steps */
static inline int32_t nn_one_over_one_plus(int32_t x)
{
    const int32_t q2_48_over_17 = 1515870810, q2_minus_32_over_17 = -1010580540;
    int32_t half_denominator = (int32_t)(((uint32_t)x + (uint32_t)INT32_MAX + 1) >> 1);
    int32_t estimate = q2_48_over_17 + nn_doubling_high_mul(half_denominator, q2_minus_32_over_17);
    for (uint8_t i = 0; i < 3; i++) {
        int32_t error = ((int32_t)1 << 29) - nn_doubling_high_mul(half_denominator, estimate);
        estimate += nn_saturating_shift(nn_doubling_high_mul(estimate, error), 2);
    }
    return nn_saturating_shift(estimate, 1);
}

static inline int8_t nn_leading_zeros(uint32_t x)
{
    int8_t count = 0;
    for (; count < 32 && !(x & 0x80000000u); x <<= 1) {
        count++;
    }
    return count;
}

/* log(x) in Q5.26 for x >= 1 in Q12.19: x = 2^k * r with r between sqrt(1/2) and 1, and log(r) by a rational function
 * around the middle of that interval. The constants are in Q0.31. */
static inline int32_t nn_log_of_sum(int32_t x)
{
    const int32_t log_2 = 1488522236, sqrt_half = 1518500250, fourth_root_half = 1805811301;
    const int32_t one = (int32_t)1 << 25, quarter = (int32_t)1 << 23; /* of a power of two, in Q6.25 */
    const int32_t of_cube = 117049297, of_square = 127690142, constant = 1057819769, linear = 638450708;
    int32_t halved = nn_doubling_high_mul(x, sqrt_half);
    int32_t zeros = nn_leading_zeros((uint32_t)x), halved_zeros = nn_leading_zeros((uint32_t)halved) - 1;
    int32_t above = nn_doubling_high_mul((int32_t)((uint32_t)x << (zeros - 1)), sqrt_half);
    int32_t r = nn_min(nn_saturating_shift(above, 1), halved_zeros > 0 ? nn_saturating_shift(x, halved_zeros) : x);
    int32_t power = nn_max((12 - zeros) * one + quarter, (12 - halved_zeros) * one - quarter);
    int32_t middle = (int32_t)(((uint32_t)r + (uint32_t)fourth_root_half + 1) >> 1);
    int32_t q = 2 * (r - fourth_root_half);
    int32_t square = nn_doubling_high_mul(q, q);
    int32_t numerator = nn_doubling_high_mul(q, r) + nn_doubling_high_mul(nn_doubling_high_mul(q, square), of_cube);
    int32_t denominator = nn_doubling_high_mul(middle, constant + q + nn_doubling_high_mul(of_square, square)) +
                          nn_doubling_high_mul(linear, q);
    int32_t of_r = nn_doubling_high_mul(nn_divide_by_power(numerator, 6), nn_one_over_one_plus(denominator));
    return nn_saturating_shift(nn_doubling_high_mul(power, log_2) + of_r, 1);
}

/* 1 / sqrt(x) = multiplier / 2^31 * 2^shift; of 0 as of 1. Five Newton steps in Q3.28. */
static inline int32_t nn_inverse_sqrt(int32_t x, int32_t *shift)
{
    const int32_t three_halves = (int32_t)3 << 27, sqrt_half = 1518500250;
    *shift = 0;
    if (x <= 1) {
        return INT32_MAX;
    }
    int32_t right = 11;
    for (; x >= (int32_t)1 << 29; x /= 4) {
        right++;
    }
    int32_t pairs = (nn_leading_zeros((uint32_t)x) - 1) / 2 - 1;
    int32_t value = (int32_t)((uint32_t)x << (2 * pairs)) >> 1;
    int32_t half = nn_divide_by_power(value, 1), estimate = (int32_t)1 << 28;
    for (uint8_t i = 0; i < 5; i++) {
        int32_t cube = nn_doubling_high_mul(nn_doubling_high_mul(estimate, estimate), estimate);
        int32_t step = nn_doubling_high_mul(half, nn_saturating_shift(cube, 6));
        estimate = nn_saturating_shift(nn_doubling_high_mul(three_halves, estimate) - step, 3);
    }
    right -= pairs;
    estimate = nn_doubling_high_mul(estimate, sqrt_half);
    *shift = right < 0 ? 0 : -right;
    return right < 0 ? (int32_t)((uint32_t)estimate << -right) : estimate;
}

#endif
