/* BATCH_MATMUL, and FULLY_CONNECTED by weights that are computed: products of pairs of matrices of activations. */
#ifndef NN_BATCH_MATMUL_S8_H
#define NN_BATCH_MATMUL_S8_H

#include "nn_fixed.h"

typedef struct {
    int16_t batches, rows, depth, columns;
    int32_t a_step[3];          /* how far one step along batch, row and depth moves in a; 0: the same for all */
    int32_t b_step[3];          /* the same for batch, depth and column in b */
    int16_t a_offset, b_offset; /* minus the zero points: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int32_t multiplier;         /* [0, 2^31) */
    int8_t shift;               /* [-31, 30] */
    int8_t min, max;            /* the fused activation */
} nn_batch_matmul_t;

static inline int32_t nn_matmul_sum(NN_ROM nn_batch_matmul_t *p, const int8_t *a, const int8_t *b)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
        sum += (int32_t)(*a + p->a_offset) * (*b + p->b_offset);
        a += p->a_step[2];
        b += p->b_step[1];
    }
    return sum;
}

static void nn_batch_matmul_s8(NN_ROM nn_batch_matmul_t *p, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->rows; row++) {
            for (int32_t column = 0; column < p->columns; column++) {
                int32_t sum = nn_matmul_sum(p, a + batch * p->a_step[0] + row * p->a_step[1],
                                            b + batch * p->b_step[0] + column * p->b_step[2]);
                sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
                *output++ = nn_clamp_s8(sum, p->min, p->max);
            }
        }
    }
}

#endif
