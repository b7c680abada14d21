/* RELU, RELU6, LEAKY_RELU and ABS of 16-bit values: one rescale from zero up, another below. */
#ifndef NN_SLOPES_S16_H
#define NN_SLOPES_S16_H

#include "nn_fixed.h"

typedef struct {
    int32_t count;
    int32_t multiplier[2]; /* from zero up, below; [0, 2^31) */
    int8_t shift[2];       /* [-31, 30] */
    int8_t sign;           /* that values below zero get: 1 they keep it, -1 they lose it */
    int16_t min, max;
} nn_slopes_s16_t;

/* `output` may be `input`. */
static void nn_slopes_s16(NN_ROM nn_slopes_s16_t *p, const int16_t *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        int32_t x = input[i], below = x < 0;
        x = nn_requantize(below ? x * p->sign : x, p->multiplier[below], p->shift[below]);
        output[i] = (int16_t)nn_max(nn_min(x, p->max), p->min);
    }
}

#endif
