/* FULLY_CONNECTED with sparse weights in pairs: two outputs at a time. */
#ifndef NN_DENSE_SPARSE_PAIRS_S8_H
#define NN_DENSE_SPARSE_PAIRS_S8_H

#include "nn_sparse_pairs.h"

typedef struct {
    int16_t rows;            /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs; /* values of one vector */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activation */
    NN_ROM uint8_t *weights; /* nn_sparse_pairs.h's stream of each two outputs, one behind the other */
    NN_ROM int32_t *rescale; /* [outputs][2] */
} nn_dense_sparse_pairs_t;

/* x int8 [count], widened and filled up with zeros. */
static void nn_dense_sparse_pairs_widen(const int8_t *x, int32_t count, int32_t *words)
{
    int8_t last[4] = {0}, *end = last;
    words = nn_widen(x, count & ~3, words, 1);
    for (x += count & ~3, count &= 3; count > 0; count--) {
        *end++ = *x++;
    }
    nn_widen(last, end == last ? 0 : 4, words, 1);
}

/* scratch: a vector, widened: [inputs / 4][2], rounded up */
static void nn_dense_sparse_pairs_s8(NN_ROM nn_dense_sparse_pairs_t *p, const int8_t *input, int8_t *output,
                                     void *scratch)
{
    int32_t offset = 2 * p->output_offset + 1, outputs = p->outputs;
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs, output += outputs) {
        NN_ROM uint8_t *stream = p->weights;
        NN_ROM int32_t *rescale = p->rescale;
        nn_dense_sparse_pairs_widen(input, p->inputs, scratch);
        for (int32_t i = 0; i < outputs; i += 2, rescale += 4) {
            int32_t sums[2];
            stream = nn_sparse_pairs_row(stream, scratch, sums);
            output[i] = nn_scaled(sums[0], nn_scale_of(rescale), offset);
            if (i + 1 < outputs) {
                output[i + 1] = nn_scaled(sums[1], nn_scale_of(rescale + 2), offset);
            }
        }
    }
    nn_limit(output - (int32_t)p->rows * outputs, (int32_t)p->rows * outputs, p->min, p->max);
}

#endif
