/* TRANSPOSE_CONV: every input value is spread over a window of the output; written from the output's side. */
#ifndef NN_TRANSPOSE_CONV_S8_H
#define NN_TRANSPOSE_CONV_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"
#include "nn_source.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, pad; /* pad: what is cut off above and left of the spread output */
    int16_t input_offset;          /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;         /* [-128, 127] */
    int8_t min, max;               /* the fused activation */
    NN_ROM int8_t *weights;        /* [output channels][kernel height][kernel width][input channels] */
    NN_ROM int32_t *bias;          /* [output channels] */
    NN_ROM int32_t *multiplier;    /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;          /* [output channels], [-31, 30] */
} nn_transpose_conv_t;

/* Sum of all taps of one filter at one place of the spread output. */
static inline int32_t nn_transpose_conv_sum(NN_ROM nn_transpose_conv_t *p, const int8_t *input, NN_ROM int8_t *filter,
                                            int32_t y, int32_t x)
{
    int32_t sum = 0, channels = p->input.channels;
    for (int32_t row = 0; row < p->kernel.height; row++) {
        int32_t from_y = nn_source(y, row, p->stride.height, p->input.height);
        for (int32_t column = 0; from_y >= 0 && column < p->kernel.width; column++) {
            int32_t from_x = nn_source(x, column, p->stride.width, p->input.width);
            if (from_x >= 0) {
                sum += nn_dot_s8(input + (from_y * p->input.width + from_x) * channels,
                                 filter + (row * p->kernel.width + column) * channels, channels, p->input_offset);
            }
        }
    }
    return sum;
}

static void nn_transpose_conv_s8(NN_ROM nn_transpose_conv_t *p, const int8_t *input, int8_t *output)
{
    int32_t filter = (int32_t)p->kernel.height * p->kernel.width * p->input.channels;
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++) {
            for (int32_t channel = 0; channel < p->output.channels; channel++) {
                int32_t sum = p->bias[channel] + nn_transpose_conv_sum(p, input, p->weights + channel * filter,
                                                                       y + p->pad.height, x + p->pad.width);
                sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
                *output++ = nn_clamp_s8(sum, p->min, p->max);
            }
        }
    }
}

#endif
