/* What max and average pooling share: parameters, and the walk over all windows, compiled anew for each width of values
 * and each kind. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include "nn_taps.h"
#include "nn_wide.h"

typedef struct {
    nn_shape_t input, output; /* the same channels */
    nn_size_t kernel, stride, pad;
    int16_t min, max; /* the fused activation */
} nn_pool_t;

typedef struct {
    int8_t width; /* bytes of a value */
    int8_t
        mean; /* 1: the mean of a window, halves rounded away from zero; 0: the largest value. Padding never counts */
} nn_pool_kind_t;

/* `corner`: index of the input at tap (0, 0) of this channel, which may lie outside */
static inline int32_t nn_pool_value(NN_ROM nn_pool_t *p, const void *input, int32_t corner, nn_taps_t rows,
                                    nn_taps_t columns, nn_pool_kind_t kind)
{
    int32_t sum = 0, largest = INT16_MIN;
    int32_t count = (rows.last - rows.first) * (columns.last - columns.first);
    for (int32_t row = rows.first; row < rows.last; row++) {
        for (int32_t column = columns.first; column < columns.last; column++) {
            int32_t at = corner + (row * p->input.width + column) * p->input.channels;
            int32_t value = nn_get(input, at, kind.width);
            if (kind.mean) {
                sum += value;
            } else {
                largest = nn_max(largest, value);
            }
        }
    }
    if (!kind.mean) {
        return largest;
    }
    return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

__attribute__((always_inline)) static inline void nn_pool(NN_ROM nn_pool_t *p, const void *input, void *output,
                                                          nn_pool_kind_t kind)
{
    int32_t made = 0;
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, 1);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t columns = nn_taps_inside(x_origin, p->input.width, p->kernel.width, 1);
            int32_t corner = (y_origin * p->input.width + x_origin) * p->input.channels;
            for (int32_t channel = 0; channel < p->input.channels; channel++) {
                int32_t value = nn_pool_value(p, input, corner + channel, rows, columns, kind);
                nn_put(output, made++, kind.width, nn_max(nn_min(value, p->max), p->min));
            }
        }
    }
}

#endif
