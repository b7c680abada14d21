/* LOG_SOFTMAX along the last axis: x - max - log(sum of exps); the output's scale is 1/16, zero point 127. */
#ifndef NN_LOG_SOFTMAX_S8_H
#define NN_LOG_SOFTMAX_S8_H

#include "nn_exps.h"

typedef struct {
    nn_exps_t exps;
    int32_t back_multiplier; /* brings Q5.26 back to differences */
    int8_t back_shift;       /* [-31, 0] */
} nn_log_softmax_t;

/* `output` may be `input`. */
static void nn_log_softmax_s8(NN_ROM nn_log_softmax_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t row = 0; row < p->exps.rows; row++, input += p->exps.depth, output += p->exps.depth) {
        int32_t largest = nn_largest_of_row(&p->exps, input);
        int32_t log = nn_log_of_sum(nn_sum_of_exps(&p->exps, input, largest));
        int32_t lowest = nn_requantize(INT32_MIN + log, p->back_multiplier, p->back_shift);
        lowest = nn_max(p->exps.diff_min - 1, lowest);
        for (int32_t i = 0; i < p->exps.depth; i++) {
            int32_t diff = input[i] - largest;
            int32_t value = INT8_MIN;
            if (diff > lowest) {
                value = nn_divide_by_power(nn_exps_q5(&p->exps, diff) - log, 22) + INT8_MAX;
            }
            output[i] = nn_clamp_s8(value, INT8_MIN, INT8_MAX);
        }
    }
}

#endif
