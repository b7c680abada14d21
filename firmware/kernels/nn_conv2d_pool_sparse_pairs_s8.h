/* CONV_2D with sparse weights in pairs and MAX_POOL_2D of windows side by side: nn_conv2d_sparse_pairs_s8.h, with
 * outputs of the largest sums only. */
#ifndef NN_CONV2D_POOL_SPARSE_PAIRS_S8_H
#define NN_CONV2D_POOL_SPARSE_PAIRS_S8_H

#include "nn_columns.h"
#include "nn_maxima.h"
#include "nn_sparse_pairs.h"

typedef struct {
    nn_window_t window;      /* its output is what is pooled */
    int16_t zero;            /* the input's zero point, which padding is */
    int16_t groups;          /* values of one window / 4, rounded up */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activations */
    NN_ROM uint8_t *weights; /* as nn_conv2d_sparse_pairs_t has them, and what follows */
    NN_ROM int32_t *rescale;
    nn_size_t pool; /* parts of the window's output */
} nn_conv2d_pool_sparse_pairs_t;

/* The window of one place as a column. */
static void nn_conv2d_pool_sparse_pairs_window(NN_ROM nn_conv2d_pool_sparse_pairs_t *p, const int8_t *input,
                                               const nn_walk_t *at, int32_t *column, int8_t *bytes)
{
    nn_column(&p->window, input, at->y * p->window.output.width + at->x,
              (nn_columns_t){column, bytes, NN_COLUMNS, p->zero});
}

/* Every channel of the first `count` windows in `columns`. */
static inline void nn_conv2d_pool_sparse_pairs_places(NN_ROM nn_conv2d_pool_sparse_pairs_t *p,
                                                      const nn_maxima_t *maxima, const int32_t *columns, int32_t count,
                                                      int8_t *output)
{
    NN_ROM uint8_t *stream = p->weights;
    const int32_t offset = 2 * p->output_offset + 1, channels = p->window.output.channels;
    for (int32_t channel = 0; channel < channels;) {
        int32_t sums[2 * NN_COLUMNS];
        stream = nn_sparse_pairs_columns(stream, columns, sums);
        for (int32_t *row = sums, *end = row + 2 * NN_COLUMNS; row != end && channel < channels; row += NN_COLUMNS) {
            const nn_scale_t scale = nn_scale_of(p->rescale + 2 * channel);
            const int32_t made = nn_maxima(maxima, channel, row, count);
            for (int32_t i = 0; i < made; i++) {
                output[i * channels + channel] = nn_scaled(row[i], scale, offset);
            }
            channel++;
        }
    }
}

/* scratch: that of nn_maxima_of(), the columns' words, then the bytes of a window. The last column may stand twice. */
static void nn_conv2d_pool_sparse_pairs_s8(NN_ROM nn_conv2d_pool_sparse_pairs_t *p, const int8_t *input, int8_t *output,
                                           void *scratch)
{
    NN_ROM nn_window_t *window = &p->window;
    const int32_t channels = window->output.channels;
    nn_maxima_t maxima = nn_maxima_of(p->pool, NN_COLUMNS, channels, &scratch);
    int32_t *columns = scratch, made = 0;
    int8_t *bytes = (int8_t *)(columns + (int32_t)2 * NN_COLUMNS * p->groups);
    nn_walk_t at = {0, 0, 0, 0};
    for (int32_t left = (int32_t)window->output.height * window->output.width; left > 0; left -= NN_COLUMNS) {
        const int32_t count = nn_min(left, NN_COLUMNS);
        for (int32_t i = 0; i < NN_COLUMNS; i++) {
            nn_conv2d_pool_sparse_pairs_window(p, input, &at, columns + i, bytes);
            if (i + 1 < count || i + 1 == NN_COLUMNS) {
                nn_walk_on(&at, window, p->pool);
            }
        }
        nn_conv2d_pool_sparse_pairs_places(p, &maxima, columns, count, output + made * channels);
        made += nn_maxima_next(&maxima, count);
    }
    nn_limit(output, made * channels, p->min, p->max);
}

#endif
