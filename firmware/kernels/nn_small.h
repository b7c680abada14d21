/* nn_output.h in fewer instructions, for small sums: what pipeline/ops/sparse.py calls so. */
#ifndef NN_SMALL_H
#define NN_SMALL_H

#include "nn_output.h"

/* sum * multiplier / 2^20, rounded down. sum: within 2^20; multiplier: [0, 2^31) */
static inline int32_t nn_small_product(int32_t sum, int32_t multiplier)
{
#if defined(__XTENSA__) || defined(__ARM_ARCH_6M__)
    const int32_t low = multiplier & 1023, middle = multiplier >> 10 & 1023; /* no product here is above 31 bits */
    return sum * (multiplier >> 20) + ((sum * middle + (sum * low >> 10)) >> 10);
#else
    return (int32_t)((int64_t)(sum * 2048) * (int64_t)((uint32_t)multiplier << 1) >> 32);
#endif
}

/* The product has eleven bits more than TFLite's, which is rounded before it is shifted. shift: [-19, -2] */
static inline int32_t nn_small_output(const nn_output_t *to, int32_t sum, int32_t multiplier, int32_t shift)
{
    if (sum < 0 && to->min >= to->offset) {
        return to->min; /* a ReLU, and nothing to compute */
    }
    const int32_t half = (int32_t)1 << (10 - shift);
    int32_t value = nn_small_product(sum, multiplier) + half + (1 << 10);
    if (value < half) {
        value -= 1 << 11; /* halves away from zero */
    }
    value = nn_max((value >> (11 - shift)) + to->offset, to->min);
    return nn_min(value, to->max);
}

#endif
