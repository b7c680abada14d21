/* Depthwise convolutions place by place: what nn_depthwise_conv2d_s8.h and the kernels that do more with its outputs
 * have in common. */
#ifndef NN_DEPTHWISE_H
#define NN_DEPTHWISE_H

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

/* Where outputs go: bytes from one channel's to the next one's, and from one place's to the next one's. `more` is added
 * to them: 0, or 128, which makes them unsigned. */
typedef struct {
    int32_t step, next, more;
} nn_depthwise_to_t;

/* On the way through the places of a layer, row by row. */
typedef struct {
    nn_lines_t lines;
    nn_depthwise_walk_t walk;
    const uint8_t *x; /* the next place's window */
    int32_t left, y;  /* places of this row, and the next row */
    int32_t stride;   /* bytes from one window to the next */
} nn_depthwise_t;

/* bytes: see nn_lines.h */
static inline nn_depthwise_t nn_depthwise(NN_ROM nn_depthwise_conv2d_t *p, const int8_t *input, void *bytes)
{
    NN_ROM nn_window_t *window = &p->window;
    const int32_t channels = window->input.channels;
    const nn_lines_t lines = nn_lines_start(window, input, (uint8_t)(128 - p->input_offset), bytes);
    return (nn_depthwise_t){
        .lines = lines,
        .walk = {.rows = window->kernel.height,
                 .columns = window->kernel.width,
                 .step = window->dilation.width * channels,
                 .row_step = window->dilation.height * lines.length,
                 .weights_step = window->output.channels,
                 .end = nn_lines_end(&lines),
                 .wrap = lines.count * lines.length},
        .stride = window->stride.width * channels,
    };
}

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

/* Four channels in one window, or in two that lie `apart` bytes from each other; onto `sums`. */
static inline nn_depthwise_sums_t nn_depthwise_four(const nn_depthwise_walk_t *walk, const uint8_t *x,
                                                    NN_ROM int8_t *weights, int8_t two, int32_t apart,
                                                    nn_depthwise_sums_t sums)
{
    int32_t step = walk->step, weights_step = walk->weights_step;
    for (int32_t row = walk->rows; row > 0; row--) {
        const uint8_t *tap = x;
        for (int32_t column = walk->columns; column > 0; column--) {
            int32_t a = weights[0], b = weights[1];
            nn_depthwise_tap(tap, a, b, sums.of);
            if (two) {
                nn_depthwise_tap(tap + apart, a, b, sums.of + 4);
            }
            a = weights[2], b = weights[3];
            nn_depthwise_tap(tap + 2, a, b, sums.of + 2);
            if (two) {
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

typedef struct {
    int32_t offset, min, max;
} nn_depthwise_output_t;

/* An output, which is also returned. */
static inline int32_t nn_depthwise_put(nn_depthwise_output_t to, int32_t sum, int32_t multiplier, int32_t shift,
                                       uint8_t *output)
{
    const int32_t value = nn_min(nn_max(nn_requantize(sum, multiplier, shift) + to.offset, to.min), to.max);
    *output = (uint8_t)value;
    return value;
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

static inline nn_depthwise_output_t nn_depthwise_output(NN_ROM nn_depthwise_conv2d_t *p, int32_t more)
{
    return (nn_depthwise_output_t){p->output_offset + more, p->min + more, p->max + more};
}

/* What all kernels of a model share is less code; but Cortex-M0+ has too few registers for distances that only their
 * caller knows, and on Xtensa it is mostly one kernel for one layer, of which the compiler leaves out what is not
 * needed. */
#ifdef __ARM_ARCH_6M__
#define NN_DEPTHWISE_NEXT NN_ALWAYS
#else
#define NN_DEPTHWISE_NEXT static inline
#endif
#ifdef __XTENSA__
#define NN_DEPTHWISE_REST NN_ALWAYS
#else
#define NN_DEPTHWISE_REST NN_APART static
#endif

/* Channels from `channel` on of the place whose window begins at x; returns what the outputs come to. */
NN_DEPTHWISE_REST int32_t nn_depthwise_rest(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_walk_t *walk,
                                            const uint8_t *x, int32_t channel, nn_depthwise_to_t go, uint8_t *output)
{
    const nn_depthwise_output_t to = nn_depthwise_output(p, go.more);
    int32_t total = 0;
    for (; channel < p->window.output.channels; channel++, output += go.step) {
        int32_t sum = p->bias[channel];
        sum += nn_depthwise_one(walk, x + channel / p->multiples, p->weights + channel);
        total += nn_depthwise_put(to, sum, p->multiplier[channel], p->shift[channel], output);
    }
    return total;
}

/* All channels of the next place, or of the next two; sums: what the outputs of each come to. */
NN_ALWAYS void nn_depthwise_places(NN_ROM nn_depthwise_conv2d_t *p, const nn_depthwise_t *layer, int8_t two,
                                   nn_depthwise_to_t go, uint8_t *output, int32_t *sums)
{
    NN_ROM int32_t *biases = p->bias, *multipliers = p->multiplier;
    NN_ROM int8_t *shifts = p->shift, *weights = p->weights;
    const nn_depthwise_output_t to = nn_depthwise_output(p, go.more);
    const uint8_t *x = layer->x;
    const int32_t channels = p->window.output.channels, fours = p->multiples == 1 ? channels & ~3 : 0;
    int32_t channel = 0, first = 0, second = 0;
    for (; channel < fours; channel += 4) {
        NN_ROM int32_t *bias = biases + channel;
        nn_depthwise_sums_t four = {{bias[0], bias[1], bias[2], bias[3], bias[0], bias[1], bias[2], bias[3]}};
        four = nn_depthwise_four(&layer->walk, x + channel, weights + channel, two, layer->stride, four);
        for (int32_t i = 0; i < 4; i++, output += go.step) {
            const int32_t multiplier = multipliers[channel + i], shift = shifts[channel + i];
            first += nn_depthwise_put(to, four.of[i], multiplier, shift, output);
            if (two) {
                second += nn_depthwise_put(to, four.of[4 + i], multiplier, shift, output + go.next);
            }
        }
    }
    if (channel < channels) {
        first += nn_depthwise_rest(p, &layer->walk, x, channel, go, output);
        if (two) {
            second += nn_depthwise_rest(p, &layer->walk, x + layer->stride, channel, go, output + go.next);
        }
    }
    sums[0] = first;
    if (two) {
        sums[1] = second;
    }
}

/* The next places, at most `room` and not behind the last; returns how many: 1 or 2. */
NN_DEPTHWISE_NEXT int32_t nn_depthwise_next(NN_ROM nn_depthwise_conv2d_t *p, nn_depthwise_t *layer, int32_t room,
                                            nn_depthwise_to_t to, uint8_t *output, int32_t *sums)
{
    NN_ROM nn_window_t *window = &p->window;
    if (layer->left == 0) {
        nn_lines_for(window, &layer->lines, layer->y++);
        layer->x = nn_lines_top(&layer->lines);
        layer->left = window->output.width;
    }
    const int32_t done = nn_min(nn_min(layer->left, room), 2);
    if (done > 1) {
        nn_depthwise_places(p, layer, 1, to, output, sums);
    } else {
        nn_depthwise_places(p, layer, 0, to, output, sums);
    }
    layer->x += done * layer->stride;
    layer->left -= done;
    return done;
}

#endif
