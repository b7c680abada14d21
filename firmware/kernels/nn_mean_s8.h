/* MEAN over neighbouring axes: input [outer][reduced][inner], output [outer][inner]. */
#ifndef NN_MEAN_S8_H
#define NN_MEAN_S8_H

#include "nn_fixed.h"

typedef struct {
    int16_t outer, reduced, inner;
    int32_t input_offset;  /* minus the input's zero point times `reduced` */
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* the rescale and 1 / reduced in one */
    int8_t shift;          /* [-31, 30] */
} nn_mean_t;

static void nn_mean_s8(NN_ROM nn_mean_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t outer = 0; outer < p->outer; outer++) {
        for (int32_t inner = 0; inner < p->inner; inner++) {
            int32_t sum = p->input_offset;
            for (int32_t i = 0; i < p->reduced; i++) {
                sum += input[i * p->inner + inner];
            }
            sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
            *output++ = nn_clamp_s8(sum, INT8_MIN, INT8_MAX);
        }
        input += (int32_t)p->reduced * p->inner;
    }
}

#endif
