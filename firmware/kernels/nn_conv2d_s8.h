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

/* Where the window of one output place lies over the input. */
typedef struct {
    int32_t y, x; /* of tap (0, 0); may lie outside */
    nn_taps_t rows, columns;
} nn_conv2d_window_t;

/* Adds to sums[4] what one kernel row contributes to four neighbouring channels, or to sums[0] for one channel.
 * Taps side by side are side by side in memory too, unless they are dilated. */
static inline void nn_conv2d_row(NN_ROM nn_conv2d_t *p, const int8_t *row, NN_ROM int8_t *weights,
                                 nn_conv2d_window_t at, int32_t filter, int32_t *sums, int8_t four)
{
    int32_t channels = p->input.channels;
    int32_t taps = p->dilation.width == 1 ? at.columns.last - at.columns.first : 1;
    for (int32_t tap = at.columns.first; tap < at.columns.last; tap += taps) {
        const int8_t *x = row + (at.x + tap * p->dilation.width) * channels;
        if (four) {
            nn_dot4_s8(x, weights + tap * channels, filter, taps * channels, p->input_offset, sums);
        } else {
            sums[0] += nn_dot_s8(x, weights + tap * channels, taps * channels, p->input_offset);
        }
    }
}

/* The outputs of one place for channels channel .. channel + 3, or for one channel. */
static inline void nn_conv2d_channels(NN_ROM nn_conv2d_t *p, const int8_t *input, int8_t *output, nn_conv2d_window_t at,
                                      int32_t channel, int8_t four)
{
    int32_t input_row = (int32_t)p->input.width * p->input.channels;
    int32_t kernel_row = (int32_t)p->kernel.width * p->input.channels;
    int32_t filter = p->kernel.height * kernel_row;
    int32_t sums[4] = {p->bias[channel]};
    for (int8_t i = 1; four && i < 4; i++) {
        sums[i] = p->bias[channel + i];
    }
    for (int32_t tap = at.rows.first; tap < at.rows.last; tap++) {
        nn_conv2d_row(p, input + (at.y + tap * p->dilation.height) * input_row,
                      p->weights + channel * filter + tap * kernel_row, at, filter, sums, four);
    }
    for (int8_t i = 0; i < (four ? 4 : 1); i++) {
        int32_t sum = nn_requantize(sums[i], p->multiplier[channel + i], p->shift[channel + i]) + p->output_offset;
        output[channel + i] = nn_clamp_s8(sum, p->min, p->max);
    }
}

static void nn_conv2d_s8(NN_ROM nn_conv2d_t *p, const int8_t *input, int8_t *output)
{
    nn_conv2d_window_t at;
    for (int32_t y = 0; y < p->output.height; y++) {
        at.y = y * p->stride.height - p->pad.height;
        at.rows = nn_taps_inside(at.y, p->input.height, p->kernel.height, p->dilation.height);
        for (int32_t x = 0; x < p->output.width; x++) {
            at.x = x * p->stride.width - p->pad.width;
            at.columns = nn_taps_inside(at.x, p->input.width, p->kernel.width, p->dilation.width);
            int32_t channel = 0;
            for (; channel + 4 <= p->output.channels; channel += 4) {
                nn_conv2d_channels(p, input, output, at, channel, 1);
            }
            for (; channel < p->output.channels; channel++) {
                nn_conv2d_channels(p, input, output, at, channel, 0);
            }
            output += p->output.channels;
        }
    }
}

#endif
