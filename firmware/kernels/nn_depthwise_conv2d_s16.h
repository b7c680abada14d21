/* DEPTHWISE_CONV_2D of 16-bit values and 8-bit weights. */
#ifndef NN_DEPTHWISE_CONV2D_S16_H
#define NN_DEPTHWISE_CONV2D_S16_H

#include "nn_dot_s16.h"
#include "nn_output_s16.h"
#include "nn_window.h"

typedef struct {
    nn_window_t window;         /* output channels = input channels * multiples */
    int16_t multiples;          /* the depth multiplier */
    int8_t narrow;              /* see nn_output_s16.h */
    int16_t min, max;           /* the fused activation */
    NN_ROM int8_t *weights;     /* [kernel height][kernel width][output channels] */
    NN_ROM int64_t *bias;       /* [output channels] */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^15), narrow: [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 7], narrow: [-31, 30] */
} nn_depthwise_conv2d_s16_t;

/* The sum of all taps of a place inside; `input` and `weights` are those of one channel. */
static inline int64_t nn_depthwise_sum_s16(NN_ROM nn_window_t *p, nn_place_t place, const int16_t *input,
                                           NN_ROM int8_t *weights)
{
    int32_t count = place.columns.last - place.columns.first, step = p->dilation.width * p->input.channels;
    int64_t sum = 0;
    for (int32_t row = place.rows.first; row < place.rows.last; row++) {
        int32_t line = place.corner + row * p->dilation.height * p->input.width * p->input.channels;
        int32_t tap = row * p->kernel.width + place.columns.first;
        sum += nn_dot_s16(input + line + place.columns.first * step, step, weights + tap * p->output.channels,
                          p->output.channels, count);
    }
    return sum;
}

static void nn_depthwise_conv2d_s16(NN_ROM nn_depthwise_conv2d_s16_t *p, const int16_t *input, int16_t *output)
{
    NN_ROM nn_window_t *window = &p->window;
    const nn_output_s16_t to = {p->narrow, p->min, p->max};
    for (int32_t i = 0; i < (int32_t)window->output.height * window->output.width; i++) {
        nn_place_t place = nn_place(window, i / window->output.width, i % window->output.width);
        int32_t from = 0, multiple = 0;
        for (int32_t channel = 0; channel < window->output.channels; channel++) {
            int64_t sum = p->bias[channel] + nn_depthwise_sum_s16(window, place, input + from, p->weights + channel);
            *output++ = nn_output_s16(to, sum, p->multiplier[channel], p->shift[channel]);
            if (++multiple == p->multiples) {
                multiple = 0;
                from++;
            }
        }
    }
}

#endif
