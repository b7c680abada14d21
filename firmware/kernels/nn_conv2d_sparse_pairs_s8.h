/* CONV_2D with sparse weights in pairs: the windows of four places, widened to columns, against two filters at a time.
 */
#ifndef NN_CONV2D_SPARSE_PAIRS_S8_H
#define NN_CONV2D_SPARSE_PAIRS_S8_H

#include "nn_columns.h"
#include "nn_sparse_pairs.h"

typedef struct {
    nn_window_t window;
    int16_t zero;            /* the input's zero point, which padding is */
    int16_t groups;          /* values of one window / 4, rounded up */
    int16_t output_offset;   /* [-128, 127] */
    int8_t min, max;         /* the fused activation */
    NN_ROM uint8_t *weights; /* nn_sparse_pairs.h's stream of each two output channels, one behind the other */
    NN_ROM int32_t *rescale; /* [output channels][2] */
} nn_conv2d_sparse_pairs_t;

/* The window of one place as a column. */
static void nn_conv2d_sparse_pairs_window(NN_ROM nn_conv2d_sparse_pairs_t *p, const int8_t *input, int32_t place,
                                          int32_t *column, int8_t *bytes)
{
    nn_column(&p->window, input, place, (nn_columns_t){column, bytes, NN_COLUMNS, p->zero});
}

/* One output of each column; sums[NN_COLUMNS]. */
static inline void nn_conv2d_sparse_pairs_store(const int32_t *sums, nn_scale_t scale, int32_t offset,
                                                int8_t *const *outputs, int32_t channel)
{
    outputs[0][channel] = nn_scaled(sums[0], scale, offset);
    outputs[1][channel] = nn_scaled(sums[1], scale, offset);
    outputs[2][channel] = nn_scaled(sums[2], scale, offset);
    outputs[3][channel] = nn_scaled(sums[3], scale, offset);
}

/* Every output channel of the windows in `columns`. */
static inline void nn_conv2d_sparse_pairs_places(NN_ROM nn_conv2d_sparse_pairs_t *p, const int32_t *columns,
                                                 int8_t *const *outputs)
{
    NN_ROM uint8_t *stream = p->weights;
    NN_ROM int32_t *rescale = p->rescale;
    int32_t channels = p->window.output.channels, offset = 2 * p->output_offset + 1;
    for (int32_t channel = 0; channel < channels; channel += 2, rescale += 4) {
        int32_t sums[2 * NN_COLUMNS];
        stream = nn_sparse_pairs_columns(stream, columns, sums);
        nn_conv2d_sparse_pairs_store(sums, nn_scale_of(rescale), offset, outputs, channel);
        if (channel + 1 < channels) {
            nn_conv2d_sparse_pairs_store(sums + NN_COLUMNS, nn_scale_of(rescale + 2), offset, outputs, channel + 1);
        }
    }
}

/* scratch: the columns' words, then the bytes of a window. The last place may be done several times. */
static void nn_conv2d_sparse_pairs_s8(NN_ROM nn_conv2d_sparse_pairs_t *p, const int8_t *input, int8_t *output,
                                      void *scratch)
{
    int32_t *columns = scratch, channels = p->window.output.channels;
    int8_t *bytes = (int8_t *)(columns + (int32_t)2 * NN_COLUMNS * p->groups), *outputs[NN_COLUMNS];
    int32_t places = (int32_t)p->window.output.height * p->window.output.width;
    for (int32_t place = 0; place < places; place += NN_COLUMNS) {
        for (int32_t i = 0; i < NN_COLUMNS; i++) {
            int32_t at = nn_min(place + i, places - 1);
            nn_conv2d_sparse_pairs_window(p, input, at, columns + i, bytes);
            outputs[i] = output + at * channels;
        }
        nn_conv2d_sparse_pairs_places(p, columns, outputs);
    }
    nn_limit(output, places * channels, p->min, p->max);
}

#endif
