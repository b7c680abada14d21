/* MEAN and SUM of 8- or 16-bit values over axes that do not lie side by side. */
#ifndef NN_MEAN_AXES_H
#define NN_MEAN_AXES_H

#include "nn_axes.h"
#include "nn_fixed.h"
#include "nn_wide.h"

typedef struct {
    nn_axes_t axes;
    int8_t width;          /* bytes of a value: 1, 2 */
    int32_t input_offset;  /* minus the input's zero point times how many values are reduced to one */
    int16_t output_offset; /* [-128, 127] */
    int32_t multiplier;    /* the rescale, of a MEAN with the division in it */
    int8_t shift;          /* [-31, 30] */
} nn_mean_axes_t;

static void nn_mean_axes(NN_ROM nn_mean_axes_t *p, const void *input, void *output)
{
    const int32_t most = p->width == 1 ? INT8_MAX : INT16_MAX;
    int32_t outputs = nn_axes_count(p->axes.kept), count = nn_axes_count(p->axes.reduced);
    for (int32_t i = 0; i < outputs; i++) {
        int32_t first = nn_axes_place(p->axes.kept, p->axes.kept_step, i);
        int32_t sum = p->input_offset;
        for (int32_t j = 0; j < count; j++) {
            sum += nn_get(input, first + nn_axes_place(p->axes.reduced, p->axes.reduced_step, j), p->width);
        }
        sum = nn_requantize(sum, p->multiplier, p->shift) + p->output_offset;
        nn_put(output, i, p->width, nn_max(nn_min(sum, most), -most - 1));
    }
}

#endif
