/* Axes that stay and axes that are reduced, in any order: what MEAN, SUM, REDUCE_MAX and REDUCE_MIN walk along. */
#ifndef NN_AXES_H
#define NN_AXES_H

#include "nn.h"

typedef struct {
    int16_t kept[3], reduced[3];           /* lengths */
    int32_t kept_step[3], reduced_step[3]; /* how far one step along each moves in the input */
} nn_axes_t;

static inline int32_t nn_axes_count(NN_ROM int16_t *lengths)
{
    return (int32_t)lengths[0] * lengths[1] * lengths[2];
}

/* Where the `index`-th place along three axes lies. */
static inline int32_t nn_axes_place(NN_ROM int16_t *lengths, NN_ROM int32_t *steps, int32_t index)
{
    int32_t place = index % lengths[2] * steps[2];
    index /= lengths[2];
    return place + index % lengths[1] * steps[1] + index / lengths[1] * steps[0];
}

#endif
