/* DEPTHWISE_CONV_2D: every input channel has `multiples` filters of its own. */
#ifndef NN_DEPTHWISE_CONV2D_S8_H
#define NN_DEPTHWISE_CONV2D_S8_H

#include "nn_fixed.h"
#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;                /* output channels = input channels * multiples */
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
    int16_t multiples;                       /* the depth multiplier */
    int16_t input_offset;                    /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;                   /* [-128, 127] */
    int8_t min, max;                         /* the fused activation */
    NN_ROM int8_t *weights;                  /* [kernel height][kernel width][output channels] */
    NN_ROM int32_t *bias;                    /* [output channels] */
    NN_ROM int32_t *multiplier;              /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;                    /* [output channels], [-31, 30] */
} nn_depthwise_conv2d_t;

/* Sum over the taps of one output channel; `corner` is the input at tap (0, 0), which may lie outside. */
static inline int32_t nn_depthwise_window(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, int32_t corner,
                                          NN_ROM int8_t *weights, nn_taps_t rows, nn_taps_t columns)
{
    int32_t row_step = (int32_t)p->dilation.height * p->input.width * p->input.channels;
    int32_t column_step = (int32_t)p->dilation.width * p->input.channels;
    int32_t sum = 0;
    for (int32_t row = rows.first; row < rows.last; row++) {
        int32_t weights_row = row * p->kernel.width;
        for (int32_t column = columns.first; column < columns.last; column++) {
            int32_t value = input[corner + row * row_step + column * column_step] + p->input_offset;
            sum += weights[(weights_row + column) * p->output.channels] * value;
        }
    }
    return sum;
}

static void nn_depthwise_conv2d_s8(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, p->dilation.height);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t columns = nn_taps_inside(x_origin, p->input.width, p->kernel.width, p->dilation.width);
            int32_t corner = (y_origin * p->input.width + x_origin) * p->input.channels;
            for (int32_t channel = 0; channel < p->output.channels; channel++) {
                int32_t sum = p->bias[channel] + nn_depthwise_window(p, input, corner + channel / p->multiples,
                                                                     p->weights + channel, rows, columns);
                sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
                *output++ = nn_clamp_s8(sum, p->min, p->max);
            }
        }
    }
}

#endif
