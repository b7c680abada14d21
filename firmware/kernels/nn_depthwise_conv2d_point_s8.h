/* DEPTHWISE_CONV_2D and the CONV_2D of 1 x 1 behind it: what the one makes of some neighbouring places are at once the
 * windows that the other takes together, and no tensor lies between them. */
#ifndef NN_DEPTHWISE_CONV2D_POINT_S8_H
#define NN_DEPTHWISE_CONV2D_POINT_S8_H

#include "nn_conv2d.h"
#include "nn_depthwise.h"

typedef struct {
    nn_depthwise_conv2d_t depthwise;
    nn_conv2d_t point; /* of 1 x 1, place for place */
} nn_depthwise_conv2d_point_t;

/* scratch: that of nn_channels(), a patch [depthwise channels][NN_LANES], then as nn_lines.h says */
static void nn_depthwise_conv2d_point_s8(NN_ROM nn_depthwise_conv2d_point_t *both, const int8_t *input, int8_t *output,
                                         void *scratch)
{
    NN_ROM nn_conv2d_t *p = &both->point;
    NN_ROM nn_window_t *window = &p->window;
    const int32_t channels = window->output.channels;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, channels, &scratch);
    nn_places_t places = nn_no_places(window, p->input_offset, scratch);
    nn_depthwise_t layer = nn_depthwise(&both->depthwise, input, places.patch + places.count * NN_LANES);
    for (int32_t left = (int32_t)window->output.height * window->output.width; left > 0; left -= places.lanes) {
        for (places.lanes = 0; places.lanes < nn_min(left, NN_LANES);) {
            const nn_depthwise_to_t lanes = {NN_LANES, 1, 128};
            int32_t sums[2], lane = places.lanes;
            places.lanes +=
                nn_depthwise_next(&both->depthwise, &layer, NN_LANES - lane, lanes, places.patch + lane, sums);
            for (const int32_t *sum = sums; lane < places.lanes; lane++) {
                places.start[lane] = -128 * *sum++;
            }
        }
        nn_conv2d_places(p, &to, &places, output);
        output += places.lanes * channels;
    }
}

#endif
