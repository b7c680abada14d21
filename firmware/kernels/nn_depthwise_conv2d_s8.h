/* DEPTHWISE_CONV_2D: every input channel has `multiples` filters of its own. */
#ifndef NN_DEPTHWISE_CONV2D_S8_H
#define NN_DEPTHWISE_CONV2D_S8_H

#include "nn_depthwise.h"

/* scratch: see nn_lines.h */
static void nn_depthwise_conv2d_s8(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    const int32_t channels = p->window.output.channels;
    nn_depthwise_t layer = nn_depthwise(p, input, scratch);
    int32_t sums[2];
    for (int32_t left = (int32_t)p->window.output.height * p->window.output.width; left > 0;) {
        const int32_t done =
            nn_depthwise_next(p, &layer, 2, (nn_depthwise_to_t){1, channels, 0}, (uint8_t *)output, sums);
        output += done * channels;
        left -= done;
    }
}

#endif
