/* A convolution with the maximum of neighbouring places behind it: as sums grow so do outputs, so the largest sum is
 * the one that needs an output. The windows of a pooled place follow each other, and then those of the next. */
#ifndef NN_MAXIMA_H
#define NN_MAXIMA_H

#include "nn_window.h"

typedef struct {
    int32_t *most; /* [channels, rounded up to four]: so far, of a place that is begun; none where none ever is */
    int32_t size;  /* windows of a place */
    int32_t left;  /* how many of them are to come */
} nn_maxima_t;

/* For `lanes` windows at a time; `most` takes its room from `scratch`, which is moved on. */
static inline nn_maxima_t nn_maxima_of(nn_size_t pool, int32_t lanes, int32_t channels, void **scratch)
{
    int32_t *most = *scratch, size = (int32_t)pool.height * pool.width;
    *scratch = lanes % size ? most + ((channels + 3) & ~3) : most;
    return (nn_maxima_t){most, size, size};
}

/* The sums of a channel in the next `count` windows give way to the maxima of those places that they finish; returns
 * how many. */
static inline int32_t nn_maxima(const nn_maxima_t *to, int32_t channel, int32_t *sums, int32_t count)
{
    const int32_t size = to->size, *end = sums + count, *next = sums + to->left;
    int32_t *made = sums;
    if (size == 2 && count % 2 == 0) {
        for (; sums != end; sums += 2) {
            *made++ = nn_max(sums[0], sums[1]);
        }
        return count / 2;
    }
    int32_t most = to->left < size ? nn_max(*sums, to->most[channel]) : *sums;
    for (const int32_t *x = sums + 1;; most = *x++) {
        for (const int32_t *stop = next < end ? next : end; x != stop; x++) {
            most = nn_max(most, *x);
        }
        if (x == next) {
            *made++ = most;
            next += size;
        } else {
            to->most[channel] = most;
        }
        if (x == end) {
            return (int32_t)(made - sums);
        }
    }
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
