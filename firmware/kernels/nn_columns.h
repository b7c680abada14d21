/* The windows of a convolution as columns of widened values, side by side: what kernels that add two products an
 * instruction take. How many there are is a constant where these functions are called, and they become part of it. */
#ifndef NN_COLUMNS_H
#define NN_COLUMNS_H

#include "nn_now.h"
#include "nn_pairs.h"
#include "nn_window.h"

/* Room for the windows: `columns`, of which there are `lanes`, and behind them for the bytes of a window. */
typedef struct {
    int32_t *columns;
    int8_t *bytes;
    int32_t lanes, zero; /* the input's zero point, which padding is */
} nn_columns_t;

/* A window on its way to a column: widened at once, or gathered first where its parts are no multiples of four. */
typedef struct {
    int32_t *column;
    int8_t *end; /* of the bytes gathered */
    int32_t at_once;
} nn_gather_t;

NN_ALWAYS void nn_window_values(nn_columns_t to, nn_gather_t *w, const int8_t *x, int32_t count)
{
    if (w->at_once) {
        w->column = nn_widen(x, count, w->column, to.lanes);
    } else {
        w->end = nn_append(w->end, x, count);
    }
}

NN_ALWAYS void nn_window_padding(nn_columns_t to, nn_gather_t *w, int32_t count)
{
    for (; count > 0 && !w->at_once; count--) {
        *w->end++ = (int8_t)to.zero;
    }
    for (; count > 0; count -= 2, w->column += to.lanes) {
        *w->column = nn_pair(to.zero, to.zero);
    }
}

/* What was gathered becomes the column's rest, zeros after it. */
NN_ALWAYS void nn_window_end(nn_columns_t to, nn_gather_t *w)
{
    for (; (w->end - to.bytes) & 3; w->end++) {
        *w->end = 0;
    }
    nn_widen(to.bytes, (int32_t)(w->end - to.bytes), w->column, to.lanes);
}

/* A window with its upper left tap at (y, x) of the input, some of whose taps lie outside or apart. */
NN_ALWAYS void nn_window_edge(NN_ROM nn_window_t *p, const int8_t *input, int32_t y, int32_t x, nn_columns_t to)
{
    int32_t channels = p->input.channels, apart = p->dilation.width, step = p->input.width * channels;
    nn_taps_t taps = nn_taps_inside(x, p->input.width, p->kernel.width, apart);
    int32_t inside = nn_max(taps.last - taps.first, 0), before = inside ? taps.first * channels : 0;
    int32_t values = p->kernel.width * channels, after = values - before - inside * channels;
    int32_t together = apart == 1 ? inside * channels : channels;
    nn_gather_t w = {to.columns, to.bytes, ((values | before | after | together) & 3) == 0};
    for (int32_t i = 0; i < p->kernel.height; i++, y += p->dilation.height) {
        if (y < 0 || y >= p->input.height || inside == 0) {
            nn_window_padding(to, &w, values);
            continue;
        }
        nn_window_padding(to, &w, before);
        const int8_t *from = input + y * step + (x + taps.first * apart) * channels;
        for (int32_t left = inside * channels; left > 0; left -= together, from += apart * channels) {
            nn_window_values(to, &w, from, together);
        }
        nn_window_padding(to, &w, after);
    }
    nn_window_end(to, &w);
}

/* The window of output place `place` as every `lanes`th word of the columns. */
NN_ALWAYS void nn_window(NN_ROM nn_window_t *p, const int8_t *input, int32_t place, nn_columns_t to)
{
    int32_t row = place / p->output.width, rows = p->kernel.height, width = p->input.width;
    int32_t x = (place - row * p->output.width) * p->stride.width - p->pad.width;
    int32_t y = row * p->stride.height - p->pad.height;
    if (y < 0 || x < 0 || y + rows > p->input.height || x + p->kernel.width > width ||
        p->dilation.height + p->dilation.width > 2) {
        nn_window_edge(p, input, y, x, to);
        return;
    }
    int32_t channels = p->input.channels, values = p->kernel.width * channels;
    nn_gather_t w = {to.columns, to.bytes, values % 4 == 0};
    for (const int8_t *from = input + (y * width + x) * channels; rows > 0; rows--, from += width * channels) {
        nn_window_values(to, &w, from, values);
    }
    nn_window_end(to, &w);
}

/* Whether a window is one place of the input, whose values need no gathering. */
static inline int32_t nn_window_is_place(NN_ROM nn_window_t *p)
{
    return p->kernel.height * p->kernel.width == 1 && p->input.channels % 4 == 0 &&
           p->output.height * p->output.width == p->input.height * p->input.width;
}

/* nn_window(), or the place itself. */
NN_ALWAYS void nn_column(NN_ROM nn_window_t *p, const int8_t *input, int32_t place, nn_columns_t to)
{
    if (nn_window_is_place(p)) {
        nn_widen(input + place * p->input.channels, p->input.channels, to.columns, to.lanes);
    } else {
        nn_window(p, input, place, to);
    }
}

#endif
