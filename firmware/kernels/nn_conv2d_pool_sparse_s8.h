/* CONV_2D with sparse weights and MAX_POOL_2D of windows side by side: nn_conv2d_sparse_s8.h, with outputs of the
 * largest sums only. */
#ifndef NN_CONV2D_POOL_SPARSE_S8_H
#define NN_CONV2D_POOL_SPARSE_S8_H

#include "nn_maxima.h"
#include "nn_now.h"
#include "nn_patch.h"
#include "nn_small_outputs.h"
#include "nn_sparse.h"

typedef struct {
    nn_window_t window;    /* its output is what is pooled */
    int16_t input_offset;  /* minus the input's zero point: [-127, 128] */
    int16_t output_offset; /* [-128, 127] */
    int8_t min, max;       /* the fused activations */
    int8_t small;          /* as nn_conv2d_sparse_t has it, and what follows */
    NN_ROM uint8_t *weights;
    NN_ROM int32_t *bias;
    NN_ROM int32_t *multiplier;
    NN_ROM int8_t *shift;
    nn_size_t pool; /* parts of the window's output */
} nn_conv2d_pool_sparse_t;

/* All channels of `lanes` windows that are in the patch. */
NN_APART static void nn_conv2d_pool_sparse_places(NN_ROM nn_conv2d_pool_sparse_t *p, const nn_channels_t *to,
                                                  const nn_maxima_t *maxima, const uint8_t *patch, int32_t lanes,
                                                  int8_t *output)
{
    const int16_t channels = p->window.output.channels;
    NN_ROM uint8_t *row = p->weights;
    for (int16_t channel = 0; channel < channels; channel++, output++) {
        int32_t sums[NN_WIDE];
        row = nn_sparse_lanes(patch, row, p->small ? p->bias[channel] : 0, sums);
        const int32_t made = nn_maxima(maxima, channel, sums, lanes);
        if (made > 0) {
            nn_small_outputs(p->small, to, channel, sums, made, output, channels);
        }
    }
}

/* scratch: that of nn_channels() and nn_maxima_of(), and a patch as nn_conv2d_sparse_s8() has it */
static void nn_conv2d_pool_sparse_s8(NN_ROM nn_conv2d_pool_sparse_t *p, const int8_t *input, int8_t *output,
                                     void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const uint8_t zero = (uint8_t)(128 - p->input_offset);
    const int16_t channels = window->output.channels;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, p->small ? 0 : channels, &scratch);
    nn_maxima_t maxima = nn_maxima_of(p->pool, NN_WIDE, channels, &scratch);
    nn_walk_t at = {0, 0, 0, 0};
    for (int32_t lanes, left = (int32_t)window->output.height * window->output.width; left > 0; left -= lanes) {
        for (lanes = 0; lanes < nn_min(left, NN_WIDE); nn_walk_on(&at, window, p->pool)) {
            nn_patch_lane(window, input, at.y, at.x, zero, (nn_lane_t){(uint8_t *)scratch + lanes++, 0, NN_WIDE});
        }
        nn_conv2d_pool_sparse_places(p, &to, &maxima, scratch, lanes, output);
        output += nn_maxima_next(&maxima, lanes) * channels;
    }
}

#endif
