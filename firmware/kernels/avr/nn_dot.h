/* The inner product for AVR: 16-bit arithmetic, and zero weights, many in a pruned model, cost no multiply. */
#ifndef NN_DOT_H
#define NN_DOT_H

#include "nn.h"

/* Sum of weights[i] * (x[i] + offset). offset: [-127, 128], so a term fits 16 bits and count may reach 65535.
 * A function of its own, for inside another loop its few registers would not do. */
__attribute__((noinline, unused)) static int32_t nn_dot_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t count,
                                                           int32_t offset)
{
    int32_t sum = 0;
    const int16_t shift = (int16_t)offset;
    for (const int8_t *end = x + (uint16_t)count; x != end; x++) {
        const int8_t weight = *weights++;
        if (weight != 0) {
            sum += (int16_t)(weight * (int16_t)(*x + shift));
        }
    }
    return sum;
}

/* The same for four rows of weights, `step` apart. Flash is read through one register pair, so one after the other. */
static inline void nn_dot4_s8(const int8_t *x, NN_ROM int8_t *weights, int32_t step, int32_t count, int32_t offset,
                              int32_t *sums)
{
    for (uint8_t i = 0; i < 4; i++) {
        sums[i] += nn_dot_s8(x, weights, count, offset);
        weights += step;
    }
}

#endif
