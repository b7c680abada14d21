/* FULLY_CONNECTED of 16-bit values and 8-bit weights. */
#ifndef NN_DENSE_S16_H
#define NN_DENSE_S16_H

#include "nn_dot_s16.h"
#include "nn_output_s16.h"

typedef struct {
    int16_t rows;               /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs;    /* values of one vector */
    int8_t per_channel;         /* 1: a multiplier and shift for each output; 0: one for all */
    int8_t narrow;              /* see nn_output_s16.h */
    int16_t min, max;           /* the fused activation */
    NN_ROM int8_t *weights;     /* [outputs][inputs] */
    NN_ROM int64_t *bias;       /* [outputs] */
    NN_ROM int32_t *multiplier; /* [outputs] or [1], [0, 2^15), narrow: [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs] or [1], [-31, 7], narrow: [-31, 30] */
} nn_dense_s16_t;

static void nn_dense_s16(NN_ROM nn_dense_s16_t *p, const int16_t *input, int16_t *output)
{
    const nn_output_s16_t to = {p->narrow, p->min, p->max};
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs) {
        for (int32_t first = 0; first < p->outputs; first += NN_WIDE_ROWS) {
            int64_t sums[NN_WIDE_ROWS] = {0, 0, 0, 0};
            int32_t rows = nn_min(NN_WIDE_ROWS, p->outputs - first);
            nn_rows_s16(input, p->weights + first * p->inputs, p->inputs, rows, p->inputs, sums);
            for (int32_t i = 0; i < rows; i++) {
                int32_t channel = (first + i) * p->per_channel;
                *output++ = nn_output_s16(to, p->bias[first + i] + sums[i], p->multiplier[channel], p->shift[channel]);
            }
        }
    }
}

#endif
