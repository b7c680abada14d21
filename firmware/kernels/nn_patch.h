/* The windows of some neighbouring output places, the lanes of a patch, as unsigned bytes x + 128 side by side, so that
 * one weight serves them all. Padding has become the zero point, and no window has a border any more. */
#ifndef NN_PATCH_H
#define NN_PATCH_H

#include "nn_lane.h"
#include "nn_window.h"

/* The window of output place (y, x) into `lane`, in the order of the weights; returns it with the sum of the bytes. */
static inline nn_lane_t nn_patch_lane(NN_ROM nn_window_t *p, const int8_t *input, int32_t y, int32_t x, uint8_t zero,
                                      nn_lane_t lane)
{
    y = y * p->stride.height - p->pad.height;
    x = x * p->stride.width - p->pad.width;
    int32_t channels = p->input.channels;
    nn_taps_t rows = nn_taps_inside(y, p->input.height, p->kernel.height, p->dilation.height);
    nn_taps_t columns = nn_taps_inside(x, p->input.width, p->kernel.width, p->dilation.width);
    int32_t together = p->dilation.width == 1 ? columns.last - columns.first : 1; /* taps side by side in memory too */
    for (int32_t row = 0; row < p->kernel.height; row++) {
        if (row < rows.first || row >= rows.last || columns.first >= columns.last) {
            lane = nn_lane_fill(lane, zero, p->kernel.width * channels);
            continue;
        }
        const int8_t *line = input + (y + row * p->dilation.height) * p->input.width * channels;
        lane = nn_lane_fill(lane, zero, columns.first * channels);
        for (int32_t tap = columns.first; tap < columns.last; tap += together) {
            lane = nn_lane_copy(lane, line + (x + tap * p->dilation.width) * channels, together * channels);
        }
        lane = nn_lane_fill(lane, zero, (p->kernel.width - columns.last) * channels);
    }
    return lane;
}

#endif
