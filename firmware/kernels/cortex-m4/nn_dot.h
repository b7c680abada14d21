/* The inner product for cores with Arm's DSP extension (Cortex-M4, M7, M33): two products an instruction. */
#ifndef NN_DOT_H
#define NN_DOT_H

#include <arm_acle.h>

#include "nn.h"

/* Four neighbouring bytes; the address need not be aligned. */
static inline uint32_t nn_load4(const int8_t *bytes)
{
    uint32_t word;
    __builtin_memcpy(&word, bytes, 4);
    return word;
}

/* Bytes 1 and 3 as two 16-bit values; bytes 0 and 2 are __sxtb16. */
static inline int16x2_t nn_odd_bytes(uint32_t word)
{
    int16x2_t odd;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
    return odd;
}

/* Bytes 1 and 3 added to two 16-bit values; bytes 0 and 2 are __sxtab16. */
static inline int16x2_t nn_add_odd_bytes(int16x2_t pair, uint32_t word)
{
    int16x2_t sum;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(sum) : "r"(pair), "r"(word));
    return sum;
}

static inline int16x2_t nn_twice(int32_t offset)
{
    return (int16x2_t)(((uint32_t)offset & 0xFFFFu) * 0x00010001u);
}

/* Adds four products to a sum; `even` and `odd` hold x + offset. */
static inline int32_t nn_mac4(NN_ROM int8_t *weights, int16x2_t even, int16x2_t odd, int32_t sum)
{
    uint32_t word = nn_load4(weights);
    sum = __smlad(__sxtb16((int8x4_t)word), even, sum);
    return __smlad(nn_odd_bytes(word), odd, sum);
}

/* Sum of weights[i] * (x[i] + offset). offset: [-127, 128], so a term fits 16 bits and count may reach 65535. */
static inline int32_t nn_dot_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t count, int32_t offset)
{
    int32_t sum = 0;
    int16x2_t twice = nn_twice(offset);
    for (; count >= 4; count -= 4) {
        uint32_t word = nn_load4(x);
        sum = nn_mac4(weights, __sxtab16(twice, (int8x4_t)word), nn_add_odd_bytes(twice, word), sum);
        x += 4;
        weights += 4;
    }
    for (; count > 0; count--) {
        sum += *weights++ * (*x++ + offset);
    }
    return sum;
}

/* The same for four rows of weights, `step` apart, at once: one x serves four weights. Added to sums[4]. */
static inline void nn_dot4_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t step, int32_t count, int32_t offset,
                              int32_t *sums)
{
    NN_ROM int8_t *second = weights + step, *third = second + step, *fourth = third + step;
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    int16x2_t twice = nn_twice(offset);
    for (; count >= 4; count -= 4) {
        uint32_t word = nn_load4(x);
        int16x2_t even = __sxtab16(twice, (int8x4_t)word), odd = nn_add_odd_bytes(twice, word);
        x += 4;
        a = nn_mac4(weights, even, odd, a);
        b = nn_mac4(second, even, odd, b);
        c = nn_mac4(third, even, odd, c);
        d = nn_mac4(fourth, even, odd, d);
        weights += 4;
        second += 4;
        third += 4;
        fourth += 4;
    }
    for (; count > 0; count--) {
        int32_t value = *x++ + offset;
        a += *weights++ * value;
        b += *second++ * value;
        c += *third++ * value;
        d += *fourth++ * value;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

#endif
