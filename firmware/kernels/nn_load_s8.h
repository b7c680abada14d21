/* Brings a constant operand from read-only memory to RAM, for kernels whose operands are activations. Wider values are
 * bytes here, little-endian as all our processors are. */
#ifndef NN_LOAD_S8_H
#define NN_LOAD_S8_H

#include "nn.h"

typedef struct {
    int32_t count;
    NN_ROM int8_t *values; /* [count] */
} nn_load_t;

static void nn_load_s8(NN_ROM nn_load_t *p, void *output)
{
    int8_t *to = output;

    for (int32_t i = 0; i < p->count; i++) {
        to[i] = p->values[i];
    }
}

#endif
