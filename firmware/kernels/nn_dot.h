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

#endif
