/* What nn_conv2d_s8.h and the kernels that bring its windows in another way have in common. */
#ifndef NN_CONV2D_H
#define NN_CONV2D_H

#include "nn_output.h"
#include "nn_places.h"

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

/* NN_ROWS channels from `channel` on; the last block may have fewer. */
NN_APART static void nn_conv2d_block(NN_ROM nn_conv2d_t *p, const nn_channels_t *to, const nn_places_t *places,
                                     int32_t channel, int8_t *output)
{
    int32_t channels = p->window.output.channels, end = nn_min(channel + NN_ROWS, channels), lanes = places->lanes;
    int32_t sums[NN_ROWS][NN_LANES];
    nn_places_sums(places, p->weights + channel * places->count, sums[0]);
    for (const int32_t *row = sums[0]; channel < end; channel++, row += NN_LANES) {
        nn_outputs(to, channel, row, lanes, output + channel, channels);
    }
}

/* All channels. */
static inline void nn_conv2d_places(NN_ROM nn_conv2d_t *p, const nn_channels_t *to, const nn_places_t *places,
                                    int8_t *output)
{
    for (int32_t channel = 0; channel < p->window.output.channels; channel += NN_ROWS) {
        nn_conv2d_block(p, to, places, channel, output);
    }
}

#endif
