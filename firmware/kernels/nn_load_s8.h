/* Brings a constant operand from read-only memory to RAM, for kernels whose operands are activations. */
#ifndef NN_LOAD_S8_H
#define NN_LOAD_S8_H

#include "nn.h"

typedef struct {
    int32_t count;
    NN_ROM int8_t *values; /* [count] */
} nn_load_t;

static void nn_load_s8(NN_ROM nn_load_t *p, int8_t *output)
{
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = p->values[i];
    }
}

#endif
