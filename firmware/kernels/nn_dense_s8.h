/* FULLY_CONNECTED: every output is the inner product of a row of the input with one row of the weights. */
#ifndef NN_DENSE_S8_H
#define NN_DENSE_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"

typedef struct {
    int16_t rows;               /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs;    /* values of one vector */
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    int8_t per_channel;         /* 1: a multiplier and shift for each output; 0: one for all */
    NN_ROM int8_t *weights;     /* [outputs][inputs] */
    NN_ROM int32_t *bias;       /* [outputs] */
    NN_ROM int32_t *multiplier; /* [outputs] or [1], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs] or [1], [-31, 30] */
} nn_dense_t;

static void nn_dense_s8(NN_ROM nn_dense_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        NN_ROM int8_t *weights = p->weights;
        for (int32_t i = 0; i < p->outputs; i++) {
            int32_t channel = p->per_channel ? i : 0;
            int32_t sum = p->bias[i] + nn_dot_s8(input, weights, p->inputs, p->input_offset);
            sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
            *output++ = nn_clamp_s8(sum, p->min, p->max);
            weights += p->inputs;
        }
        input += p->inputs;
    }
}

#endif
