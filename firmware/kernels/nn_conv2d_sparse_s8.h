/* CONV_2D with sparse weights: each weight that is not zero serves several places. */
#ifndef NN_CONV2D_SPARSE_S8_H
#define NN_CONV2D_SPARSE_S8_H

#include "nn_conv2d_sparse.h"
#include "nn_patch.h"

/* scratch: that of nn_channels(), and a patch [kernel height * width * input channels][NN_WIDE] */
static void nn_conv2d_sparse_s8(NN_ROM nn_conv2d_sparse_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const uint8_t zero = (uint8_t)(128 - p->input_offset);
    const int16_t prepared = p->small ? 0 : window->output.channels;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, prepared, &scratch);
    int32_t lanes = 0;
    for (int32_t y = 0; y < window->output.height; y++) {
        for (int32_t x = 0; x < window->output.width; x++) {
            nn_patch_lane(window, input, y, x, zero, (nn_lane_t){(uint8_t *)scratch + lanes++, 0, NN_WIDE});
            if (lanes == NN_WIDE) {
                nn_conv2d_sparse_places(p, &to, scratch, lanes, output);
                output += NN_WIDE * window->output.channels;
                lanes = 0;
            }
        }
    }
    if (lanes > 0) {
        nn_conv2d_sparse_places(p, &to, scratch, lanes, output);
    }
}

#endif
