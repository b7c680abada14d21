/* CONV_2D in groups: the filters of a group see that group's part of the input channels only. */
#ifndef NN_CONV2D_GROUPS_S8_H
#define NN_CONV2D_GROUPS_S8_H

#include "nn_dot.h"
#include "nn_fixed.h"
#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
    int16_t groups;                          /* divides the channels of input and output */
    int16_t input_offset;                    /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;                   /* [-128, 127] */
    int8_t min, max;                         /* the fused activation */
    NN_ROM int8_t *weights;     /* [output channels][kernel height][kernel width][input channels / groups] */
    NN_ROM int32_t *bias;       /* [output channels] */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 30] */
} nn_conv2d_groups_t;

/* The sum of one filter over the taps inside the input; `input` is its group's first channel at tap (0, 0). */
static inline int32_t nn_conv2d_group_sum(NN_ROM nn_conv2d_groups_t *p, const int8_t *input, NN_ROM int8_t *filter,
                                          nn_taps_t rows, nn_taps_t columns)
{
    int32_t depth = p->input.channels / p->groups;
    int32_t row_step = (int32_t)p->dilation.height * p->input.width * p->input.channels;
    int32_t column_step = (int32_t)p->dilation.width * p->input.channels;
    int32_t sum = 0;
    for (int32_t row = rows.first; row < rows.last; row++) {
        for (int32_t column = columns.first; column < columns.last; column++) {
            sum += nn_dot_s8(input + row * row_step + column * column_step,
                             filter + (row * p->kernel.width + column) * depth, depth, p->input_offset);
        }
    }
    return sum;
}

static void nn_conv2d_groups_s8(NN_ROM nn_conv2d_groups_t *p, const int8_t *input, int8_t *output)
{
    int32_t depth = p->input.channels / p->groups, members = p->output.channels / p->groups;
    int32_t filter = (int32_t)p->kernel.height * p->kernel.width * depth;
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t y_origin = y * p->stride.height - p->pad.height;
        nn_taps_t rows = nn_taps_inside(y_origin, p->input.height, p->kernel.height, p->dilation.height);
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t x_origin = x * p->stride.width - p->pad.width;
            nn_taps_t columns = nn_taps_inside(x_origin, p->input.width, p->kernel.width, p->dilation.width);
            int32_t corner = (y_origin * p->input.width + x_origin) * p->input.channels;
            for (int32_t channel = 0; channel < p->output.channels; channel++) {
                int32_t first = corner + channel / members * depth;
                int32_t sum = p->bias[channel] +
                              nn_conv2d_group_sum(p, input + first, p->weights + channel * filter, rows, columns);
                sum = nn_requantize(sum, p->multiplier[channel], p->shift[channel]) + p->output_offset;
                *output++ = nn_clamp_s8(sum, p->min, p->max);
            }
        }
    }
}

#endif
