/* CONV_2D: each output is the inner product of a window of the input with one filter. */
#ifndef NN_CONV2D_S8_H
#define NN_CONV2D_S8_H

#include "nn_conv2d.h"

/* scratch: that of nn_channels(), and a patch [kernel height * width * input channels][NN_LANES] */
static void nn_conv2d_s8(NN_ROM nn_conv2d_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, window->output.channels, &scratch);
    nn_places_t places = nn_no_places(window, p->input_offset, scratch);
    int32_t left = (int32_t)window->output.height * window->output.width;
    for (int32_t y = 0; y < window->output.height; y++) {
        for (int32_t x = 0; x < window->output.width; x++) {
            nn_places_add(&places, window, input, y, x);
            if (--left == 0 || places.lanes == NN_LANES) {
                nn_conv2d_places(p, &to, &places, output);
                output += NN_LANES * window->output.channels;
                places.lanes = 0;
            }
        }
    }
}

#endif
