/* MAX_POOL_2D: the largest value of each window, channel by channel. Padding never wins. */
#ifndef NN_MAX_POOL_S8_H
#define NN_MAX_POOL_S8_H

#include "nn_pool.h"

/* `corner`: index of the input at tap (0, 0) of this channel, which may lie outside */
static inline int32_t nn_max_of_window(NN_ROM nn_pool_t *p, const int8_t *input, int32_t corner, nn_taps_t rows,
                                       nn_taps_t columns)
{
    int32_t largest = INT8_MIN;
    for (int32_t row = rows.first; row < rows.last; row++) {
        for (int32_t column = columns.first; column < columns.last; column++) {
            largest = nn_max(largest, input[corner + (row * p->input.width + column) * p->input.channels]);
        }
    }
    return largest;
}

static void nn_max_pool_s8(NN_ROM nn_pool_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, 1);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t columns = nn_taps_inside(x_origin, p->input.width, p->kernel.width, 1);
            int32_t corner = (y_origin * p->input.width + x_origin) * p->input.channels;
            for (int32_t channel = 0; channel < p->input.channels; channel++) {
                int32_t largest = nn_max_of_window(p, input, corner + channel, rows, columns);
                *output++ = nn_clamp_s8(largest, p->min, p->max);
            }
        }
    }
}

#endif
