/* SOFTMAX along the last axis: exp(x - max) / sum of them, in fixed point; the output's scale is 1/256, zero point
 * -128. */
#ifndef NN_SOFTMAX_S8_H
#define NN_SOFTMAX_S8_H

#include "nn_exps.h"

typedef nn_exps_t nn_softmax_t;

static void nn_softmax_s8(NN_ROM nn_softmax_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->rows; row++, input += p->depth, output += p->depth) {
        int32_t largest = nn_largest_of_row(p, input);
        uint32_t sum = (uint32_t)nn_sum_of_exps(p, input, largest);
        int32_t headroom = nn_leading_zeros(sum);
        int32_t scale = nn_one_over_one_plus((int32_t)((sum << headroom) - 0x80000000u));
        int32_t exponent = 12 - headroom + 31 - 8;
        for (int32_t i = 0; i < p->depth; i++) {
            int32_t diff = input[i] - largest;
            int32_t share = INT8_MIN;
            if (diff >= p->diff_min) {
                int32_t exp = nn_exp_on_negative_q5(nn_exps_q5(p, diff));
                share += nn_divide_by_power(nn_doubling_high_mul(scale, exp), exponent);
            }
            output[i] = nn_clamp_s8(share, INT8_MIN, INT8_MAX);
        }
    }
}

#endif
