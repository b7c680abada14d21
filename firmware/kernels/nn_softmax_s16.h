/* SOFTMAX of 16-bit values along the last axis: exps and the reciprocal of their sum go along straight lines between
 * the nodes of two tables, which pipeline/ops/softmax.py makes; the output's scale is 2^-15. */
#ifndef NN_SOFTMAX_S16_H
#define NN_SOFTMAX_S16_H

#include "nn_fixed.h"

typedef struct {
    int16_t rows, depth;
    int32_t multiplier;         /* of scale * beta: brings a difference of -10 to -65535 */
    int8_t shift;               /* [-31, 14] */
    NN_ROM int16_t *exps;       /* [513]: exp(x), x from -10 to 0, in Q0.15 */
    NN_ROM int16_t *reciprocal; /* [513]: 1 / (1 + x), x from 0 to 1, in Q0.15 */
} nn_softmax_s16_t;

/* A table of 513 nodes at x, which is brought to 16 bits. */
static inline int32_t nn_table_between(NN_ROM int16_t *table, int32_t x)
{
    x = nn_min(nn_max(x, INT16_MIN), INT16_MAX);
    NN_ROM int16_t *node = table + 256 + (x >> 7);
    return node[0] + (((node[1] - node[0]) * (x & 0x7F) + 64) >> 7);
}

/* One row; `output` holds the exps meanwhile. */
static inline void nn_softmax_row_s16(NN_ROM nn_softmax_s16_t *p, const int16_t *input, int16_t *output)
{
    int32_t largest = INT16_MIN, shift;
    uint32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
        largest = nn_max(largest, input[i]);
    }
    for (int32_t i = 0; i < p->depth; i++) {
        int32_t x = nn_requantize(input[i] - largest, p->multiplier, p->shift);
        x = nn_table_between(p->exps, x + INT16_MAX);
        output[i] = (int16_t)x;
        sum += (uint32_t)x;
    }
    shift = 31 - nn_leading_zeros(sum);
    int32_t fraction = (int32_t)(((sum << (30 - shift)) + (1 << 13)) >> 14); /* in [1, 2], Q1.16 */
    int32_t scale = nn_table_between(p->reciprocal, fraction - ((int32_t)3 << 15));
    for (int32_t i = 0; i < p->depth; i++) {
        int32_t share = (output[i] * scale + ((int32_t)1 << (shift - 1))) >> shift;
        output[i] = (int16_t)nn_min(nn_max(share, 0), INT16_MAX);
    }
}

/* `output` may be `input`. */
static void nn_softmax_s16(NN_ROM nn_softmax_s16_t *p, const int16_t *input, int16_t *output)
{
    for (int32_t row = 0; row < p->rows; row++) {
        nn_softmax_row_s16(p, input + row * p->depth, output + row * p->depth);
    }
}

#endif
