/* TANH of 16-bit values; the output's scale is 2^-15. */
#ifndef NN_TANH_S16_H
#define NN_TANH_S16_H

#include "nn_curve.h"

/* `output` may be `input`. */
static void nn_tanh_s16(NN_ROM nn_curve_t *p, const int16_t *input, int16_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = nn_tanh_of(nn_curve_argument(p, input[i]));
    }
}

#endif
