/* BATCH_MATMUL of 16-bit values: products of pairs of matrices of activations, in sums of 64 bits. */
#ifndef NN_BATCH_MATMUL_S16_H
#define NN_BATCH_MATMUL_S16_H

#include "nn_output_s16.h"

typedef struct {
    int16_t batches, rows, depth, columns;
    int32_t a_step[3];  /* how far one step along batch, row and depth moves in a; 0: the same for all */
    int32_t b_step[3];  /* the same for batch, depth and column in b */
    int32_t multiplier; /* [0, 2^15) */
    int8_t shift;       /* [-31, 7] */
} nn_batch_matmul_s16_t;

static inline int64_t nn_matmul_sum_s16(NN_ROM nn_batch_matmul_s16_t *p, const int16_t *a, const int16_t *b)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
        sum += (int32_t)*a * *b;
        a += p->a_step[2];
        b += p->b_step[1];
    }
    return sum;
}

static void nn_batch_matmul_s16(NN_ROM nn_batch_matmul_s16_t *p, const int16_t *a, const int16_t *b, int16_t *output)
{
    const nn_output_s16_t to = {.narrow = 0, .min = INT16_MIN, .max = INT16_MAX};
    for (int32_t batch = 0; batch < p->batches; batch++) {
        for (int32_t row = 0; row < p->rows; row++) {
            for (int32_t column = 0; column < p->columns; column++) {
                int64_t sum = nn_matmul_sum_s16(p, a + batch * p->a_step[0] + row * p->a_step[1],
                                                b + batch * p->b_step[0] + column * p->b_step[2]);
                *output++ = nn_output_s16(to, sum, p->multiplier, p->shift);
            }
        }
    }
}

#endif
