/* FULLY_CONNECTED with weights in pairs: four outputs at a time. */
#ifndef NN_DENSE_PAIRS_S8_H
#define NN_DENSE_PAIRS_S8_H

#include "nn_pairs.h"

typedef struct {
    int16_t rows;            /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs; /* values of one vector */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activation */
    NN_ROM int32_t *weights; /* [outputs / 4][inputs / 4][4], both rounded up */
    NN_ROM int32_t *rescale; /* [outputs][2] */
} nn_dense_pairs_t;

static void nn_dense_pairs_s8(NN_ROM nn_dense_pairs_t *p, const int8_t *input, int8_t *output)
{
    int32_t offset = 2 * p->output_offset + 1, words = (p->inputs + 3) / 4 * 4;
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs) {
        NN_ROM int32_t *weights = p->weights, *rescale = p->rescale;
        for (int32_t i = 0; i < p->outputs; i += NN_BLOCK, weights += words, rescale += 2 * NN_BLOCK) {
            int32_t sums[NN_BLOCK];
            nn_pairs_row(weights, input, p->inputs, sums);
            nn_pairs_store_row(sums, rescale, offset, nn_min(p->outputs - i, NN_BLOCK), output + i);
        }
        output += p->outputs;
    }
    nn_limit(output - (int32_t)p->rows * p->outputs, (int32_t)p->rows * p->outputs, p->min, p->max);
}

#endif
