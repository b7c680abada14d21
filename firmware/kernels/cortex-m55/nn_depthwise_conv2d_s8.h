/* DEPTHWISE_CONV_2D for cores with Helium (Cortex-M55): eight channels at once; see the portable one. */
#ifndef NN_DEPTHWISE_CONV2D_S8_H
#define NN_DEPTHWISE_CONV2D_S8_H

#include "nn_depthwise.h"
#include "nn_vector.h"

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

/* What the sums of eight channels become outputs with. */
typedef struct {
    nn_eight_t bias, multiplier, left, right;
    int16x8_t low, high;
    int16_t offset;
} nn_eight_scale_t;

static inline nn_eight_scale_t nn_eight_scale(NN_ROM nn_depthwise_conv2d_t *p, int32_t channel)
{
    const int32x4_t zero = vdupq_n_s32(0);
    const nn_eight_t shift = nn_eight_bytes(p->shift + channel);
    return (nn_eight_scale_t){
        .bias = nn_eight_words(p->bias + channel),
        .multiplier = nn_eight_words(p->multiplier + channel),
        .left = {vmaxq_s32(shift.even, zero), vmaxq_s32(shift.odd, zero)},
        .right = {vminq_s32(shift.even, zero), vminq_s32(shift.odd, zero)},
        .low = vdupq_n_s16(p->min),
        .high = vdupq_n_s16(p->max),
        .offset = p->output_offset,
    };
}

static inline int16x8_t nn_eight_outputs(const nn_eight_scale_t *scale, nn_eight_t sums)
{
    sums.even = nn_vector_scaled(sums.even, scale->multiplier.even, scale->left.even, scale->right.even);
    sums.odd = nn_vector_scaled(sums.odd, scale->multiplier.odd, scale->left.odd, scale->right.odd);
    int16x8_t values = vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), sums.even), sums.odd); /* saturated */
    values = vqaddq_n_s16(values, scale->offset);
    return vminq_s16(vmaxq_s16(values, scale->low), scale->high);
}

/* Eight channels in two windows. */
typedef struct {
    nn_eight_t first, second;
} nn_two_eights_t;

/* One tap of both windows, at x and at y. In C the compiler would keep fewer of these in registers. */
NN_ALWAYS void nn_depthwise_taps(nn_two_eights_t *sums, const uint8_t *x, const uint8_t *y, NN_ROM int8_t *weights)
{
    int16x8_t weight, values;
    int32x4_t products;
    __asm__ volatile(
        "vldrb.s16 %q[weight], [%[weights]]\n\t"
        "vldrb.u16 %q[values], [%[x]]\n\t"
        "vmullb.s16 %q[products], %q[values], %q[weight]\n\t"
        "vmullt.s16 %q[values], %q[values], %q[weight]\n\t"
        "vadd.i32 %q[a], %q[a], %q[products]\n\t"
        "vadd.i32 %q[b], %q[b], %q[values]\n\t"
        "vldrb.u16 %q[values], [%[y]]\n\t"
        "vmullb.s16 %q[products], %q[values], %q[weight]\n\t"
        "vmullt.s16 %q[values], %q[values], %q[weight]\n\t"
        "vadd.i32 %q[c], %q[c], %q[products]\n\t"
        "vadd.i32 %q[d], %q[d], %q[values]"
        : [a] "+w"(sums->first.even), [b] "+w"(sums->first.odd), [c] "+w"(sums->second.even),
          [d] "+w"(sums->second.odd), [weight] "=&w"(weight), [values] "=&w"(values), [products] "=&w"(products)
        : [x] "l"(x), [y] "l"(y), [weights] "l"(weights)
        : "memory");
}

/* All taps of two windows, each sum begun with `bias`. */
NN_ALWAYS nn_two_eights_t nn_depthwise_two(const nn_depthwise_walk_t *walk, const uint8_t *x, int32_t stride,
                                           NN_ROM int8_t *weights, nn_eight_t bias)
{
    const int32_t step = walk->step, weights_step = walk->weights_step;
    nn_two_eights_t sums = {bias, bias};
    for (int32_t row = walk->rows; row > 0; row--) {
        const uint8_t *tap = x;
        for (int32_t column = walk->columns; column > 0; column--, tap += step, weights += weights_step) {
            nn_depthwise_taps(&sums, tap, tap + stride, weights);
        }
        x += walk->row_step;
        x -= x >= walk->end ? walk->wrap : 0;
    }
    return sums;
}

/* Eight channels from `channel` on of a row of places, whose windows lie `stride` bytes apart from x on. A last place
 * without a neighbour is its own. */
NN_APART static void nn_depthwise_row(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk,
                                      const uint8_t *x, int32_t stride, int32_t channel, int8_t *output)
{
    const nn_eight_scale_t scale = nn_eight_scale(p, channel);
    const nn_depthwise_walk_t taps = *walk;
    int32_t channels = p->window.output.channels;
    NN_ROM int8_t *weights = p->weights + channel;
    x += channel;
    output += channel;
    for (int32_t left = p->window.output.width; left > 0; left -= 2, x += 2 * stride, output += 2 * channels) {
        if (left == 1) {
            stride = channels = 0;
        }
        const nn_two_eights_t sums = nn_depthwise_two(&taps, x, stride, weights, scale.bias);
        vstrbq_s16(output, nn_eight_outputs(&scale, sums.first));
        vstrbq_s16(output + channels, nn_eight_outputs(&scale, sums.second));
    }
}

/* All channels of a row of places. The last eight may overlap those before. */
static inline void nn_depthwise_all(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk, const uint8_t *x,
                                    int32_t stride, int8_t *output)
{
    int32_t channels = p->window.output.channels;
    if (p->multiples == 1 && channels >= NN_EIGHT) {
        for (int32_t channel = 0; channel < channels; channel += NN_EIGHT) {
            nn_depthwise_row(p, walk, x, stride, nn_min(channel, channels - NN_EIGHT), output);
        }
        return;
    }
    const nn_output_t to = {p->output_offset, p->min, p->max};
    for (int32_t left = p->window.output.width; left > 0; left--, x += stride, output += channels) {
        for (int32_t channel = 0; channel < channels; channel++) {
            int32_t sum = p->bias[channel] + nn_depthwise_one(walk, x + channel / p->multiples, p->weights + channel);
            output[channel] = nn_output(to, sum, p->multiplier[channel], p->shift[channel]);
        }
    }
}

/* scratch: see nn_lines.h */
static void nn_depthwise_conv2d_s8(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_shape_t *shape = &p->window.output;
    nn_depthwise_t layer = nn_depthwise(p, input, scratch);
    for (int32_t y = 0; y < shape->height; y++, output += shape->width * shape->channels) {
        nn_lines_for(&p->window, &layer.lines, y);
        nn_depthwise_all(p, &layer.walk, nn_lines_top(&layer.lines), layer.stride, output);
    }
}

#endif
