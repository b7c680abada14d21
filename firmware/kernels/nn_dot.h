/* The inner product, where most of a model's time goes. */
#ifndef NN_DOT_H
#define NN_DOT_H

#include "nn.h"

/* Sum of weights[i] * (x[i] + offset). offset: [-127, 128], so a term fits 16 bits and count may reach 65535. */
static inline int32_t nn_dot_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t count, int32_t offset)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += weights[i] * (x[i] + offset);
    }
    return sum;
}

/* The same for four rows of weights, `step` apart, at once: one x serves four weights. Added to sums[4]. */
static inline void nn_dot4_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t step, int32_t count, int32_t offset,
                              int32_t *sums)
{
    NN_ROM int8_t *second = weights + step, *third = second + step, *fourth = third + step;
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (int32_t i = 0; i < count; i++) {
        int32_t value = x[i] + offset;
        a += weights[i] * value;
        b += second[i] * value;
        c += third[i] * value;
        d += fourth[i] * value;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

#endif
