/* CONV_2D: each output is the inner product of a window of the input with one filter. */
#ifndef NN_CONV2D_S8_H
#define NN_CONV2D_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"
#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
    int16_t input_offset;                    /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;                   /* [-128, 127] */
    int8_t min, max;                         /* the fused activation */
    NN_ROM int8_t *weights;                  /* [output channels][kernel height][kernel width][input channels] */
    NN_ROM int32_t *bias;                    /* [output channels] */
    NN_ROM int32_t *multiplier;              /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;                    /* [output channels], [-31, 30] */
} nn_conv2d_t;

/* Taps of one kernel row side by side are side by side in memory too, unless they are dilated. */
static inline int32_t nn_conv2d_row(NN_ROM nn_conv2d_t *p, const int8_t *row, NN_ROM int8_t *weights, int32_t x_origin,
                                    nn_taps_t taps)
{
    int32_t channels = p->input.channels;
    if (p->dilation.width == 1) {
        return taps.last <= taps.first
                   ? 0
                   : nn_dot_s8(row + (x_origin + taps.first) * channels, weights + taps.first * channels,
                               (taps.last - taps.first) * channels, p->input_offset);
    }
    int32_t sum = 0;
    for (int32_t tap = taps.first; tap < taps.last; tap++) {
        sum += nn_dot_s8(row + (x_origin + tap * p->dilation.width) * channels, weights + tap * channels, channels,
                         p->input_offset);
    }
    return sum;
}

static void nn_conv2d_s8(NN_ROM nn_conv2d_t *p, const int8_t *input, int8_t *output)
{
    int32_t input_row = (int32_t)p->input.width * p->input.channels;
    int32_t kernel_row = (int32_t)p->kernel.width * p->input.channels;
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, p->dilation.height);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t taps = nn_taps_inside(x_origin, p->input.width, p->kernel.width, p->dilation.width);
            NN_ROM int8_t *filter = p->weights;
            for (int32_t channel = 0; channel < p->output.channels; channel++) {
                int32_t sum = p->bias[channel];
                for (int32_t tap = rows.first; tap < rows.last; tap++) {
                    sum += nn_conv2d_row(p, input + (y_origin + tap * p->dilation.height) * input_row,
                                         filter + tap * kernel_row, x_origin, taps);
                }
                sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
                *output++ = nn_clamp_s8(sum, p->min, p->max);
                filter += p->kernel.height * kernel_row;
            }
        }
    }
}

#endif
