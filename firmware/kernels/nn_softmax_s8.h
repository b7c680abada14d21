/* SOFTMAX along the last axis: exp(x - max) / sum of them, in fixed point; the output's scale is 1/256, zero point
 * -128. */
#ifndef NN_SOFTMAX_S8_H
#define NN_SOFTMAX_S8_H

#include "nn_fixed.h"

typedef struct {
    int16_t rows, depth;
    int32_t multiplier; /* of scale * beta: brings a difference to Q5.26 */
    int8_t shift;       /* [0, 30] */
    int16_t diff_min;   /* differences below are taken as exp = 0 */
} nn_softmax_t;

static inline int32_t nn_softmax_exp(NN_ROM nn_softmax_t *p, int32_t diff)
{
    int32_t shifted = (int32_t)((uint32_t)diff << p->shift);
    return nn_exp_on_negative_q5(nn_doubling_high_mul(shifted, p->multiplier));
}

/* The sum of exps of a row in Q12.19; `largest` is the row's maximum. */
static inline int32_t nn_softmax_sum(NN_ROM nn_softmax_t *p, const int8_t *row, int32_t largest)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
        if (row[i] - largest >= p->diff_min) {
            sum += nn_divide_by_power(nn_softmax_exp(p, row[i] - largest), 12);
        }
    }
    return sum;
}

static inline int8_t nn_leading_zeros(uint32_t x)
{
    int8_t count = 0;
    for (; count < 32 && !(x & 0x80000000u); x <<= 1) {
        count++;
    }
    return count;
}

static void nn_softmax_s8(NN_ROM nn_softmax_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++, input += p->depth, output += p->depth) {
        int32_t largest = INT8_MIN;
        for (int32_t i = 0; i < p->depth; i++) {
            largest = nn_max(largest, input[i]);
        }
        uint32_t sum = (uint32_t)nn_softmax_sum(p, input, largest);
        int32_t headroom = nn_leading_zeros(sum);
        int32_t scale = nn_one_over_one_plus((int32_t)((sum << headroom) - 0x80000000u));
        int32_t exponent = 12 - headroom + 31 - 8;
        for (int32_t i = 0; i < p->depth; i++) {
            int32_t diff = input[i] - largest;
            int32_t share = INT8_MIN;
            if (diff >= p->diff_min) {
                share += nn_divide_by_power(nn_doubling_high_mul(scale, nn_softmax_exp(p, diff)), exponent);
            }
            output[i] = nn_clamp_s8(share, INT8_MIN, INT8_MAX);
        }
    }
}

#endif
