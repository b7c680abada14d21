/* MEAN and SUM over axes that do not lie side by side. */
#ifndef NN_MEAN_AXES_S8_H
#define NN_MEAN_AXES_S8_H

#include "nn_axes.h"
#include "nn_fixed.h"

typedef struct {
    nn_axes_t axes;
    int32_t input_offset;  /* minus the input's zero point times how many values are reduced to one */
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* the rescale, of a MEAN with the division in it */
    int8_t shift;          /* [-31, 30] */
} nn_mean_axes_t;

static void nn_mean_axes_s8(NN_ROM nn_mean_axes_t *p, const int8_t *input, int8_t *output)
{
    int32_t outputs = nn_axes_count(p->axes.kept), count = nn_axes_count(p->axes.reduced);
    for (int32_t i = 0; i < outputs; i++) {
        const int8_t *first = input + nn_axes_place(p->axes.kept, p->axes.kept_step, i);
        int32_t sum = p->input_offset;
        for (int32_t j = 0; j < count; j++) {
            sum += first[nn_axes_place(p->axes.reduced, p->axes.reduced_step, j)];
        }
        sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
        output[i] = nn_clamp_s8(sum, INT8_MIN, INT8_MAX);
    }
}

#endif
