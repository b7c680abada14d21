/* REDUCE_MAX and REDUCE_MIN over axes that do not lie side by side. */
#ifndef NN_REDUCE_AXES_S8_H
#define NN_REDUCE_AXES_S8_H

#include "nn_axes.h"

typedef struct {
    nn_axes_t axes;
    int8_t largest; /* 1: the largest value, 0: the smallest */
} nn_reduce_axes_t;

static void nn_reduce_axes_s8(NN_ROM nn_reduce_axes_t *p, const int8_t *input, int8_t *output)
{
    int32_t outputs = nn_axes_count(p->axes.kept), count = nn_axes_count(p->axes.reduced);
    for (int32_t i = 0; i < outputs; i++) {
        const int8_t *first = input + nn_axes_place(p->axes.kept, p->axes.kept_step, i);
        int32_t found = *first;
        for (int32_t j = 1; j < count; j++) {
            int32_t value = first[nn_axes_place(p->axes.reduced, p->axes.reduced_step, j)];
            found = p->largest ? nn_max(found, value) : nn_min(found, value);
        }
        output[i] = (int8_t)found;
    }
}

#endif
