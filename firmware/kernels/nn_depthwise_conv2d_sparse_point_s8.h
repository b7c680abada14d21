/* nn_depthwise_conv2d_point_s8.h where the CONV_2D of 1 x 1 has sparse weights. */
#ifndef NN_DEPTHWISE_CONV2D_SPARSE_POINT_S8_H
#define NN_DEPTHWISE_CONV2D_SPARSE_POINT_S8_H

#include "nn_conv2d_sparse.h"
#include "nn_depthwise.h"

typedef struct {
    nn_depthwise_conv2d_t depthwise;
    nn_conv2d_sparse_t point; /* of 1 x 1, place for place */
} nn_depthwise_conv2d_sparse_point_t;

/* scratch: that of nn_channels(), a patch [depthwise channels][NN_WIDE], then as nn_lines.h says */
static void nn_depthwise_conv2d_sparse_point_s8(NN_ROM nn_depthwise_conv2d_sparse_point_t *both, const int8_t *input,
                                                int8_t *output, void *scratch)
{
    NN_ROM nn_conv2d_sparse_t *p = &both->point;
    NN_ROM nn_window_t *window = &p->window;
    const int16_t channels = window->output.channels, prepared = p->small ? 0 : channels;
    const nn_channels_t to = nn_channels((nn_output_t){p->output_offset, p->min, p->max}, p->bias, p->multiplier,
                                         p->shift, prepared, &scratch);
    uint8_t *patch = scratch;
    nn_depthwise_t layer = nn_depthwise(&both->depthwise, input, patch + window->input.channels * NN_WIDE);
    int32_t lanes = 0;
    for (int32_t left = (int32_t)window->output.height * window->output.width; left > 0; left -= lanes) {
        for (lanes = 0; lanes < nn_min(left, NN_WIDE);) {
            int32_t sums[2];
            lanes += nn_depthwise_next(&both->depthwise, &layer, NN_WIDE - lanes, (nn_depthwise_to_t){NN_WIDE, 1, 128},
                                       patch + lanes, sums);
        }
        nn_conv2d_sparse_places(p, &to, patch, lanes, output);
        output += lanes * channels;
    }
}

#endif
