/* MEAN over neighbouring axes. */
#ifndef NN_MEAN_S8_H
#define NN_MEAN_S8_H

#include "nn_mean.h"

static void nn_mean_s8(NN_ROM nn_mean_t *p, const int8_t *input, int8_t *output)
{
    nn_mean(p, input, output, 1);
}

#endif
