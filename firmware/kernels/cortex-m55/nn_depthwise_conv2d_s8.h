/* DEPTHWISE_CONV_2D for cores with Helium (Cortex-M55): eight channels at once; see the portable one. */
#ifndef NN_DEPTHWISE_CONV2D_S8_H
#define NN_DEPTHWISE_CONV2D_S8_H

#include "nn_lines.h"
#include "nn_output.h"
#include "nn_vector.h"

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

enum { NN_EIGHT = 8 }; /* channels at a time */

/* The even and the odd ones of eight values. */
typedef struct {
    int32x4_t even, odd;
} nn_eight_t;

static inline nn_eight_t nn_eight_words(NN_ROM int32_t *words)
{
    const int32x4x2_t both = vld2q_s32(words);
    return (nn_eight_t){both.val[0], both.val[1]};
}

static inline nn_eight_t nn_eight_bytes(NN_ROM int8_t *bytes)
{
    const uint32x4_t at = vidupq_n_u32(0, 2);
    return (nn_eight_t){vldrbq_gather_offset_s32(bytes, at), vldrbq_gather_offset_s32(bytes + 1, at)};
}

/* The products of a window's taps, onto `sums`. */
static inline nn_eight_t nn_depthwise_eight(const nn_depthwise_walk_t *walk, const uint8_t *x, NN_ROM int8_t *weights,
                                            nn_eight_t sums)
{
    int32_t step = walk->step, weights_step = walk->weights_step;
    for (int32_t row = walk->rows; row > 0; row--) {
        const uint8_t *tap = x;
        for (int32_t column = walk->columns; column > 0; column--, tap += step, weights += weights_step) {
            const uint16x8_t value = vldrbq_u16(tap);
            const int16x8_t weight = vldrbq_s16(weights);
            sums.even = vaddq_s32(sums.even, vmullbq_int_s16((int16x8_t)value, weight));
            sums.odd = vaddq_s32(sums.odd, vmulltq_int_s16((int16x8_t)value, weight));
        }
        x += walk->row_step;
        x -= x >= walk->end ? walk->wrap : 0;
    }
    return sums;
}

/* Eight channels of one place from `channel` on. */
static inline void nn_depthwise_channels(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk,
                                         const uint8_t *x, int32_t channel, int8_t *output)
{
    const int16x8_t low = vdupq_n_s16(p->min), high = vdupq_n_s16(p->max);
    nn_eight_t sums = nn_eight_words(p->bias + channel);
    sums = nn_depthwise_eight(walk, x + channel, p->weights + channel, sums);
    const nn_eight_t multiplier = nn_eight_words(p->multiplier + channel), shift = nn_eight_bytes(p->shift + channel);
    sums.even = nn_vector_requantize(sums.even, multiplier.even, shift.even);
    sums.odd = nn_vector_requantize(sums.odd, multiplier.odd, shift.odd);
    int16x8_t values = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), sums.even), sums.odd); /* saturated */
    values = vqaddq_n_s16(values, p->output_offset);
    vstrbq_s16(output + channel, vminq_s16(vmaxq_s16(values, low), high));
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

/* All channels of the place whose window begins at x. The last eight may overlap those before. */
static inline void nn_depthwise_place(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk,
                                      const uint8_t *x, int8_t *output)
{
    int32_t channels = p->window.output.channels;
    if (p->multiples == 1 && channels >= NN_EIGHT) {
        for (int32_t channel = 0; channel < channels; channel += NN_EIGHT) {
            nn_depthwise_channels(p, walk, x, nn_min(channel, channels - NN_EIGHT), output);
        }
        return;
    }
    const nn_output_t to = {p->output_offset, p->min, p->max};
    for (int32_t channel = 0; channel < channels; channel++) {
        int32_t sum = p->bias[channel] + nn_depthwise_one(walk, x + channel / p->multiples, p->weights + channel);
        output[channel] = nn_output(to, sum, p->multiplier[channel], p->shift[channel]);
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
        for (int32_t x = 0; x < width; x++) {
            nn_depthwise_place(p, &walk, top + x * stride, output + x * window->output.channels);
        }
        output += width * window->output.channels;
    }
}

#endif
