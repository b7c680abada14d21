/* MAX_POOL_2D: the largest value of each window, channel by channel. Padding never wins. */
#ifndef NN_MAX_POOL_S8_H
#define NN_MAX_POOL_S8_H

#include "nn_pool.h"

static void nn_max_pool_s8(NN_ROM nn_pool_t *p, const int8_t *input, int8_t *output)
{
    nn_pool(p, input, output, (nn_pool_kind_t){.width = 1, .mean = 0});
}

#endif
