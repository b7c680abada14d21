/* CONV_2D: each output is the inner product of a window of the input with one filter. */
#ifndef NN_CONV2D_S8_H
#define NN_CONV2D_S8_H

#include "nn_block.h"
#include "nn_now.h"
#include "nn_output.h"
#include "nn_patch.h"

typedef struct {
    nn_window_t window;
    int16_t input_offset;    /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activation */
    NN_ROM uint8_t *weights; /* [output channels / NN_ROWS][kernel height * width * input channels][NN_ROWS], w + 128 */
    NN_ROM int32_t *bias;    /* [output channels]; input_offset - 128 times all weights of the channel is in it */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 30] */
} nn_conv2d_t;

/* The windows of `lanes` neighbouring places. */
typedef struct {
    uint8_t *patch;
    int32_t start[NN_LANES]; /* -128 * the sum of each window's bytes */
    int32_t lanes;
    int32_t count; /* values of one window */
} nn_conv2d_places_t;

/* NN_ROWS channels from `channel` on; the last block may have fewer. */
NN_APART static void nn_conv2d_block(NN_ROM nn_conv2d_t *p, const nn_channels_t *to, const nn_conv2d_places_t *places,
                                     int32_t channel, int8_t *output)
{
    NN_ROM uint8_t *weights = p->weights + channel * places->count;
    int32_t channels = p->window.output.channels, end = nn_min(channel + NN_ROWS, channels), lanes = places->lanes;
    int32_t sums[NN_ROWS][NN_LANES];
    if (lanes == NN_LANES) {
        nn_block_s8(places->patch, weights, places->count, places->start, sums[0]);
    }
    for (int32_t lane = 0; lanes < NN_LANES && lane < lanes; lane++) {
        int32_t column[NN_ROWS];
        nn_block_lane_s8(places->patch + lane, weights, places->count, column);
        for (int32_t row = 0; row < NN_ROWS; row++) {
            sums[row][lane] = column[row] + places->start[lane];
        }
    }
    for (const int32_t *row = sums[0]; channel < end; channel++, row += NN_LANES) {
        nn_outputs(to, channel, row, lanes, output + channel, channels);
    }
}

static inline void nn_conv2d_places(NN_ROM nn_conv2d_t *p, const nn_channels_t *to, const nn_conv2d_places_t *places,
                                    int8_t *output)
{
    for (int32_t channel = 0; channel < p->window.output.channels; channel += NN_ROWS) {
        nn_conv2d_block(p, to, places, channel, output);
    }
}

/* scratch: that of nn_channels(), and a patch [kernel height * width * input channels][NN_LANES] */
static void nn_conv2d_s8(NN_ROM nn_conv2d_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const uint8_t zero = (uint8_t)(128 - p->input_offset);
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, window->output.channels, &scratch);
    nn_conv2d_places_t places = {
        .patch = scratch, .count = (int32_t)window->kernel.height * window->kernel.width * window->input.channels};
    for (int32_t y = 0; y < window->output.height; y++) {
        for (int32_t x = 0; x < window->output.width; x++) {
            nn_lane_t lane = {places.patch + places.lanes, 0, NN_LANES};
            places.start[places.lanes++] = -128 * nn_patch_lane(window, input, y, x, zero, lane).sum;
            if (places.lanes == NN_LANES) {
                nn_conv2d_places(p, &to, &places, output);
                output += NN_LANES * window->output.channels;
                places.lanes = 0;
            }
        }
    }
    if (places.lanes > 0) {
        nn_conv2d_places(p, &to, &places, output);
    }
}

#endif
