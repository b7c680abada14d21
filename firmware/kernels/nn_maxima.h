/* A convolution with the maximum of neighbouring places behind it: as sums grow so do outputs, so the largest sum is
 * the one that needs an output. The windows of a pooled place follow each other, and then those of the next. */
#ifndef NN_MAXIMA_H
#define NN_MAXIMA_H

#include "nn_window.h"

typedef struct {
    int32_t *most; /* [channels], of the place that is begun; nobody reads it where every call finishes its places */
    int32_t size;  /* windows of a place */
    int32_t left;  /* how many of them are to come */
} nn_maxima_t;

/* For `lanes` windows at a time; `most` takes its room from `scratch`, which is moved on. */
static inline nn_maxima_t nn_maxima_of(nn_size_t pool, int32_t lanes, int32_t channels, void **scratch)
{
    int32_t *most = *scratch, size = (int32_t)pool.height * pool.width;
    *scratch = lanes % size ? most + channels : most;
    return (nn_maxima_t){most, size, size};
}

/* The sums of a channel in the next `count` windows give way to the maxima of those places that they finish; returns
 * how many. */
static inline int32_t nn_maxima(const nn_maxima_t *to, int32_t channel, int32_t *sums, int32_t count)
{
    const int32_t size = to->size;
    int32_t made = 0, left = to->left, most = left < size ? to->most[channel] : INT32_MIN;
    for (int32_t i = 0; i < count; i++) {
        most = nn_max(most, sums[i]);
        if (--left == 0) {
            sums[made++] = most;
            most = INT32_MIN;
            left = size;
        }
    }
    if (left < size) {
        to->most[channel] = most;
    }
    return made;
}

/* All channels had these windows; returns how many places they have finished. */
static inline int32_t nn_maxima_next(nn_maxima_t *to, int32_t count)
{
    int32_t made = 0;
    for (to->left -= count; to->left <= 0; to->left += to->size) {
        made++;
    }
    return made;
}

/* A window on the way through all pooled places, and the first one of its place. */
typedef struct {
    int32_t y, x, top, left;
} nn_walk_t;

static inline void nn_walk_on(nn_walk_t *at, NN_ROM nn_window_t *window, nn_size_t pool)
{
    if (++at->x < at->left + pool.width) {
        return;
    }
    at->x = at->left;
    if (++at->y < at->top + pool.height) {
        return;
    }
    at->x = at->left += pool.width;
    if (at->x == window->output.width) {
        at->x = at->left = 0;
        at->top += pool.height;
    }
    at->y = at->top;
}

#endif
