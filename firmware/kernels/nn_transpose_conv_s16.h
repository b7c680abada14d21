/* TRANSPOSE_CONV of 16-bit values and 8-bit weights, written from the output's side. */
#ifndef NN_TRANSPOSE_CONV_S16_H
#define NN_TRANSPOSE_CONV_S16_H

#include "nn_dot_s16.h"
#include "nn_output_s16.h"
#include "nn_source.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, pad; /* pad: what is cut off above and left of the spread output */
    int8_t narrow;                 /* see nn_output_s16.h */
    int16_t min, max;              /* the fused activation */
    NN_ROM int8_t *weights;        /* [output channels][kernel height][kernel width][input channels] */
    NN_ROM int64_t *bias;          /* [output channels] */
    NN_ROM int32_t *multiplier;    /* [output channels], [0, 2^15), narrow: [0, 2^31) */
    NN_ROM int8_t *shift;          /* [output channels], [-31, 7], narrow: [-31, 30] */
} nn_transpose_conv_s16_t;

/* Adds to the sums of `count` filters all taps that reach one place of the spread output. */
static inline void nn_transpose_conv_sums_s16(NN_ROM nn_transpose_conv_s16_t *p, const int16_t *input,
                                              NN_ROM int8_t *filters, int32_t count, nn_size_t place, int64_t *sums)
{
    int32_t channels = p->input.channels, filter = (int32_t)p->kernel.height * p->kernel.width * channels;
    for (int32_t row = 0; row < p->kernel.height; row++) {
        int32_t y = nn_source(place.height, row, p->stride.height, p->input.height);
        for (int32_t column = 0; y >= 0 && column < p->kernel.width; column++) {
            int32_t x = nn_source(place.width, column, p->stride.width, p->input.width);
            if (x >= 0) {
                nn_rows_s16(input + (y * p->input.width + x) * channels,
                            filters + (row * p->kernel.width + column) * channels, filter, count, channels, sums);
            }
        }
    }
}

static void nn_transpose_conv_s16(NN_ROM nn_transpose_conv_s16_t *p, const int16_t *input, int16_t *output)
{
    const nn_output_s16_t to = {p->narrow, p->min, p->max};
    int32_t filter = (int32_t)p->kernel.height * p->kernel.width * p->input.channels;
    for (int32_t i = 0; i < (int32_t)p->output.height * p->output.width; i++) {
        nn_size_t place = {(int16_t)(i / p->output.width + p->pad.height),
                           (int16_t)(i % p->output.width + p->pad.width)};
        for (int32_t channel = 0, count; channel < p->output.channels; channel += count) {
            int64_t sums[NN_WIDE_ROWS] = {0, 0, 0, 0};
            count = nn_min(NN_WIDE_ROWS, p->output.channels - channel);
            nn_transpose_conv_sums_s16(p, input, p->weights + channel * filter, count, place, sums);
            for (int32_t at = channel; at < channel + count; at++) {
                *output++ = nn_output_s16(to, p->bias[at] + sums[at - channel], p->multiplier[at], p->shift[at]);
            }
        }
    }
}

#endif
