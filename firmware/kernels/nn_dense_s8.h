/* FULLY_CONNECTED: every output is the inner product of a row of the input with one row of the weights. */
#ifndef NN_DENSE_S8_H
#define NN_DENSE_S8_H

#include "nn_block.h"
#include "nn_output.h"

typedef struct {
    int16_t rows;               /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs;    /* values of one vector */
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    int8_t per_channel;         /* 1: a multiplier and shift for each output; 0: one for all */
    NN_ROM uint8_t *weights;    /* [outputs / NN_ROWS][inputs][NN_ROWS], w + 128 */
    NN_ROM int32_t *bias;       /* [outputs]; input_offset - 128 times all weights of the output is in it */
    NN_ROM int32_t *multiplier; /* [outputs] or [1], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs] or [1], [-31, 30] */
} nn_dense_t;

/* scratch: a row, [inputs] */
static void nn_dense_s8(NN_ROM nn_dense_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    const nn_output_t to = {p->output_offset, p->min, p->max};
    const int32_t per_channel = p->per_channel; /* 0 or 1: what one output's multiplier is from the next */
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs, output += p->outputs) {
        int32_t excess = 128 * nn_unsigned_copy(scratch, input, p->inputs);
        for (int32_t first = 0, rows; first < p->outputs; first += rows) {
            int32_t sums[NN_MOST_ROWS];
            rows = nn_block_rows_s8(scratch, p->weights + first * p->inputs, p->inputs, p->outputs - first, sums);
            NN_ROM int32_t *bias = p->bias + first;
            int32_t channel = first * per_channel;
            for (int32_t i = 0; i < rows; i++, channel += per_channel) {
                int32_t sum = bias[i] + sums[i] - excess;
                output[first + i] = nn_output(to, sum, p->multiplier[channel], p->shift[channel]);
            }
        }
    }
}

#endif
