/* RSQRT of 16-bit values: 1 / sqrt(x), rescaled; of 0 the largest value, below zero the smallest. */
#ifndef NN_RSQRT_S16_H
#define NN_RSQRT_S16_H

#include "nn_fixed.h"

typedef struct {
    int32_t count;
    int32_t multiplier; /* [0, 2^31) */
    int8_t shift;       /* [-31, 30]; the root has 20 fractional bits */
} nn_rsqrt_s16_t;

/* `output` may be `input`. */
static void nn_rsqrt_s16(NN_ROM nn_rsqrt_s16_t *p, const int16_t *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        int32_t value = input[i] < 0 ? INT16_MIN : INT16_MAX, shift;
        if (input[i] > 0) {
            int32_t root = nn_inverse_sqrt(input[i], &shift);
            root = nn_requantize(1, root, shift + 20);
            value = nn_min(nn_requantize(root, p->multiplier, p->shift), INT16_MAX);
        }
        output[i] = (int16_t)value;
    }
}

#endif
