/* DEPTHWISE_CONV_2D: every input channel has `multiples` filters of its own. */
#ifndef NN_DEPTHWISE_CONV2D_S8_H
#define NN_DEPTHWISE_CONV2D_S8_H

#include "nn_lines.h"
#include "nn_now.h"
#include "nn_output.h"

typedef struct {
    nn_window_t window;         /* output channels = input channels * multiples */
    int16_t multiples;          /* the depth multiplier */
    int16_t input_offset;       /* minus the input's zero point: [-127, 128] */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    NN_ROM int8_t *weights;     /* [kernel height][kernel width][output channels] */
    NN_ROM int32_t *bias;       /* [output channels]; input_offset - 128 times all weights of the channel is in it */
    NN_ROM int32_t *multiplier; /* [output channels], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [output channels], [-31, 30] */
} nn_depthwise_conv2d_t;

/* How to walk over the taps of a window: bytes from one to the next, and from a row's first to the next row's. */
typedef struct {
    int32_t rows, columns, step, row_step, weights_step;
    const uint8_t *end; /* where lines wrap round */
    int32_t wrap;
} nn_depthwise_walk_t;

/* One tap of two channels. */
static inline void nn_depthwise_tap(const uint8_t *x, int32_t a, int32_t b, int32_t *sums)
{
    sums[0] += a * x[0];
    sums[1] += b * x[1];
    NN_NOW(sums[0], sums[1]);
}

typedef struct {
    int32_t of[8]; /* [windows][channels] */
} nn_depthwise_sums_t;

/* Four channels in two windows, `apart` bytes from each other, or in one where that is 0; onto `sums`. */
static inline nn_depthwise_sums_t nn_depthwise_four(const nn_depthwise_walk_t *walk, const uint8_t *x,
                                                    NN_ROM int8_t *weights, int32_t apart, nn_depthwise_sums_t sums)
{
    int32_t step = walk->step, weights_step = walk->weights_step;
    for (int32_t row = walk->rows; row > 0; row--) {
        const uint8_t *tap = x;
        for (int32_t column = walk->columns; column > 0; column--) {
            int32_t a = weights[0], b = weights[1];
            nn_depthwise_tap(tap, a, b, sums.of);
            if (apart) {
                nn_depthwise_tap(tap + apart, a, b, sums.of + 4);
            }
            a = weights[2], b = weights[3];
            nn_depthwise_tap(tap + 2, a, b, sums.of + 2);
            if (apart) {
                nn_depthwise_tap(tap + apart + 2, a, b, sums.of + 6);
            }
            tap += step;
            weights += weights_step;
        }
        x += walk->row_step;
        x -= x >= walk->end ? walk->wrap : 0;
    }
    return sums;
}

static inline int32_t nn_depthwise_one(const nn_depthwise_walk_t *walk, const uint8_t *x, NN_ROM int8_t *weights)
{
    int32_t sum = 0;
    for (int32_t row = walk->rows; row > 0; row--) {
        const uint8_t *tap = x;
        for (int32_t column = walk->columns; column > 0; column--) {
            sum += *weights * *tap;
            tap += walk->step;
            weights += walk->weights_step;
        }
        x += walk->row_step;
        x -= x >= walk->end ? walk->wrap : 0;
    }
    return sum;
}

/* All channels of two neighbouring places, whose windows begin at x and `apart` bytes behind it, or of one (0). */
static inline void nn_depthwise_places(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk,
                                       const uint8_t *x, int32_t apart, int8_t *output)
{
    const nn_output_t to = {p->output_offset, p->min, p->max};
    int32_t channel = 0, channels = p->window.output.channels, fours = p->multiples == 1 ? channels & ~3 : 0;
    for (; channel < fours; channel += 4) {
        NN_ROM int32_t *bias = p->bias + channel;
        nn_depthwise_sums_t sums = {{bias[0], bias[1], bias[2], bias[3], bias[0], bias[1], bias[2], bias[3]}};
        sums = nn_depthwise_four(walk, x + channel, p->weights + channel, apart, sums);
        for (int32_t i = 0; i < 4; i++) {
            int32_t at = channel + i, multiplier = p->multiplier[at], shift = p->shift[at];
            output[at] = nn_output(to, sums.of[i], multiplier, shift);
            if (apart) {
                output[channels + at] = nn_output(to, sums.of[4 + i], multiplier, shift);
            }
        }
    }
    for (; channel < channels; channel++) {
        const uint8_t *of_channel = x + channel / p->multiples;
        int32_t bias = p->bias[channel], multiplier = p->multiplier[channel], shift = p->shift[channel];
        NN_ROM int8_t *weights = p->weights + channel;
        output[channel] = nn_output(to, bias + nn_depthwise_one(walk, of_channel, weights), multiplier, shift);
        if (apart) {
            int32_t sum = bias + nn_depthwise_one(walk, of_channel + apart, weights);
            output[channels + channel] = nn_output(to, sum, multiplier, shift);
        }
    }
}

/* scratch: see nn_lines.h */
static void nn_depthwise_conv2d_s8(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    int32_t width = window->output.width, channels = window->input.channels, stride = window->stride.width * channels;
    nn_lines_t lines = nn_lines_start(window, input, (uint8_t)(128 - p->input_offset), scratch);
    nn_depthwise_walk_t walk = {
        .rows = window->kernel.height,
        .columns = window->kernel.width,
        .step = window->dilation.width * channels,
        .row_step = window->dilation.height * lines.length,
        .weights_step = window->output.channels,
        .end = nn_lines_end(&lines),
        .wrap = lines.count * lines.length,
    };
    for (int32_t y = 0; y < window->output.height; y++) {
        nn_lines_for(window, &lines, y);
        const uint8_t *top = nn_lines_top(&lines);
        for (int32_t x = 0; x < width; x += 2) {
            int8_t *places = output + x * window->output.channels;
            if (x + 1 < width) {
                nn_depthwise_places(p, &walk, top + x * stride, stride, places);
            } else {
                nn_depthwise_places(p, &walk, top + x * stride, 0, places);
            }
        }
        output += width * window->output.channels;
    }
}

#endif
