/* MEAN over neighbouring axes: input [outer][reduced][inner], output [outer][inner]; for each width of values anew. */
#ifndef NN_MEAN_H
#define NN_MEAN_H

#include "nn_fixed.h"
#include "nn_wide.h"

typedef struct {
    int16_t outer, reduced, inner;
    int32_t input_offset;  /* minus the input's zero point times `reduced` */
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* the rescale and 1 / reduced in one */
    int8_t shift;          /* [-31, 30] */
} nn_mean_t;

__attribute__((always_inline)) static inline void nn_mean(NN_ROM nn_mean_t *p, const void *input, void *output,
                                                          int8_t width)
{
    const int32_t most = width == 1 ? INT8_MAX : INT16_MAX;
    int32_t made = 0;
    for (int32_t outer = 0; outer < p->outer; outer++) {
        const int32_t first = outer * p->reduced * p->inner;
        for (int32_t inner = 0; inner < p->inner; inner++) {
            int32_t sum = p->input_offset;
            for (int32_t i = 0; i < p->reduced; i++) {
                sum += nn_get(input, first + i * p->inner + inner, width);
            }
            sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
            nn_put(output, made++, width, nn_max(nn_min(sum, most), -most - 1));
        }
    }
}

#endif
