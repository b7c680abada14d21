/* PRELU. */
#ifndef NN_PRELU_S8_H
#define NN_PRELU_S8_H

#include "nn_prelu.h"

/* `output` may be `input`. */
static void nn_prelu_s8(NN_ROM nn_prelu_t *p, const int8_t *input, const int8_t *alpha, int8_t *output)
{
    nn_prelu(p, input, alpha, output, 1);
}

#endif
