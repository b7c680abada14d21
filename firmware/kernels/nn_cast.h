/* CAST: integers as integers of another width; what does not fit wraps. */
#ifndef NN_CAST_H
#define NN_CAST_H

#include "nn_wide.h"

typedef struct {
    int32_t count;
    int8_t from, to; /* bytes of a value */
} nn_cast_t;

static void nn_cast(NN_ROM nn_cast_t *p, const void *input, void *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        nn_put(output, i, p->to, nn_get(input, i, p->from));
    }
}

#endif
