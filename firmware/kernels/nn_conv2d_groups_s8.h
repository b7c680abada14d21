/* CONV_2D in groups: the filters of a group see that group's part of the input channels only. */
#ifndef NN_CONV2D_GROUPS_S8_H
#define NN_CONV2D_GROUPS_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"
#include "nn_window.h"

typedef struct {
    nn_window_t window;
    int16_t groups;             /* divides the channels of input and output */
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    NN_ROM int8_t *weights;     /* [output channels][kernel height][kernel width][input channels / groups] */
    NN_ROM int32_t *bias;       /* [output channels] */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 30] */
} nn_conv2d_groups_t;

/* The sum of one filter over the taps of a place inside the input; `input` is at its group's first channel. */
static inline int32_t nn_conv2d_group_sum(NN_ROM nn_conv2d_groups_t *p, nn_place_t place, const int8_t *input,
                                          NN_ROM int8_t *filter)
{
    NN_ROM nn_window_t *window = &p->window;
    int32_t channels = window->input.channels, depth = channels / p->groups;
    int32_t row_step = (int32_t)window->dilation.height * window->input.width * channels;
    int32_t column_step = (int32_t)window->dilation.width * channels;
    int32_t sum = 0;
    for (int32_t row = place.rows.first; row < place.rows.last; row++) {
        for (int32_t column = place.columns.first; column < place.columns.last; column++) {
            sum += nn_dot_s8(input + place.corner + row * row_step + column * column_step,
                             filter + (row * window->kernel.width + column) * depth, depth, p->input_offset);
        }
    }
    return sum;
}

static void nn_conv2d_groups_s8(NN_ROM nn_conv2d_groups_t *p, const int8_t *input, int8_t *output)
{
    NN_ROM nn_window_t *window = &p->window;
    int32_t depth = window->input.channels / p->groups, members = window->output.channels / p->groups;
    int32_t filter = (int32_t)window->kernel.height * window->kernel.width * depth;
    for (int32_t i = 0; i < (int32_t)window->output.height * window->output.width; i++) {
        nn_place_t place = nn_place(window, i / window->output.width, i % window->output.width);
        for (int32_t channel = 0; channel < window->output.channels; channel++) {
            const int8_t *first = input + channel / members * depth;
            int32_t sum = p->bias[channel] + nn_conv2d_group_sum(p, place, first, p->weights + channel * filter);
            sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
            *output++ = nn_clamp_s8(sum, p->min, p->max);
        }
    }
}

#endif
