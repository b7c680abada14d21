/* AVERAGE_POOL_2D: the mean of each window's values inside the input, halves rounded away from zero. */
#ifndef NN_AVERAGE_POOL_S8_H
#define NN_AVERAGE_POOL_S8_H

#include "nn_pool.h"

/* `corner`: index of the input at tap (0, 0) of this channel, which may lie outside */
static inline int32_t nn_mean_of_window(NN_ROM nn_pool_t *p, const int8_t *input, int32_t corner, nn_taps_t rows,
                                        nn_taps_t columns)
{
    int32_t sum = 0;
    int32_t count = (rows.last - rows.first) * (columns.last - columns.first);
    for (int32_t row = rows.first; row < rows.last; row++) {
        for (int32_t column = columns.first; column < columns.last; column++) {
            sum += input[corner + (row * p->input.width + column) * p->input.channels];
        }
    }
    return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

static void nn_average_pool_s8(NN_ROM nn_pool_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, 1);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t columns = nn_taps_inside(x_origin, p->input.width, p->kernel.width, 1);
            int32_t corner = (y_origin * p->input.width + x_origin) * p->input.channels;
            for (int32_t channel = 0; channel < p->input.channels; channel++) {
                int32_t mean = nn_mean_of_window(p, input, corner + channel, rows, columns);
                *output++ = nn_clamp_s8(mean, p->min, p->max);
            }
        }
    }
}

#endif
