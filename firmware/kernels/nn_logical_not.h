/* LOGICAL_NOT: 0 is 1, all else is 0. */
#ifndef NN_LOGICAL_NOT_H
#define NN_LOGICAL_NOT_H

#include "nn.h"

typedef struct {
    int32_t count;
} nn_logical_not_t;

/* `output` may be the input. */
static void nn_logical_not(NN_ROM nn_logical_not_t *p, const int8_t *input, int8_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = input[i] == 0;
    }
}

#endif
