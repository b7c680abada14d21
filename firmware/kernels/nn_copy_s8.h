/* A copy, where a reshape cannot simply read the same bytes (from the model's input straight to its output). */
#ifndef NN_COPY_S8_H
#define NN_COPY_S8_H

#include "nn.h"

typedef struct {
    int32_t count;
} nn_copy_t;

static void nn_copy_s8(NN_ROM nn_copy_t *p, const void *input, void *output)
{
    const int8_t *from = input;
    int8_t *to = output;

    for (int32_t i = 0; i < p->count; i++) {
        to[i] = from[i];
    }
}

#endif
