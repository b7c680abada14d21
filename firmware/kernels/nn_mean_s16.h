/* MEAN of 16-bit values over neighbouring axes. */
#ifndef NN_MEAN_S16_H
#define NN_MEAN_S16_H

#include "nn_mean.h"

static void nn_mean_s16(NN_ROM nn_mean_t *p, const int16_t *input, int16_t *output)
{
    nn_mean(p, input, output, 2);
}

#endif
