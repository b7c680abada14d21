/* CONV_2D with weights in pairs and MAX_POOL_2D of windows side by side: nn_conv2d_pairs_s8.h, with outputs of the
 * largest sums only. */
#ifndef NN_CONV2D_POOL_PAIRS_S8_H
#define NN_CONV2D_POOL_PAIRS_S8_H

#include "nn_columns.h"
#include "nn_maxima.h"
#include "nn_now.h"

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

/* The next window as a column, of two. */
static void nn_conv2d_pool_pairs_window(NN_ROM nn_conv2d_pool_pairs_t *p, const int8_t *input, nn_walk_t *at,
                                        int32_t *column, int8_t *bytes)
{
    nn_column(&p->window, input, at->y * p->window.output.width + at->x, (nn_columns_t){column, bytes, 2, p->zero});
    nn_walk_on(at, &p->window, p->pool);
}

/* The maximum of a channel in two windows, together with what there `is` of the place that these belong to, which is
 * brought up to date. */
static inline int32_t nn_conv2d_pool_pairs_most(const nn_maxima_t *maxima, const int32_t *sums, int32_t *is)
{
    int32_t most = maxima->left > 1 ? nn_max(sums[0], sums[1]) : sums[0];
    most = maxima->left < maxima->size ? nn_max(most, *is) : most;
    if (maxima->left != 2) {
        *is = maxima->left > 1 ? most : sums[1];
    }
    return most;
}

/* Every channel of two windows. */
NN_APART static void nn_conv2d_pool_pairs_places(NN_ROM nn_conv2d_pool_pairs_t *p, const nn_maxima_t *maxima,
                                                 const int32_t *columns, int8_t *output)
{
    NN_ROM int32_t *weights = p->weights, *rescale = p->rescale;
    const int32_t offset = 2 * p->output_offset + 1, channels = p->window.output.channels;
    for (int32_t channel = 0; channel < channels; channel += NN_BLOCK) {
        int32_t sums[2 * NN_BLOCK], *is = maxima->most + channel;
        nn_pairs_columns(weights, columns, p->groups, sums);
        const int32_t most[NN_BLOCK] = {
            nn_conv2d_pool_pairs_most(maxima, sums, is), nn_conv2d_pool_pairs_most(maxima, sums + 2, is + 1),
            nn_conv2d_pool_pairs_most(maxima, sums + 4, is + 2), nn_conv2d_pool_pairs_most(maxima, sums + 6, is + 3)};
        if (maxima->left <= 2) {
            nn_pairs_store_row(most, rescale, offset, nn_min(channels - channel, NN_BLOCK), output + channel);
        }
        weights += NN_BLOCK * p->groups;
        rescale += 2 * NN_BLOCK;
    }
}

/* scratch: that of nn_maxima_of(), two columns of words, then the bytes of a window. The last window may stand twice,
 * the second time as the first one of a place that is never finished. */
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
        nn_walk_t same = at;
        nn_conv2d_pool_pairs_window(p, input, &at, columns, bytes);
        nn_conv2d_pool_pairs_window(p, input, left > 1 ? &at : &same, columns + 1, bytes);
        nn_conv2d_pool_pairs_places(p, &maxima, columns, output + made * channels);
        made += nn_maxima_next(&maxima, 2);
    }
    nn_limit(output, made * channels, p->min, p->max);
}

#endif
