/* CONV_2D with weights in pairs: the windows of two places, widened to columns, against four filters at a time. */
#ifndef NN_CONV2D_PAIRS_S8_H
#define NN_CONV2D_PAIRS_S8_H

#include "nn_pairs.h"
#include "nn_taps.h"

typedef struct {
    nn_shape_t input, output;
    nn_size_t kernel, stride, dilation, pad; /* pad: above and left of the input */
    int16_t zero;                            /* the input's zero point, which padding is */
    int16_t groups;                          /* values of one window / 4, rounded up */
    int16_t output_offset;                   /* [-128, 127] */
    int8_t min, max;                         /* the fused activation */
    NN_ROM int32_t *weights;                 /* [output channels / 4][groups][4] */
    NN_ROM int32_t *rescale;                 /* [output channels][2] */
} nn_conv2d_pairs_t;

/* Bytes of `count` values into a window; the two may overlap nowhere. */
static inline int8_t *nn_append(int8_t *window, const int8_t *x, int32_t count)
{
    for (; count >= 4; count -= 4, window += 4, x += 4) {
        __builtin_memcpy(window, x, 4);
    }
    for (; count > 0; count--) {
        *window++ = *x++;
    }
    return window;
}

static inline int8_t *nn_append_zeros(int8_t *window, int32_t count, int32_t zero)
{
    for (; count > 0; count--) {
        *window++ = (int8_t)zero;
    }
    return window;
}

/* One row of a window, byte by byte; tap 0 falls on `x` of the input's row, or outside. */
static inline int8_t *nn_window_row(NN_ROM nn_conv2d_pairs_t *p, const int8_t *row, int32_t x, nn_taps_t taps,
                                    int8_t *window)
{
    int32_t channels = p->input.channels;
    window = nn_append_zeros(window, taps.first * channels, p->zero);
    int32_t together = p->dilation.width == 1 ? taps.last - taps.first : 1;
    for (int32_t tap = taps.first; tap < taps.last; tap += together) {
        window = nn_append(window, row + (x + tap * p->dilation.width) * channels, together * channels);
    }
    return nn_append_zeros(window, (p->kernel.width - nn_max(taps.last, taps.first)) * channels, p->zero);
}

/* The rest of a column is nothing. */
static inline void nn_window_end(int8_t *window, int8_t *end, int32_t *column)
{
    if (end > window) {
        end = nn_append_zeros(end, (4 - (end - window)) & 3, 0);
        nn_widen(window, (int32_t)(end - window), column);
    }
}

/* A window of which taps lie outside or apart. */
static void nn_window_outside(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int32_t y, int32_t x, int32_t *column,
                              int8_t *window)
{
    int32_t values = (int32_t)p->kernel.width * p->input.channels, row_bytes = p->input.width * p->input.channels;
    nn_taps_t taps = nn_taps_inside(x, p->input.width, p->kernel.width, p->dilation.width);
    int8_t *end = window;
    for (int32_t i = 0; i < p->kernel.height; i++, y += p->dilation.height) {
        if (y < 0 || y >= p->input.height) {
            end = nn_append_zeros(end, values, p->zero);
        } else {
            end = nn_window_row(p, input + y * row_bytes, x, taps, end);
        }
    }
    nn_window_end(window, end, column);
}

/* The window of output place `place` as every other word of `column`; `window` is room for its bytes. */
static void nn_window(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int32_t place, int32_t *column, int8_t *window)
{
    int32_t y = place / p->output.width, x = place - y * p->output.width, rows = p->kernel.height;
    y = y * p->stride.height - p->pad.height;
    x = x * p->stride.width - p->pad.width;
    if (y < 0 || x < 0 || y + rows > p->input.height || x + p->kernel.width > p->input.width ||
        p->dilation.height + p->dilation.width > 2) {
        nn_window_outside(p, input, y, x, column, window);
        return;
    }
    int32_t channels = p->input.channels, values = p->kernel.width * channels, step = p->input.width * channels;
    const int8_t *row = input + y * step + x * channels;
    int8_t *end = window;
    for (; rows > 0; rows--, row += step) {
        if (values % 4 == 0) {
            column = nn_widen(row, values, column);
        } else {
            end = nn_append(end, row, values);
        }
    }
    nn_window_end(window, end, column);
}

/* Every output channel of the two windows in `columns`. */
static inline void nn_conv2d_pairs_places(NN_ROM nn_conv2d_pairs_t *p, const int32_t *columns, int8_t *first,
                                          int8_t *second)
{
    NN_ROM int32_t *weights = p->weights, *rescale = p->rescale;
    int32_t offset = 2 * p->output_offset + 1;
    for (int32_t left = p->output.channels; left > 0; left -= NN_BLOCK) {
        int32_t sums[2 * NN_BLOCK];
        nn_pairs_columns(weights, columns, p->groups, sums);
        weights += NN_BLOCK * p->groups;
        nn_pairs_store(sums, rescale, offset, nn_min(left, NN_BLOCK), first, second);
        rescale += 2 * NN_BLOCK;
        first += NN_BLOCK;
        second += NN_BLOCK;
    }
}

/* scratch: two columns of words, then the bytes of a window */
static void nn_conv2d_pairs_s8(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    int32_t *columns = scratch;
    int8_t *window = (int8_t *)(columns + (int32_t)NN_BLOCK * p->groups);
    int32_t places = (int32_t)p->output.height * p->output.width, channels = p->output.channels;
    for (int32_t place = 0; place < places; place += 2) {
        int32_t other = nn_min(place + 1, places - 1);
        nn_window(p, input, place, columns, window);
        nn_window(p, input, other, columns + 1, window);
        nn_conv2d_pairs_places(p, columns, output + place * channels, output + other * channels);
    }
    nn_limit(output, places * channels, p->min, p->max);
}

#endif
