/* What nn_conv2d_sparse_s8.h and the kernels that bring its windows in another way have in common. */
#ifndef NN_CONV2D_SPARSE_H
#define NN_CONV2D_SPARSE_H

#include "nn_now.h"
#include "nn_small_outputs.h"
#include "nn_sparse.h"
#include "nn_window.h"

typedef struct {
    nn_window_t window;
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    int8_t small;               /* 1: every sum and shift fits nn_small_output() */
    NN_ROM uint8_t *weights;    /* a row of nn_sparse.h for each output channel, one behind the other */
    NN_ROM int32_t *bias;       /* [output channels]; input_offset - 128 times all weights of the channel is in it */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 30] */
} nn_conv2d_sparse_t;

/* All channels of `lanes` places whose windows are in the patch. */
NN_APART static void nn_conv2d_sparse_places(NN_ROM nn_conv2d_sparse_t *p, const nn_channels_t *to,
                                             const uint8_t *patch, int32_t lanes, int8_t *output)
{
    const int16_t channels = p->window.output.channels;
    NN_ROM uint8_t *row = p->weights;
    for (int16_t channel = 0; channel < channels; channel++, output++) {
        int32_t sums[NN_WIDE];
        row = nn_sparse_lanes(patch, row, p->small ? p->bias[channel] : 0, sums);
        nn_small_outputs(p->small, to, channel, sums, lanes, output, channels);
    }
}

#endif
