/* The windows of some places of a convolution, against four rows of weights at a time: nn_patch.h and nn_block.h. */
#ifndef NN_PLACES_H
#define NN_PLACES_H

#include "nn_block.h"
#include "nn_now.h"
#include "nn_patch.h"

/* The windows of `lanes` places. */
typedef struct {
    uint8_t *patch;
    int32_t start[NN_LANES]; /* -128 * the sum of each window's bytes */
    int32_t lanes;
    int32_t count; /* values of one window */
    uint8_t zero;  /* what padding is */
} nn_places_t;

/* patch: [kernel height * width * input channels][NN_LANES] */
static inline nn_places_t nn_no_places(NN_ROM nn_window_t *window, int32_t input_offset, void *patch)
{
    return (nn_places_t){.patch = patch,
                         .count = (int32_t)window->kernel.height * window->kernel.width * window->input.channels,
                         .zero = (uint8_t)(128 - input_offset)};
}

/* Place (y, x) is one more of them. */
static inline void nn_places_add(nn_places_t *places, NN_ROM nn_window_t *window, const int8_t *input, int32_t y,
                                 int32_t x)
{
    nn_lane_t lane = {places->patch + places->lanes, 0, NN_LANES};
    places->start[places->lanes++] = -128 * nn_patch_lane(window, input, y, x, places->zero, lane).sum;
}

/* sums[NN_ROWS][NN_LANES] of NN_ROWS channels; weights: [count][NN_ROWS] */
static inline void nn_places_sums(const nn_places_t *places, NN_ROM uint8_t *weights, int32_t *sums)
{
    const int32_t lanes = places->lanes;
    if (lanes == NN_LANES) {
        nn_block_s8(places->patch, weights, places->count, places->start, sums);
    }
    for (int32_t lane = 0; lanes < NN_LANES && lane < lanes; lane++) {
        int32_t column[NN_ROWS];
        nn_block_lane_s8(places->patch + lane, weights, places->count, column);
        for (int32_t row = 0; row < NN_ROWS; row++) {
            sums[row * NN_LANES + lane] = column[row] + places->start[lane];
        }
    }
}

#endif
