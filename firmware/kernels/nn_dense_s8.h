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

static inline int8_t nn_dense_output(NN_ROM nn_dense_t *p, int32_t sum, int32_t output)
{
    int32_t channel = p->per_channel ? output : 0;
    sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
    return nn_clamp_s8(sum, p->min, p->max);
}

static void nn_dense_s8(NN_ROM nn_dense_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        NN_ROM int8_t *weights = p->weights;
        int32_t i = 0;
        for (; i + 4 <= p->outputs; i += 4) {
            int32_t sums[4] = {p->bias[i], p->bias[i + 1], p->bias[i + 2], p->bias[i + 3]};
            nn_dot4_s8(input, weights, p->inputs, p->inputs, p->input_offset, sums);
            for (int8_t j = 0; j < 4; j++) {
                output[i + j] = nn_dense_output(p, sums[j], i + j);
            }
            weights += (int32_t)4 * p->inputs;
        }
        for (; i < p->outputs; i++) {
            int32_t sum = p->bias[i] + nn_dot_s8(input, weights, p->inputs, p->input_offset);
            output[i] = nn_dense_output(p, sum, i);
            weights += p->inputs;
        }
        input += p->inputs;
        output += p->outputs;
    }
}

#endif
