/* CONV_2D of 16-bit values and 8-bit weights, also in groups. */
#ifndef NN_CONV2D_S16_H
#define NN_CONV2D_S16_H

#include "nn_dot_s16.h"
#include "nn_output_s16.h"
#include "nn_window.h"

typedef struct {
    nn_window_t window;
    int16_t groups;             /* divides the channels of input and output */
    int8_t narrow;              /* see nn_output_s16.h */
    int16_t min, max;           /* the fused activation */
    NN_ROM int8_t *weights;     /* [output channels][kernel height][kernel width][input channels / groups] */
    NN_ROM int64_t *bias;       /* [output channels] */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^15), narrow: [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 7], narrow: [-31, 30] */
} nn_conv2d_s16_t;

/* Adds to the sums of `count` filters all taps of a place inside; `input` is at their group's first channel. */
static inline void nn_conv2d_sums_s16(NN_ROM nn_conv2d_s16_t *p, nn_place_t place, const int16_t *input,
                                      NN_ROM int8_t *filters, int32_t count, int64_t *sums)
{
    NN_ROM nn_window_t *window = &p->window;
    int32_t channels = window->input.channels, depth = channels / p->groups, width = window->kernel.width;
    int32_t filter = window->kernel.height * width * depth;
    /* how many taps lie side by side in memory too */
    int32_t together = depth == channels && window->dilation.width == 1 ? place.columns.last - place.columns.first : 1;
    for (int32_t row = place.rows.first; row < place.rows.last; row++) {
        const int16_t *line = input + place.corner + row * window->dilation.height * window->input.width * channels;
        for (int32_t column = place.columns.first; column < place.columns.last; column += together) {
            nn_rows_s16(line + column * window->dilation.width * channels, filters + (row * width + column) * depth,
                        filter, count, together * depth, sums);
        }
    }
}

static void nn_conv2d_s16(NN_ROM nn_conv2d_s16_t *p, const int16_t *input, int16_t *output)
{
    NN_ROM nn_window_t *window = &p->window;
    const nn_output_s16_t to = {p->narrow, p->min, p->max};
    int32_t depth = window->input.channels / p->groups, members = window->output.channels / p->groups;
    int32_t filter = (int32_t)window->kernel.height * window->kernel.width * depth;
    for (int32_t i = 0; i < (int32_t)window->output.height * window->output.width; i++) {
        nn_place_t place = nn_place(window, i / window->output.width, i % window->output.width);
        for (int32_t channel = 0, count; channel < window->output.channels; channel += count) {
            int32_t group = channel / members;
            int64_t sums[NN_WIDE_ROWS] = {0, 0, 0, 0};
            count = nn_min(NN_WIDE_ROWS, (group + 1) * members - channel);
            nn_conv2d_sums_s16(p, place, input + group * depth, p->weights + channel * filter, count, sums);
            for (int32_t at = channel; at < channel + count; at++) {
                *output++ = nn_output_s16(to, p->bias[at] + sums[at - channel], p->multiplier[at], p->shift[at]);
            }
        }
    }
}

#endif
