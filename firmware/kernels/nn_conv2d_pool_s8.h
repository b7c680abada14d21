/* CONV_2D and MAX_POOL_2D of windows side by side: nn_conv2d_s8.h, with outputs of the largest sums only. */
#ifndef NN_CONV2D_POOL_S8_H
#define NN_CONV2D_POOL_S8_H

#include "nn_maxima.h"
#include "nn_output.h"
#include "nn_places.h"

typedef struct {
    nn_window_t window;      /* its output is what is pooled */
    int16_t input_offset;    /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activations */
    NN_ROM uint8_t *weights; /* as nn_conv2d_t has them, and what follows */
    NN_ROM int32_t *bias;
    NN_ROM int32_t *multiplier;
    NN_ROM int8_t *shift;
    nn_size_t pool; /* parts of the window's output */
} nn_conv2d_pool_t;

/* NN_ROWS channels from `channel` on; the last block may have fewer. */
NN_APART static void nn_conv2d_pool_block(NN_ROM nn_conv2d_pool_t *p, const nn_channels_t *to,
                                          const nn_places_t *places, const nn_maxima_t *maxima, int32_t channel,
                                          int8_t *output)
{
    int32_t channels = p->window.output.channels, end = nn_min(channel + NN_ROWS, channels);
    int32_t sums[NN_ROWS][NN_LANES];
    nn_places_sums(places, p->weights + channel * places->count, sums[0]);
    for (int32_t *row = sums[0]; channel < end; channel++, row += NN_LANES) {
        int32_t made = nn_maxima(maxima, channel, row, NN_LANES > 1 ? places->lanes : 1);
        nn_outputs(to, channel, row, made, output + channel, channels);
    }
}

/* scratch: that of nn_channels() and nn_maxima_of(), and a patch as nn_conv2d_s8() has it */
static void nn_conv2d_pool_s8(NN_ROM nn_conv2d_pool_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const int32_t channels = window->output.channels;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, channels, &scratch);
    nn_maxima_t maxima = nn_maxima_of(p->pool, NN_LANES, channels, &scratch);
    nn_places_t places = nn_no_places(window, p->input_offset, scratch);
    nn_walk_t at = {0, 0, 0, 0};
    for (int32_t left = (int32_t)window->output.height * window->output.width; left > 0; left -= places.lanes) {
        for (places.lanes = 0; places.lanes < nn_min(left, NN_LANES); nn_walk_on(&at, window, p->pool)) {
            nn_places_add(&places, window, input, at.y, at.x);
        }
        for (int32_t channel = 0; channel < channels; channel += NN_ROWS) {
            nn_conv2d_pool_block(p, &to, &places, &maxima, channel, output);
        }
        output += nn_maxima_next(&maxima, places.lanes) * channels;
    }
}

#endif
