/* Every byte of the output is the same: what PAD begins with, and FILL. */
#ifndef NN_FILL_S8_H
#define NN_FILL_S8_H

#include "nn.h"

typedef struct {
    int32_t count;
    int8_t value;
} nn_fill_t;

static void nn_fill_s8(NN_ROM nn_fill_t *p, void *output)
{
    int8_t *to = output;

    for (int32_t i = 0; i < p->count; i++) {
        to[i] = p->value;
    }
}

#endif
