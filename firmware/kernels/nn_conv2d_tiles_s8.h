/* CONV_2D with weights in tiles: one window after the other, as a column. */
#ifndef NN_CONV2D_TILES_S8_H
#define NN_CONV2D_TILES_S8_H

#include "nn_tiles.h"
#include "nn_window.h"

typedef struct {
    nn_window_t window;
    int16_t zero;               /* the input's zero point, which padding is */
    int16_t tiles, outputs;     /* of one output; values of a vector */
    int16_t output_offset;      /* [-128, 127] */
    int8_t min, max;            /* the fused activation */
    NN_ROM int8_t *weights;     /* [outputs / 4][tiles][4][16] */
    NN_ROM int32_t *bias;       /* [outputs / 4][4]; input_offset times all weights of the output is in it */
    NN_ROM int32_t *multiplier; /* [outputs / 4][4], [0, 2^31) */
    NN_ROM int8_t *shift;       /* [outputs / 4][4], [-31, -1] */
} nn_conv2d_tiles_t;

/* The window with its upper left tap at (y, x) of the input, where all taps lie inside and side by side. */
static inline void nn_conv2d_tiles_inside(NN_ROM nn_window_t *w, const int8_t *input, int32_t y, int32_t x, int8_t *to)
{
    const int32_t channels = w->input.channels, step = w->input.width * channels, values = w->kernel.width * channels;
    const int8_t *from = input + (y * w->input.width + x) * channels;
    for (int32_t row = w->kernel.height; row > 0; row--, from += step) {
        to = nn_tiles_put(to, from, values);
    }
}

/* The window with its upper left tap at (y, x) of the input. */
static void nn_conv2d_tiles_column(NN_ROM nn_conv2d_tiles_t *p, const int8_t *input, int32_t y, int32_t x, int8_t *to)
{
    NN_ROM nn_window_t *w = &p->window;
    const int8_t zero = (int8_t)p->zero;
    int32_t channels = w->input.channels, apart = w->dilation.width;
    if (y >= 0 && x >= 0 && y + w->kernel.height <= w->input.height && x + w->kernel.width <= w->input.width &&
        apart + w->dilation.height == 2) {
        nn_conv2d_tiles_inside(w, input, y, x, to);
        return;
    }
    nn_taps_t taps = nn_taps_inside(x, w->input.width, w->kernel.width, apart);
    int32_t inside = nn_max(taps.last - taps.first, 0), first = inside ? taps.first : 0;
    int32_t together = apart == 1 ? inside : 1;
    for (int32_t row = 0; row < w->kernel.height; row++, y += w->dilation.height) {
        if (y < 0 || y >= w->input.height || inside == 0) {
            to = nn_tiles_fill(to, zero, w->kernel.width * channels);
            continue;
        }
        const int8_t *from = input + (y * w->input.width + x + first * apart) * channels;
        to = nn_tiles_fill(to, zero, first * channels);
        for (int32_t left = inside; left > 0; left -= together, from += apart * channels) {
            to = nn_tiles_put(to, from, together * channels);
        }
        to = nn_tiles_fill(to, zero, (w->kernel.width - first - inside) * channels);
    }
}

/* scratch: a column, [tiles][16] */
static void nn_conv2d_tiles_s8(NN_ROM nn_conv2d_tiles_t *p, const int8_t *input, int8_t *output, void *scratch)
{
    NN_ROM nn_window_t *w = &p->window;
    const nn_tiles_t sums = {p->tiles,   p->outputs, p->output_offset, p->min,  p->max,
                             p->weights, p->bias,    p->multiplier,    p->shift};
    int32_t channels = w->input.channels, down = w->stride.height, right = w->stride.width;
    int32_t is_point = w->kernel.height * w->kernel.width == 1 && channels % NN_TILE_DEPTH == 0 &&
                       (w->pad.height | w->pad.width) == 0 && (w->output.height - 1) * down < w->input.height &&
                       (w->output.width - 1) * right < w->input.width;
    for (int32_t place = 0; place < w->output.height * w->output.width; place++, output += p->outputs) {
        int32_t row = place / w->output.width;
        int32_t y = row * down - w->pad.height, x = (place - row * w->output.width) * right - w->pad.width;
        const int8_t *column = input + (y * w->input.width + x) * channels; /* of a point, in the input itself */
        if (!is_point) {
            nn_conv2d_tiles_column(p, input, y, x, scratch);
            column = scratch;
        } else if (column == output) {
            nn_tiles_copy(scratch, column, p->tiles);
            column = scratch;
        }
        nn_tiles_outputs(&sums, column, output);
    }
}

#endif
