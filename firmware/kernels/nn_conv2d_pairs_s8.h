/* CONV_2D with weights in pairs: the windows of two places, widened to columns, against four filters at a time. */
#ifndef NN_CONV2D_PAIRS_S8_H
#define NN_CONV2D_PAIRS_S8_H

#include "nn_columns.h"

typedef struct {
    nn_window_t window;
    int16_t zero;            /* the input's zero point, which padding is */
    int16_t groups;          /* values of one window / 4, rounded up */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activation */
    NN_ROM int32_t *weights; /* [output channels / 4][groups][4] */
    NN_ROM int32_t *rescale; /* [output channels][2] */
} nn_conv2d_pairs_t;

/* The window of one place as a column, of two. */
static void nn_conv2d_pairs_window(NN_ROM nn_conv2d_pairs_t *p, const int8_t *input, int32_t place, int32_t *column,
                                   int8_t *bytes)
{
    nn_window(&p->window, input, place, (nn_columns_t){column, bytes, 2, p->zero});
}

/* Every output channel of the two windows in `columns`. */
static inline void nn_conv2d_pairs_places(NN_ROM nn_conv2d_pairs_t *p, const int32_t *columns, int8_t *first,
                                          int8_t *second)
{
    NN_ROM int32_t *weights = p->weights, *rescale = p->rescale;
    int32_t offset = 2 * p->output_offset + 1;
    for (int32_t left = p->window.output.channels; left > 0; left -= NN_BLOCK) {
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
    NN_ROM nn_window_t *window = &p->window;
    int32_t *columns = scratch, channels = window->output.channels, depth = window->input.channels;
    int8_t *bytes = (int8_t *)(columns + (int32_t)NN_BLOCK * p->groups);
    int32_t places = (int32_t)window->output.height * window->output.width;
    for (int32_t place = 0; place < places; place += 2) {
        int32_t other = nn_min(place + 1, places - 1);
        if (nn_window_is_place(window)) {
            nn_widen(input + place * depth, depth, columns, 2);
            nn_widen(input + other * depth, depth, columns + 1, 2);
        } else {
            nn_conv2d_pairs_window(p, input, place, columns, bytes);
            nn_conv2d_pairs_window(p, input, other, columns + 1, bytes);
        }
        nn_conv2d_pairs_places(p, columns, output + place * channels, output + other * channels);
    }
    nn_limit(output, places * channels, p->min, p->max);
}

#endif
