/* PRELU of 16-bit values, with an alpha of 8 bits. */
#ifndef NN_PRELU_S16_H
#define NN_PRELU_S16_H

#include "nn_prelu.h"

/* `output` may be `input`. */
static void nn_prelu_s16(NN_ROM nn_prelu_t *p, const int16_t *input, const int8_t *alpha, int16_t *output)
{
    nn_prelu(p, input, alpha, output, 2);
}

#endif
