/* CONV_2D with weights in pairs and MAX_POOL_2D of windows side by side: nn_conv2d_pairs_s8.h, with outputs of the
 * largest sums only. */
#ifndef NN_CONV2D_POOL_PAIRS_S8_H
#define NN_CONV2D_POOL_PAIRS_S8_H

#include "nn_columns.h"
#include "nn_maxima.h"

typedef struct {
    nn_window_t window;      /* its output is what is pooled */
    int16_t zero;            /* the input's zero point, which padding is */
    int16_t groups;          /* values of one window / 4, rounded up */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activations */
    NN_ROM int32_t *weights; /* as nn_conv2d_pairs_t has them, and what follows */
    NN_ROM int32_t *rescale;
    nn_size_t pool; /* parts of the window's output */
} nn_conv2d_pool_pairs_t;

/* The window of one place as a column, of two. */
static void nn_conv2d_pool_pairs_window(NN_ROM nn_conv2d_pool_pairs_t *p, const int8_t *input, const nn_walk_t *at,
                                        int32_t *column, int8_t *bytes)
{
    nn_column(&p->window, input, at->y * p->window.output.width + at->x, (nn_columns_t){column, bytes, 2, p->zero});
}

/* Every channel of the first `count` of two windows. */
static inline void nn_conv2d_pool_pairs_places(NN_ROM nn_conv2d_pool_pairs_t *p, const nn_maxima_t *maxima,
                                               const int32_t *columns, int32_t count, int8_t *output)
{
    NN_ROM int32_t *weights = p->weights, *rescale = p->rescale;
    const int32_t offset = 2 * p->output_offset + 1, channels = p->window.output.channels;
    for (int32_t channel = 0; channel < channels; weights += NN_BLOCK * p->groups, rescale += 2 * NN_BLOCK) {
        int32_t sums[2 * NN_BLOCK], most[NN_BLOCK], made = 0, rows = nn_min(channels - channel, NN_BLOCK);
        nn_pairs_columns(weights, columns, p->groups, sums);
        for (int32_t row = 0; row < rows; row++, channel++) {
            made = nn_maxima(maxima, channel, sums + 2 * row, count);
            most[row] = sums[2 * row];
        }
        if (made > 0) {
            nn_pairs_store_row(most, rescale, offset, rows, output);
            output += NN_BLOCK;
        }
    }
}

/* scratch: that of nn_maxima_of(), two columns of words, then the bytes of a window */
static void nn_conv2d_pool_pairs_s8(NN_ROM nn_conv2d_pool_pairs_t *p, const int8_t *input, int8_t *output,
                                    void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const int32_t channels = window->output.channels;
    nn_maxima_t maxima = nn_maxima_of(p->pool, 2, channels, &scratch);
    int32_t *columns = scratch, made = 0;
    int8_t *bytes = (int8_t *)(columns + (int32_t)NN_BLOCK * p->groups);
    nn_walk_t at = {0, 0, 0, 0};
    for (int32_t left = (int32_t)window->output.height * window->output.width; left > 0; left -= 2) {
        nn_conv2d_pool_pairs_window(p, input, &at, columns, bytes);
        if (left > 1) {
            nn_walk_on(&at, window, p->pool);
        }
        nn_conv2d_pool_pairs_window(p, input, &at, columns + 1, bytes);
        nn_walk_on(&at, window, p->pool);
        nn_conv2d_pool_pairs_places(p, &maxima, columns, nn_min(left, 2), output + made * channels);
        made += nn_maxima_next(&maxima, nn_min(left, 2));
    }
    nn_limit(output, made * channels, p->min, p->max);
}

#endif
