/* FULLY_CONNECTED with sparse weights: only those that are not zero. */
#ifndef NN_DENSE_SPARSE_S8_H
#define NN_DENSE_SPARSE_S8_H

#include "nn_small.h"
#include "nn_sparse.h"
#include "nn_unsigned.h"

typedef struct {
    int16_t rows;               /* vectors in the input, 1 as a rule */
    int16_t inputs, outputs;    /* values of one vector */
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    int8_t per_channel;         /* 1: a multiplier and shift for each output; 0: one for all */
    int8_t small;               /* 1: every sum and shift fits nn_small_output() */
    NN_ROM uint8_t *weights;    /* a row of nn_sparse.h for each output, one behind the other */
    NN_ROM int32_t *bias;       /* [outputs]; input_offset - 128 times all weights of the output is in it */
    NN_ROM int32_t *multiplier; /* [outputs] or [1], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs] or [1], [-31, 30] */
} nn_dense_sparse_t;

/* All outputs of x [inputs]. */
static inline void nn_dense_sparse_vector(NN_ROM nn_dense_sparse_t *p, const uint8_t *x, int8_t *output)
{
    const nn_output_t to = {p->output_offset, p->min, p->max};
    const int16_t per_channel = p->per_channel;
    const int8_t small = p->small;
    NN_ROM uint8_t *row = p->weights;
    NN_ROM int32_t *bias = p->bias, *multiplier = p->multiplier;
    NN_ROM int8_t *shift = p->shift;
    for (const int8_t *end = output + p->outputs; output != end; output++) {
        int32_t sum = *bias++;
        row = nn_sparse_row(x, row, &sum);
        sum = small ? nn_small_output(&to, sum, *multiplier, *shift) : nn_output(to, sum, *multiplier, *shift);
        *output = (int8_t)sum;
        multiplier += per_channel;
        shift += per_channel;
    }
}

/* scratch: a vector, [inputs] */
static void nn_dense_sparse_s8(NN_ROM nn_dense_sparse_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    for (int32_t vector = 0; vector < p->rows; vector++, input += p->inputs, output += p->outputs) {
        nn_unsigned_copy(scratch, input, p->inputs);
        nn_dense_sparse_vector(p, scratch, output);
    }
}

#endif
