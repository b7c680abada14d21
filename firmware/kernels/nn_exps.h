/* The exps of one row, relative to its largest value: what SOFTMAX and LOG_SOFTMAX begin with. */
#ifndef NN_EXPS_H
#define NN_EXPS_H

#include "nn_fixed.h"

typedef struct {
    int16_t rows, depth;
    int32_t multiplier; /* of scale * beta: brings a difference to Q5.26 */
    int8_t shift;       /* [0, 30] */
    int16_t diff_min;   /* differences below are taken as exp = 0 */
} nn_exps_t;

static inline int32_t nn_largest_of_row(NN_ROM nn_exps_t *p, const int8_t *row)
{
    int32_t largest = INT8_MIN;
    for (int32_t i = 0; i < p->depth; i++) {
        largest = nn_max(largest, row[i]);
    }
    return largest;
}

/* A difference from the largest value in Q5.26. */
static inline int32_t nn_exps_q5(NN_ROM nn_exps_t *p, int32_t diff)
{
    return nn_doubling_high_mul((int32_t)((uint32_t)diff << p->shift), p->multiplier);
}

/* The sum of a row's exps in Q12.19. */
static inline int32_t nn_sum_of_exps(NN_ROM nn_exps_t *p, const int8_t *row, int32_t largest)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < p->depth; i++) {
        if (row[i] - largest >= p->diff_min) {
            sum += nn_divide_by_power(nn_exp_on_negative_q5(nn_exps_q5(p, row[i] - largest)), 12);
        }
    }
    return sum;
}

#endif
