/* AVERAGE_POOL_2D: the mean of each window's values inside the input, halves rounded away from zero. */
#ifndef NN_AVERAGE_POOL_S8_H
#define NN_AVERAGE_POOL_S8_H

#include "nn_pool.h"

static void nn_average_pool_s8(NN_ROM nn_pool_t *p, const int8_t *input, int8_t *output)
{
    nn_pool(p, input, output, (nn_pool_kind_t){.width = 1, .mean = 1});
}

#endif
