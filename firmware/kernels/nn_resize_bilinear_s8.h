/* RESIZE_BILINEAR: every output is a weighted mean of the four inputs around it. */
#ifndef NN_RESIZE_BILINEAR_S8_H
#define NN_RESIZE_BILINEAR_S8_H

#include "nn.h"

typedef struct {
    nn_shape_t input, output;        /* the same channels */
    int32_t row_step, column_step;   /* how far one step in the output moves in the input, in 1/1024 */
    int32_t row_first, column_first; /* where the output's first row and column lie, in 1/1024; may be negative */
} nn_resize_bilinear_t;

/* The two neighbours of a place in 1/1024 of a step, and how far it lies behind the first. */
typedef struct {
    int32_t first, second, behind;
} nn_between_t;

static inline nn_between_t nn_between(int32_t place, int32_t length)
{
    nn_between_t at;
    at.first = place > 0 ? place / 1024 : 0;
    at.second = nn_min((place + 1023) / 1024, length - 1);
    at.behind = place - 1024 * at.first;
    return at;
}

static void nn_resize_bilinear_s8(NN_ROM nn_resize_bilinear_t *p, const int8_t *input, int8_t *output)
{
    int32_t channels = p->input.channels, width = p->input.width;
    for (int32_t y = 0; y < p->output.height; y++) {
        nn_between_t rows = nn_between(p->row_first + y * p->row_step, p->input.height);
        for (int32_t x = 0; x < p->output.width; x++) {
            nn_between_t columns = nn_between(p->column_first + x * p->column_step, width);
            const int8_t *above = input + rows.first * width * channels;
            const int8_t *below = input + rows.second * width * channels;
            for (int32_t channel = 0; channel < channels; channel++) {
                int32_t left = columns.first * channels + channel, right = columns.second * channels + channel;
                int32_t upper = above[left] * (1024 - columns.behind) + above[right] * columns.behind;
                int32_t lower = below[left] * (1024 - columns.behind) + below[right] * columns.behind;
                int32_t sum = upper * (1024 - rows.behind) + lower * rows.behind;
                *output++ = (int8_t)((sum + (sum > 0 ? 524288 : -524288)) / 1048576);
            }
        }
    }
}

#endif
