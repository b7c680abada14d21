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

/* A window on its way to a column: widened at once, or gathered first where its parts are no multiples of four. */
typedef struct {
    int32_t *column;
    int8_t *end; /* of the bytes gathered */
    int32_t zero, at_once;
} nn_gather_t;

static inline void nn_window_values(nn_gather_t *w, const int8_t *x, int32_t count)
{
    if (w->at_once) {
        w->column = nn_widen(x, count, w->column);
    } else {
        w->end = nn_append(w->end, x, count);
    }
}

static void nn_window_padding(nn_gather_t *w, int32_t count)
{
    for (; count > 0 && !w->at_once; count--) {
        *w->end++ = (int8_t)w->zero;
    }
    for (; count > 0; count -= 2, w->column += 2) {
        *w->column = nn_pair(w->zero, w->zero);
    }
}

/* What was gathered becomes the column's rest, zeros after it. */
static inline void nn_window_end(nn_gather_t *w, int8_t *bytes)
{
    for (; (w->end - bytes) & 3; w->end++) {
        *w->end = 0;
    }
    nn_widen(bytes, (int32_t)(w->end - bytes), w->column);
}

/* A window with its upper left tap at (y, x) of the input, some of whose taps lie outside or apart. */
static void nn_window_edge(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int32_t y, int32_t x, int32_t *column,
                           int8_t *bytes)
{
    int32_t channels = p->input.channels, apart = p->dilation.width, step = p->input.width * channels;
    nn_taps_t taps = nn_taps_inside(x, p->input.width, p->kernel.width, apart);
    int32_t inside = nn_max(taps.last - taps.first, 0), before = inside ? taps.first * channels : 0;
    int32_t values = p->kernel.width * channels, after = values - before - inside * channels;
    int32_t together = apart == 1 ? inside * channels : channels;
    nn_gather_t w = {column, bytes, p->zero, ((values | before | after | together) & 3) == 0};
    for (int32_t i = 0; i < p->kernel.height; i++, y += p->dilation.height) {
        if (y < 0 || y >= p->input.height || inside == 0) {
            nn_window_padding(&w, values);
            continue;
        }
        nn_window_padding(&w, before);
        const int8_t *from = input + y * step + (x + taps.first * apart) * channels;
        for (int32_t left = inside * channels; left > 0; left -= together, from += apart * channels) {
            nn_window_values(&w, from, together);
        }
        nn_window_padding(&w, after);
    }
    nn_window_end(&w, bytes);
}

/* The window of output place `place` as every other word of `column`; `bytes` is room for its values. */
static void nn_window(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int32_t place, int32_t *column, int8_t *bytes)
{
    int32_t row = place / p->output.width, rows = p->kernel.height, width = p->input.width;
    int32_t x = (place - row * p->output.width) * p->stride.width - p->pad.width;
    int32_t y = row * p->stride.height - p->pad.height;
    if (y < 0 || x < 0 || y + rows > p->input.height || x + p->kernel.width > width ||
        p->dilation.height + p->dilation.width > 2) {
        nn_window_edge(p, input, y, x, column, bytes);
        return;
    }
    int32_t channels = p->input.channels, values = p->kernel.width * channels;
    nn_gather_t w = {column, bytes, p->zero, values % 4 == 0};
    for (const int8_t *from = input + (y * width + x) * channels; rows > 0; rows--, from += width * channels) {
        nn_window_values(&w, from, values);
    }
    nn_window_end(&w, bytes);
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
    int32_t inputs = (int32_t)p->input.height * p->input.width;
    for (int32_t place = 0; place < places; place += 2) {
        int32_t other = nn_min(place + 1, places - 1);
        if (p->kernel.height * p->kernel.width == 1 && places == inputs && p->input.channels % 4 == 0) {
            nn_widen(input + place * p->input.channels, p->input.channels, columns);
            nn_widen(input + other * p->input.channels, p->input.channels, columns + 1);
        } else {
            nn_window(p, input, place, columns, window);
            nn_window(p, input, other, columns + 1, window);
        }
        nn_conv2d_pairs_places(p, columns, output + place * channels, output + other * channels);
    }
    nn_limit(output, places * channels, p->min, p->max);
}

#endif
